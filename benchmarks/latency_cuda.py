"""Latency on a GPU; the command is `python -m benchmarks.latency --device cuda`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import fcmrt
from fcmrt.kernels.cuda.cupy_device import CupyDevice
from fcmrt.spec import padded_size

from . import report
from .attempts import Attempts, failures
from .device_networks import network_rows
from .gpu_codec import GpuCodec, options, to_gpu, wait
from .gpu_device import describe_gpu, sm_megahertz
from .gpu_timing import CudaStopwatch, Effort, wall_ms
from .latency import COLUMNS, NETWORKS, TOTAL, batches

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from .report import Row

BATCHES, QUICK_BATCHES = (1, 4, 16, 64), (1, 4)
REPEATS, QUICK_REPEATS = 50, 5
_SHORT_REPEATS, _QUICK_SHORT_REPEATS = 200, 20  # of calls below a millisecond
_WARM_UP_S = 0.1
_LEAST_REPEATS = 10  # of a large batch; small ones are timed more often
CUDA_COLUMNS = {"batch": "d", "graph": "", **COLUMNS, "sm_mhz": "d", "error": ""}


def directions(
    codec: GpuCodec, inputs: Sequence[Any], packets: Sequence[Any]
) -> dict[str, Callable[[int], None]]:
    """Give one call of each side, from features on the GPU to packets and back, to its end."""

    def encode(k: int) -> None:
        codec.encoder.encode(inputs[k % len(inputs)])
        wait()

    def decode(k: int) -> None:
        codec.decoder.decode(packets[k % len(packets)])
        wait()

    return {"encode": encode, "decode": decode}


def engine_rows(
    engine: fcmrt.Engine,
    runner: str,
    features: Sequence[dict[str, Any]],
    batch: int,
    effort: Effort,
    quality: float | None,
    attempts: Attempts,
) -> list[Row]:
    """Time whole calls of an engine on one batch size, with CUDA graphs and without.

    What fails is a row with the `error` in place of times.
    """
    head: Row = {
        "engine": engine.manifest.name,
        "device": "cuda",
        "runner": runner,
        "batch": batch,
    }
    rows: list[Row] = []
    for graphs in (False, True):
        own = {**head, "graph": graphs}
        work = functools.partial(
            _setting, engine, own, batches(features, batch), effort, quality, attempts
        )
        rows += attempts.rows(own, work)
    own = {**head, "graph": True, "stage": NETWORKS}
    rows += attempts.rows(
        own, lambda: _networks(engine, own, features, effort._replace(short_rounds=effort.rounds))
    )
    return rows


def _setting(
    engine: fcmrt.Engine,
    head: Row,
    features: Sequence[dict[str, Any]],
    effort: Effort,
    quality: float | None,
    attempts: Attempts,
) -> list[Row]:
    chosen = options(head["runner"], graphs=head["graph"])
    codec = GpuCodec.open(engine, chosen, quality=quality)
    inputs = [to_gpu(one) for one in features]
    packets = [codec.encoder.encode(one) for one in inputs]
    rows: list[Row] = []
    for direction, call in directions(codec, inputs, packets).items():
        own = {**head, "direction": direction, "stage": TOTAL}

        def one(own: Row = own, call: Callable[[int], None] = call) -> list[Row]:
            taken = wall_ms(call, effort)
            found = report.percentiles(taken)
            clock = sm_megahertz()
            return [{**own, "repeats": len(taken), **found, "share": 1.0, "sm_mhz": clock}]

        rows += attempts.rows(own, one)
    return rows


def _networks(
    engine: fcmrt.Engine, head: Row, features: Sequence[dict[str, Any]], effort: Effort
) -> list[Row]:
    """Time what the networks of a batch take by themselves; each is a stage."""
    import cupy

    manifest = engine.manifest
    sizes = [features[0][feature.name].shape[1:] for feature in manifest.features]
    padded = padded_size(manifest.features, sizes, manifest.padding)
    stopwatch = CudaStopwatch(cupy.cuda.get_current_stream())
    chosen = options(head["runner"], graphs=True)
    found = network_rows(engine, chosen, padded, head["batch"], stopwatch, effort)
    return [
        {
            **head,
            "direction": row["direction"],
            "stage": row["graph"],
            "p50": row["ms"],
            "recorded": row["recorded"],
            "sm_mhz": row["sm_mhz"],
        }
        for row in found
    ]


def measure(arguments: argparse.Namespace, keep: report.Keep) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.
        keep: As `report.run` says.

    Returns:
        What was measured, and the same as text.

    Raises:
        BackendUnavailableError: CuPy or the runner's library is not installed.
        DeviceError: There is no GPU.
    """
    from .latency import photo_features

    CupyDevice()
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    short = arguments.repeats or (_QUICK_SHORT_REPEATS if arguments.quick else _SHORT_REPEATS)
    chosen: tuple[int, ...] = QUICK_BATCHES if arguments.quick else BATCHES
    if arguments.batch is not None:
        chosen = (arguments.batch,)
    attempts = Attempts()
    rows: list[Row] = []
    more: dict[str, Any] = {"gpu": describe_gpu()}
    notes = [
        "times in ms of one call (one batch), on the wall, until the GPU is done; features come "
        "from the GPU's memory and go there, packets are in the host's",
        "graph: whether CUDA graphs were allowed; a stage that is a network: the GPU's time for it "
        "by itself, as the codec launches it, for the whole batch",
    ]

    def as_report() -> report.Report:
        everything = [*rows, *more.get("published", ()), *more.get("published_networks", ())]
        command = report.command_line("benchmarks.latency")
        return report.Report(command, rows, more, notes, bool(failures(everything)))

    def published() -> list[Row]:
        from .published_latency import compare

        def keep_found(found: dict[str, Any]) -> None:
            more.update(found)
            keep(as_report())

        report.progress("the published widths, beside CompressAI's way")
        effort = Effort(repeats, short, _WARM_UP_S)
        keep_found(compare(arguments.published, arguments.runner, effort, attempts, keep_found))
        return []

    def shipped() -> list[Row]:
        features = photo_features(arguments.threads)
        for batch in chosen:
            times = min(repeats, max(_LEAST_REPEATS, 4 * repeats // (batch + 3)))
            report.progress(f"batch {batch}: {times} calls of each")
            effort = Effort(times, short, _WARM_UP_S)
            rows.extend(
                engine_rows(
                    engine, arguments.runner, features, batch, effort, arguments.quality, attempts
                )
            )
            keep(as_report())
        return []

    rows += attempts.rows({"engine": engine.manifest.name}, shipped)
    if arguments.published:
        rows += attempts.rows({"engine": arguments.published}, published)
    text = report.table(rows, CUDA_COLUMNS)
    if "published_bars" in more:
        from .published_latency import published_text

        text += "\n\n" + published_text(more)
    return as_report(), text
