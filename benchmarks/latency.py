"""Where the time of one encode and one decode goes: networks, coder, and everything else.

python -m benchmarks.latency [--engine FILE] [--batch N] [--repeats N] [--threads N]
                             [--quality Q] [--json PATH|-] [--quick]
python -m benchmarks.latency --device cuda [--runner NAME] [--published FILE] [--batch N] ...
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.config import DEVICES, RUNNERS
from fcmrt.tasks.nanodet import NanoDet, letterbox

from . import report
from .evaluation_set import shipped_photos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .report import Row

REPEATS, QUICK_REPEATS = 200, 10
WARM_UP = 5
TOTAL, CODER = "total", "code"
NETWORKS, RUNTIME = "networks", "runtime"
COLUMNS = {
    "direction": "",
    "stage": "",
    "p50": ".3f",
    "p90": ".3f",
    "p99": ".3f",
    "mean": ".3f",
    "spread": ".2f",
    "share": ".1%",
}


class CallTimes:
    """A recorder that adds up the stages of one call (of a batch: over its pictures)."""

    def __init__(self) -> None:
        self._ns: collections.Counter[str] = collections.Counter()

    def record(self, stage: str, ns: int) -> None:
        """Add one duration."""
        self._ns[stage] += ns

    def take(self) -> dict[str, int]:
        """Give the stages of the call in nanoseconds, and start afresh."""
        taken, self._ns = dict(self._ns), collections.Counter()
        return taken


def time_calls(
    call: Callable[[int], object], recorder: CallTimes, repeats: int
) -> list[dict[str, int]]:
    """Call repeatedly, after a warm-up, and give each call's stages in nanoseconds.

    Args:
        call: What to time; gets the number of the call.
        recorder: The one that the called object reports to. Its `total` is replaced by the
            caller's own clock around the whole call.
        repeats: Number of timed calls.
    """
    calls = []
    for k in range(-WARM_UP, repeats):
        start = time.perf_counter_ns()
        call(k)
        total = time.perf_counter_ns() - start
        stages = {**recorder.take(), TOTAL: total}
        if k >= 0:
            calls.append(stages)
    return calls


def stage_rows(calls: Sequence[dict[str, int]], graphs: Sequence[str], head: Row) -> list[Row]:
    """Turn calls into one row per stage, in ms, with the sums `networks` and `runtime`.

    Args:
        calls: Stages of each call, nanoseconds.
        graphs: Names of the stages that are networks.
        head: What every row begins with.
    """
    samples: dict[str, list[float]] = {stage: [] for call in calls for stage in call}
    samples |= {NETWORKS: [], RUNTIME: []}
    for call in calls:
        networks = sum(ns for stage, ns in call.items() if stage in graphs)
        extra = {NETWORKS: networks, RUNTIME: call[TOTAL] - networks - call.get(CODER, 0)}
        for stage, values in samples.items():
            values.append((call | extra).get(stage, 0) / 1e6)
    total = float(np.mean(samples[TOTAL]))
    rows = []
    for stage in [s for s in samples if s != TOTAL] + [TOTAL]:
        figures = report.percentiles(samples[stage])
        rows.append({**head, "stage": stage, **figures, "share": figures["mean"] / total})
    return rows


def diagnose(rows: Sequence[Row], graphs: Sequence[str]) -> str:
    """Say in a sentence where the time of one direction goes."""
    by_stage = {row["stage"]: row for row in rows}
    share = {stage: row["share"] for stage, row in by_stage.items()}
    slowest = max((g for g in graphs if g in share), key=lambda g: share[g], default=None)
    parts = {"networks": share[NETWORKS], "coder": share.get(CODER, 0.0), "rest": share[RUNTIME]}
    largest = max(parts, key=lambda part: parts[part])
    advice = {
        "networks": f"a faster runner or a smaller {slowest!r} network would help most",
        "coder": "the entropy coder would be worth speeding up",
        "rest": "what surrounds networks and coder (copies, checks, quantiser) costs the most",
    }
    inside = f" ({slowest} {share[slowest]:.0%})" if slowest is not None else ""
    return (
        f"{rows[0]['direction']}: {by_stage[TOTAL]['p50']:.2f} ms, of which networks "
        f"{parts['networks']:.0%}{inside}, coder {parts['coder']:.0%}, runtime "
        f"{parts['rest']:.0%} ({by_stage[RUNTIME]['p50']:.2f} ms); {advice[largest]}"
    )


def photo_features(threads: int | None) -> list[dict[str, NDArray[np.float32]]]:
    """Give the features (float32 `[C, H, W]` by level) of the photos shipped with the package."""
    net = NanoDet(threads=threads)
    found = [net.features(letterbox(image)[0]) for _, image in shipped_photos()]
    return [{name: values[0] for name, values in features.items()} for features in found]


def batches(
    features: Sequence[dict[str, NDArray[np.float32]]], batch: int
) -> list[dict[str, NDArray[np.float32]]]:
    """Give inputs of one call each: pictures in turn, stacked where a call has more than one."""
    if batch == 1:
        return list(features)
    turns = []
    for first in range(len(features)):
        chosen = [features[(first + k) % len(features)] for k in range(batch)]
        turns.append({name: np.stack([item[name] for item in chosen]) for name in chosen[0]})
    return turns


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    options = fcmrt.RuntimeOptions(threads=arguments.threads)
    recorder = CallTimes()
    encoder = fcmrt.Encoder(engine, quality=arguments.quality, options=options, recorder=recorder)
    decoder = fcmrt.Decoder(engine, options=options, recorder=recorder)
    batch = arguments.batch or 1
    inputs = batches(photo_features(arguments.threads), batch)
    packets = [encoder.encode(features) for features in inputs]
    recorder.take()

    graphs = list(engine.manifest.graphs)
    head = {"engine": engine.manifest.name, "device": options.device, "batch": batch}
    directions: dict[str, Callable[[int], Any]] = {
        "encode": lambda k: encoder.encode(inputs[k % len(inputs)]),
        "decode": lambda k: decoder.decode(packets[k % len(packets)]),
    }
    rows, diagnosis = [], []
    for direction, call in directions.items():
        report.progress(f"{direction}: {repeats} calls")
        calls = time_calls(call, recorder, repeats)
        found = stage_rows(calls, graphs, {**head, "direction": direction})
        rows += found
        diagnosis.append(diagnose(found, graphs))
    sizes = [len(p) for made in packets for p in (made if isinstance(made, list) else [made])]
    result = report.Report(
        report.command_line("benchmarks.latency"),
        rows,
        {
            "diagnosis": diagnosis,
            "repeats": repeats,
            "threads": arguments.threads,
            "quality": arguments.quality or engine.manifest.quality.default,
            "packet_bytes": report.median_and_spread(sizes),
        },
        [
            "times in ms of one call (one batch); 'total' is the caller's clock around the call",
            "networks adds up the graphs; runtime is total - networks - code; shares are of means",
            f"{WARM_UP} calls of warm-up; features of {len(inputs)} photos in turn; no transfers, "
            "everything is on the CPU",
        ],
        engines=[engine],
    )
    return result, report.table(rows, COLUMNS) + "\n\n" + "\n".join(diagnosis)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", metavar="FILE", help="engine file; default: the shipped one")
    parser.add_argument(
        "--batch", type=report.positive, help="pictures a call; default: 1; on a GPU 1 to 64"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--runner", choices=RUNNERS, default="torch", help="of networks (GPU)")
    parser.add_argument(
        "--published", metavar="FILE", help="also what published_codec wrote, compared (GPU)"
    )
    parser.add_argument("--repeats", type=report.positive, help=f"timed calls; default {REPEATS}")
    parser.add_argument("--threads", type=int, help="threads of a network; default: one per core")
    parser.add_argument("--quality", type=float, help="quality level; default: the engine's")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda":
        from . import latency_cuda

        return report.run(lambda keep: latency_cuda.measure(arguments, keep), arguments.json)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
