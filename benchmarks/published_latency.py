"""The published L-MSFC v1 on a GPU: this runtime beside CompressAI's way, in float16, batch 1."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

import fcmrt
from fcmrt.spec import padded_size

from . import published_codec, report
from .coder_bars import AT_LEAST, BARS, bar
from .coder_peers import PeerMissingError, compressai_extension
from .compressai_path import CompressAiPath
from .gpu_codec import GpuCodec, options, to_gpu
from .gpu_networks import alone_ms, cuda_event, in_half, watch
from .latency import NETWORKS, TOTAL, CallTimes, stage_rows, time_calls
from .latency_cuda import directions, timed_or_told
from .range_coder import range_coder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .report import Row

DIRECTIONS = ("encode", "decode")
OURS, THEIRS = "fcmrt", "compressai"
WHOLE_TIMES, REST_TIMES = 2, 10
PRECISION = "float16"
COLUMNS = {
    "system": "",
    "setting": "",
    "direction": "",
    "whole_ms": ".3f",
    "spread": ".2f",
    "networks_ms": ".3f",
    "rest_ms": ".3f",
    "bytes": "d",
}


def coder_of_compressai() -> tuple[Any, str]:
    """Give CompressAI's coder, or where it is missing the one that writes the same bytes."""
    try:
        return compressai_extension(), "compressai"
    except PeerMissingError:
        return range_coder(), "benchmarks/range_coder.cc"


def compare(path: str, runner: str, repeats: int) -> dict[str, Any]:
    """Time both ways on the GPU, on the same picture.

    Args:
        path: The engine that `published_codec` wrote.
        runner: Library that runs our networks.
        repeats: Timed calls of each.

    Returns:
        `published`, its rows; `published_networks_ms`, each network alone in a CUDA graph;
        `published_bars`; `published_coder`, which coder CompressAI's way had.
    """
    features = published_codec.features()
    ans, coder = coder_of_compressai()
    rows, alone = their_rows(features, ans, repeats)
    rows += our_rows(fcmrt.Engine.load(path), runner, features, repeats, alone)
    return {
        "published": rows,
        "published_networks_ms": alone,
        "published_bars": bars(rows),
        "published_coder": coder,
    }


def their_rows(
    features: dict[str, Any], ans: Any, repeats: int
) -> tuple[list[Row], dict[str, float]]:
    """Time CompressAI's way with channels outermost and innermost, and its networks alone."""
    deployment = published_codec.make()
    sizes = [array.shape[1:] for array in features.values()]
    padded = padded_size(deployment.features, sizes, deployment.padding)
    below, beside = padded[0] - sizes[0][0], padded[1] - sizes[0][1]
    # Padding is left out of their clock.
    levels = [
        functional.pad(torch.from_numpy(array)[None].cuda(), (0, beside >> k, 0, below >> k))
        for k, array in enumerate(features.values())
    ]
    rows: list[Row] = []
    alone: dict[str, float] = {}
    for innermost in (False, True):
        path = CompressAiPath(in_half(deployment, innermost), "cuda", ans)
        watches = watch(path.networks, cuda_event)
        strings = path.compress(levels, 0, padded)

        def encode(path: Any = path) -> object:
            return path.compress(levels, 0, padded)

        def decode(path: Any = path, strings: Any = strings) -> object:
            return path.decompress(strings, 0, padded)

        for direction, call in (("encode", encode), ("decode", decode)):
            taken = timed(call, watches, repeats, torch.cuda.synchronize)
            setting = "channels innermost" if innermost else "channels outermost"
            size = sum(map(len, strings))
            rows.append(path_row(setting, direction, taken, size))
        alone = alone_ms(watches)
    return rows, alone


def timed(
    call: Callable[[], object],
    watches: dict[str, Any],
    repeats: int,
    synchronize: Callable[[], None],
) -> list[tuple[float, float]]:
    """Time a call of CompressAI's way: ms on the wall, and of it in networks."""
    taken = []
    for k in range(-3, repeats):
        synchronize()
        begun = time.perf_counter()
        call()
        synchronize()
        whole = 1e3 * (time.perf_counter() - begun)
        networks = sum(watch.take_ms() for watch in watches.values())
        if k >= 0:
            taken.append((whole, networks))
    return taken


def path_row(setting: str, direction: str, taken: Sequence[tuple[float, float]], size: int) -> Row:
    """Give the row of CompressAI's way; what is no network is the rest of each call."""
    whole, networks = np.array(taken, float).T
    figures = report.median_and_spread(whole)
    return {
        "system": THEIRS,
        "setting": setting,
        "direction": direction,
        "whole_ms": figures["median"],
        "spread": figures["spread"],
        "networks_ms": float(np.median(networks)),
        "rest_ms": float(np.median(whole - networks)),
        "bytes": size,
    }


def our_rows(
    engine: fcmrt.Engine,
    runner: str,
    features: dict[str, Any],
    repeats: int,
    alone: dict[str, float],
) -> list[Row]:
    """Time this runtime: as launches, with the networks that its recorder tells, and as graphs.

    Within a graph nobody can tell networks from the rest, so there they count as what the same
    networks take alone in a CUDA graph of PyTorch's. Where our graphs fail, their rows have the
    `error` in place of times.
    """
    inputs = [to_gpu(features)]
    rows: list[Row] = []
    packets: list[Any] = []
    for graphs in (False, True):
        chosen = options(runner, graphs=graphs, precision=PRECISION)
        codec = GpuCodec.open(engine, chosen)
        packets = packets or [codec.encoder.encode(inputs[0])]
        for direction, call in directions(codec, inputs, packets).items():
            head = {
                "system": OURS,
                "setting": "CUDA graphs" if graphs else "launches",
                "direction": direction,
            }
            calls, error = timed_or_told(call, repeats, graphs)
            if error is not None:
                rows.append({**head, "whole_ms": None, "rest_ms": None, "error": error})
                continue
            figures = report.median_and_spread([one[TOTAL] / 1e6 for one in calls])
            networks = (
                networks_of(engine, direction, alone)
                if graphs
                else _recorded(engine, runner, direction, inputs, packets, repeats)
            )
            rows.append(
                {
                    **head,
                    "whole_ms": figures["median"],
                    "spread": figures["spread"],
                    "networks_ms": networks,
                    "rest_ms": None if networks is None else figures["median"] - networks,
                    "bytes": len(packets[0]),
                }
            )
    return rows


def networks_of(engine: Any, direction: str, alone: dict[str, float]) -> float:
    """Add up what the networks of one side take alone, ms."""
    manifest = engine.manifest
    steps = manifest.encode if direction == "encode" else manifest.decode
    return sum(alone[step.graph] for step in steps if hasattr(step, "graph"))


def _recorded(
    engine: fcmrt.Engine,
    runner: str,
    direction: str,
    inputs: Sequence[Any],
    packets: Sequence[Any],
    repeats: int,
) -> float | None:
    """Give the median of a call's networks by the recorder, ms; None where it tells of none."""
    recorder = CallTimes()
    chosen = options(runner, graphs=False, precision=PRECISION)
    codec = GpuCodec.open(engine, chosen, recorder)
    calls = time_calls(directions(codec, inputs, packets)[direction], recorder, repeats)
    names = list(engine.manifest.graphs)
    if not any(name in call for call in calls for name in names):
        return None
    rows = stage_rows(calls, names, {})
    return next(float(row["p50"]) for row in rows if row["stage"] == NETWORKS)


def bars(rows: Sequence[Row]) -> list[Row]:
    """Hold the figures against the bars, each side's best setting against the other's."""
    found = []
    for what, key, limit in (
        ("whole", "whole_ms", WHOLE_TIMES),
        ("what is no network", "rest_ms", REST_TIMES),
    ):
        for direction in DIRECTIONS:
            ours, theirs = (
                [
                    row[key]
                    for row in rows
                    if (row["system"], row["direction"]) == (system, direction)
                    and row[key] is not None
                ]
                for system in (OURS, THEIRS)
            )
            # A rest that is not above 0 was not measured: the networks took longer alone.
            ratio = min(theirs) / min(ours) if theirs and ours and min(ours) > 0 else None
            found.append(bar(f"{direction}, {what}", AT_LEAST, limit, ratio, "x"))
    return found


def published_text(found: dict[str, Any]) -> str:
    """Lay out the comparison for people."""
    return "\n\n".join(
        [report.table(found["published"], COLUMNS), report.table(found["published_bars"], BARS)]
    )
