"""Latency on a GPU; the command is `python -m benchmarks.latency --device cuda`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fcmrt
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from . import report
from .gpu_codec import GpuCodec, options, to_gpu, wait
from .gpu_device import describe_gpu
from .latency import COLUMNS, TOTAL, CallTimes, batches, diagnose, stage_rows, time_calls

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from .report import Row

BATCHES, QUICK_BATCHES = (1, 4, 16, 64), (1, 4)
REPEATS, QUICK_REPEATS = 50, 5
_LEAST_REPEATS = 10  # of a large batch; small ones are timed more often
CUDA_COLUMNS = {"batch": "d", "graph": "", **COLUMNS}


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


def total_row(calls: Sequence[dict[str, int]], head: Row) -> Row:
    """Give the percentiles of whole calls, in ms."""
    figures = report.percentiles([call[TOTAL] / 1e6 for call in calls])
    return {**head, "stage": TOTAL, **figures, "share": 1.0}


def timed_or_told(
    call: Callable[[int], None], repeats: int, graphs: bool
) -> tuple[list[dict[str, int]], str | None]:
    """Time whole calls.

    Args:
        call: What to time; gets the number of the call.
        repeats: Number of timed calls.
        graphs: Whether CUDA graphs are allowed. Only then is a failure told, not raised: what is
            launched one by one is measured all the same.

    Returns:
        The calls' times, and why there are none.
    """
    try:
        return time_calls(call, CallTimes(), repeats), None
    except RuntimeError as error:  # DeviceError and what CuPy and PyTorch raise at a replay
        if not graphs:
            raise
        report.progress(f"no CUDA graph: {error}")
        return [], str(error)


def engine_rows(
    engine: fcmrt.Engine,
    runner: str,
    features: Sequence[dict[str, Any]],
    batch: int,
    repeats: int,
    quality: float | None,
) -> tuple[list[Row], list[str]]:
    """Time an engine on one batch size, with CUDA graphs and without, and its stages without.

    Whole calls are timed without a recorder, since recording stages makes the GPU wait. Where CUDA
    graphs fail, the row has the `error` in place of times.
    """
    rows: list[Row] = []
    diagnosis = []
    packets: list[Any] = []
    inputs = [to_gpu(one) for one in batches(features, batch)]
    for graphs in (False, True):
        codec = GpuCodec.open(engine, options(runner, graphs=graphs), quality=quality)
        packets = packets or [codec.encoder.encode(one) for one in inputs]
        head = {
            "engine": engine.manifest.name,
            "device": "cuda",
            "runner": runner,
            "batch": batch,
            "graph": graphs,
            "repeats": repeats,
        }
        for direction, call in directions(codec, inputs, packets).items():
            calls, error = timed_or_told(call, repeats, graphs)
            whole = {**head, "direction": direction, "recorded": False}
            told = {**whole, "stage": TOTAL, "error": error}
            rows.append(total_row(calls, whole) if error is None else told)
    recorder = CallTimes()
    codec = GpuCodec.open(engine, options(runner, graphs=False), recorder, quality)
    names = list(engine.manifest.graphs)
    for direction, call in directions(codec, inputs, packets).items():
        calls = time_calls(call, recorder, repeats)
        recorded = {**head, "graph": False, "direction": direction, "recorded": True}
        if any(set(stages) - {TOTAL} for stages in calls):
            found = stage_rows(calls, names, recorded)
            rows += found
            diagnosis.append(f"batch {batch}: {diagnose(found, names)}")
    return rows, diagnosis


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

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
    chosen: tuple[int, ...] = QUICK_BATCHES if arguments.quick else BATCHES
    if arguments.batch is not None:
        chosen = (arguments.batch,)
    features = photo_features(arguments.threads)
    rows: list[Row] = []
    diagnosis: list[str] = []
    for batch in chosen:
        times = min(repeats, max(_LEAST_REPEATS, 4 * repeats // (batch + 3)))
        report.progress(f"batch {batch}: {times} calls of each")
        found, sentences = engine_rows(
            engine, arguments.runner, features, batch, times, arguments.quality
        )
        rows += found
        diagnosis += sentences
    more: dict[str, Any] = {"gpu": describe_gpu(), "diagnosis": diagnosis}
    text = report.table(rows, CUDA_COLUMNS)
    notes = [
        "times in ms of one call (one batch), on the wall, until the GPU is done; features come "
        "from the GPU's memory and go there, packets are in the host's",
        "graph: whether CUDA graphs were allowed; recorded: with the stages told, which makes the "
        "GPU wait in between",
    ]
    if arguments.published:
        from .published_latency import compare, published_text

        report.progress("the published widths, beside CompressAI's way")
        published = compare(arguments.published, arguments.runner, repeats)
        more |= published
        text += "\n\n" + published_text(published)
    failed = any("error" in row for row in (*rows, *more.get("published", ())))
    command = report.command_line("benchmarks.latency")
    return report.Report(command, rows, more, notes, failed), text
