"""The published L-MSFC v1 on a GPU: this runtime against CompressAI's way, in float16, batch 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

import fcmrt
from fcmrt.spec import padded_size

from . import compressai_latency, published_codec, report
from .coder_bars import AT_LEAST, BARS, bar
from .coder_peers import PeerMissingError, compressai_extension
from .device_networks import network_rows, networks_ms
from .gpu_codec import GpuCodec, options, to_gpu
from .gpu_device import sm_megahertz
from .gpu_networks import cuda_event
from .gpu_timing import CudaStopwatch, wall_ms
from .latency_cuda import directions
from .range_coder import range_coder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fcmrt.spec import Size

    from .attempts import Attempts
    from .gpu_timing import Effort
    from .report import Row

DIRECTIONS = ("encode", "decode")
OURS, THEIRS = "fcmrt", compressai_latency.SYSTEM
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
    "sm_mhz": "d",
    "error": "",
}
NETWORKS = {"direction": "", "graph": "", "ms": ".3f", "recorded": "", "error": ""}


def coder_of_compressai() -> tuple[Any, str]:
    """Give CompressAI's coder, or where it is missing the one that writes the same bytes."""
    try:
        return compressai_extension(), "compressai"
    except PeerMissingError:
        return range_coder(), "benchmarks/range_coder.cc"


def compare(
    path: str,
    runner: str,
    effort: Effort,
    attempts: Attempts,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Time both ways on the GPU, on the same picture.

    Args:
        path: The engine that `published_codec` wrote.
        runner: Library that runs our networks.
        effort: How often.
        attempts: What fails is a row with the `error`.
        keep: Gets what there is so far, whenever there is more.

    Returns:
        `published`, its rows; `published_networks`, each of our networks by itself;
        `published_bars`; `published_coder`, which coder CompressAI's way had.
    """
    features = published_codec.features()
    deployment = published_codec.make()
    sizes = [array.shape[1:] for array in features.values()]
    padded = padded_size(deployment.features, sizes, deployment.padding)
    engine = fcmrt.Engine.load(path)
    found: dict[str, Any] = {"published": [], "published_coder": None}

    def add(rows: list[Row]) -> None:
        found["published"] += rows
        found["published_bars"] = bars(found["published"])
        keep(found)

    networks = attempts.rows(
        {"system": OURS, "stage": "networks"}, lambda: own_networks(engine, runner, padded, effort)
    )
    found["published_networks"] = networks
    for graphs in (False, True):
        add(our_rows(engine, runner, graphs, features, networks, effort, attempts))

    def their_rows() -> list[Row]:
        ans, found["published_coder"] = coder_of_compressai()
        below, beside = padded[0] - sizes[0][0], padded[1] - sizes[0][1]
        # Padding is left out of their clock.
        levels = [
            functional.pad(torch.from_numpy(array)[None].cuda(), (0, beside >> k, 0, below >> k))
            for k, array in enumerate(features.values())
        ]
        place = compressai_latency.Place("cuda", cuda_event, torch.cuda.synchronize)
        for innermost in (False, True):
            add(
                compressai_latency.setting_rows(
                    deployment, innermost, levels, padded, ans, place, effort, attempts
                )
            )
        return []

    add(attempts.rows({"system": THEIRS}, their_rows))
    return found


def own_networks(engine: fcmrt.Engine, runner: str, padded: Size, effort: Effort) -> list[Row]:
    """Time our networks by themselves, as they are within our calls."""
    import cupy

    chosen = options(runner, graphs=True, precision=PRECISION)
    stopwatch = CudaStopwatch(cupy.cuda.get_current_stream())
    return network_rows(engine, chosen, padded, 1, stopwatch, effort)


def our_rows(
    engine: fcmrt.Engine,
    runner: str,
    graphs: bool,
    features: dict[str, Any],
    networks: Sequence[Row],
    effort: Effort,
    attempts: Attempts,
) -> list[Row]:
    """Time this runtime in one setting, as launches or as graphs.

    What networks take is the device's time for them; what it costs the host to launch them is a
    part of the rest.

    Args:
        engine: The codec.
        runner: Library that runs our networks.
        graphs: Which setting.
        features: Of one picture.
        networks: What `own_networks` gave.
        effort: How often.
        attempts: What fails is a row with the `error`.
    """
    setting = "CUDA graphs" if graphs else "launches"
    head: Row = {"system": OURS, "setting": setting}

    def work() -> list[Row]:
        codec = GpuCodec.open(engine, options(runner, graphs=graphs, precision=PRECISION))
        inputs = [to_gpu(features)]
        packets = [codec.encoder.encode(inputs[0])]
        rows: list[Row] = []
        for direction, call in directions(codec, inputs, packets).items():
            own = {**head, "direction": direction}

            def one(own: Row = own, call: Callable[[int], None] = call) -> list[Row]:
                found = report.median_and_spread(wall_ms(call, effort))
                taken = networks_ms(networks, str(own["direction"]))
                return [
                    {
                        **own,
                        "whole_ms": found["median"],
                        "spread": found["spread"],
                        "networks_ms": taken,
                        "rest_ms": None if taken is None else found["median"] - taken,
                        "bytes": len(packets[0]),
                        "sm_mhz": sm_megahertz(),
                    }
                ]

            rows += attempts.rows(own, one)
        return rows

    return attempts.rows(head, work)


def bars(rows: Sequence[Row]) -> list[Row]:
    """Check the figures against the bars, each side's best setting against the other's."""
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
                    if (row["system"], row.get("direction")) == (system, direction)
                    and row.get(key) is not None
                ]
                for system in (OURS, THEIRS)
            )
            # A rest that is not above 0 was not measured: the networks took longer alone.
            ratio = min(theirs) / min(ours) if theirs and ours and min(ours) > 0 else None
            found.append(bar(f"{direction}, {what}", AT_LEAST, limit, ratio, "x"))
    return found


def published_text(found: dict[str, Any]) -> str:
    """Lay out the comparison for people."""
    parts = (("published", COLUMNS), ("published_networks", NETWORKS), ("published_bars", BARS))
    return "\n\n".join(report.table(found[key], columns) for key, columns in parts)
