"""What importance costs an encoder in time and bytes: where it is wanted, and where it is not.

python -m benchmarks.importance_cost --engine FILE [--quality Q] [--rounds N] [--before PYTHON]
                                     [--json PATH|-] [--quick]

The engine needs an importance model. With --before, an interpreter whose fcmrt is of before there
was importance encodes the same features, by the same engine without its model, in turns with ours.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.allocation import Allocator
from fcmrt.bitstream.packet_syntax import checksum_offset
from fcmrt.engine_writer import write_engine
from fcmrt.errors import ConfigError
from fcmrt.executor import executor_for
from fcmrt.groups import quality_groups
from fcmrt.observe import StageTimes
from fcmrt.schedule import Run
from fcmrt.tasks.task import NANODET, TASKS

from . import evaluation_set, report
from .coder_bars import AT_LEAST, AT_MOST, BARS, BELOW, bar
from .coder_timing import Timed, alternate
from .encode_worker import Worker
from .engine_coder import load_engine
from .evaluation import Evaluation
from .statistics import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

PHOTOS, QUICK_PHOTOS = 8, 2
ROUNDS, QUICK_ROUNDS = 25, 5
RESAMPLES = 1000
OPTIONS = fcmrt.RuntimeOptions(threads=1)

OFF, WITHOUT_MODEL = "off", "off, engine without a model"
PREDICTED, LEVELS_ALONE = "importance=True", "importance=True, roi=[]"
WEIGHTED = "weights by hand, other steps"
GIVEN, PREDICTOR = "the same steps by hand", "predictor alone"
SYNTHESIS = "synthesis alone"
HERE, BEFORE = "this build", "a build before importance"
SAME_WITHOUT, SAME_BY_HAND = "off_and_without_a_model", "predicted_and_by_hand"
SAME_BEFORE = "this_build_and_before"
MOST_SHARE = 0.05  # of the encoder's time, for the predictor
MOST_OFF = 1.02  # ratio of times; as much is noise
COLUMNS = {"what": "", "ms": ".2f", "spread": ".2f", "ratio": ".3f", "low": ".3f", "high": ".3f"}


def without_model(engine: fcmrt.Engine, path: Path) -> fcmrt.Engine:
    """Write an engine again, without its importance model."""
    manifest = engine.manifest
    assert manifest.importance is not None
    graphs = {n: engine.graph(n) for n in manifest.graphs if n != manifest.importance.graph}
    tables = {name: engine.tables(name).to_bytes() for name in manifest.tables}
    return write_engine(path, dataclasses.replace(manifest, importance=None), graphs, tables)


def rows_of(taken: Mapping[str, NDArray[np.float64]], base: str) -> list[Row]:
    """Give medians, and the medians of ratios to `base`, round by round, with intervals.

    Args:
        taken: Milliseconds by name: float64 `[rounds]`.
        base: What the others are compared with.
    """
    rng = np.random.default_rng(0)
    rows = []
    for name, values in taken.items():
        timed = report.median_and_spread(values)
        ratios = values / taken[base]
        low, high = interval(np.median(rng.choice(ratios, (RESAMPLES, len(ratios))), axis=1))
        row = {"what": name, "ms": timed["median"], "spread": timed["spread"]}
        rows.append(row | {"ratio": float(np.median(ratios)), "low": low, "high": high})
    return rows


def measure(
    engine: fcmrt.Engine,
    plain: fcmrt.Engine,
    pictures: Sequence[Features],
    quality: int,
    rounds: int,
) -> tuple[list[Row], dict[str, float]]:
    """Encode every picture in every way.

    Args:
        engine: With an importance model.
        plain: The same without.
        pictures: Features of each.
        quality: Quality level.
        rounds: How often all of them are encoded in each way.

    Returns:
        Rows, and the shares of packets that have the same bytes.
    """
    encoder = fcmrt.Encoder(engine, quality=quality, options=OPTIONS)
    other = fcmrt.Encoder(plain, quality=quality, options=OPTIONS)
    allocator = Allocator(executor_for(engine, OPTIONS))
    names = [group.name for group in quality_groups(engine.manifest)]
    walks = [encoder.walk(one, step=allocator.first_step) for one in pictures]
    weights = [dict(zip(names, allocator.predicted(walk), strict=True)) for walk in walks]
    given = [encoder.walk(one, importance=True) for one in pictures]
    ways: dict[str, Callable[[int], Any]] = {
        WITHOUT_MODEL: lambda k: other.encode(pictures[k]),
        OFF: lambda k: encoder.encode(pictures[k]),
        PREDICTED: lambda k: encoder.encode(pictures[k], importance=True),
        LEVELS_ALONE: lambda k: encoder.encode(pictures[k], importance=True, roi=[]),
        WEIGHTED: lambda k: encoder.encode(pictures[k], importance=weights[k]),
        GIVEN: lambda k: encoder.encode(
            pictures[k], step=given[k].d, importance=given[k].importance
        ),
        PREDICTOR: lambda k: allocator.predicted(walks[k]),
    }
    count = len(pictures)
    calls = {
        name: Timed(lambda _, way=way: [way(k) for k in range(count)])  # type: ignore[misc]
        for name, way in ways.items()
    }
    taken = {
        name: 1e3 * samples.of(threads=1) / count
        for name, samples in alternate(calls, rounds).items()
    }
    packets = {name: [bytes(ways[name](k)) for k in range(count)] for name in list(ways)[:-1]}
    off, plain_off = ([signed(one) for one in packets[name]] for name in (OFF, WITHOUT_MODEL))
    same = {
        SAME_WITHOUT: alike(off, plain_off),
        SAME_BY_HAND: alike(packets[PREDICTED], packets[GIVEN]),
    }
    rows = rows_of(taken, WITHOUT_MODEL)
    ms = synthesis(engine, pictures, quality, rounds)
    return [*rows, {"what": SYNTHESIS, "ms": ms, "ratio": ms / rows[0]["ms"]}], same


def signed(packet: bytes) -> bytes:
    """Give a packet without its checksum, which the engine's digest is in."""
    return packet[: checksum_offset(len(packet), fcmrt.Limits())]


def alike(ours: Sequence[object], theirs: Sequence[object]) -> float:
    """Give the share of pairs whose two sides are equal."""
    return float(np.mean([one == other for one, other in zip(ours, theirs, strict=True)]))


def synthesis(
    engine: fcmrt.Engine, pictures: Sequence[Features], quality: int, rounds: int
) -> float:
    """Time the graphs that a decoder runs and an encoder does not: milliseconds for a picture.

    A predictor that saw coded features would have to wait for them.
    """
    manifest, clock = engine.manifest, StageTimes()
    ours, theirs = (
        {step.graph for step in steps if isinstance(step, Run)}
        for steps in (manifest.encode, manifest.decode)
    )
    encoder = fcmrt.Encoder(engine, quality=quality, options=OPTIONS)
    decoder = fcmrt.Decoder(engine, options=OPTIONS, recorder=clock)
    packets = [encoder.encode(one) for one in pictures]
    for _ in range(rounds):
        for packet in packets:
            decoder.decode(packet)
    return 1e-6 * sum(float(np.median(clock.ns[graph])) for graph in theirs - ours)


def against_before(
    python: str, engine: Path, pictures: Sequence[Features], quality: int, rounds: int
) -> tuple[list[Row], float]:
    """Encode every picture with this build and with that of another interpreter, in turns.

    Returns:
        Rows, and the share of rounds in which all packets are the same bytes.
    """
    with (
        Worker(python, engine, pictures, quality) as theirs,
        Worker(sys.executable, engine, pictures, quality) as ours,
    ):
        workers = {BEFORE: theirs, HERE: ours}
        encoded = [{name: one.encode() for name, one in workers.items()} for _ in range(rounds)]
    taken = {name: np.array([one[name].ms / len(pictures) for one in encoded]) for name in workers}
    same = alike(*([one[name].packets for one in encoded] for name in workers))
    return rows_of(taken, BEFORE), same


def bars_of(rows: Sequence[Row], same: Mapping[str, float]) -> list[Row]:
    """Check the ratios of times, and the shares of equal packets, against the bars."""
    ratio = {row["what"]: row["ratio"] for row in rows}
    return [
        bar("predictor, of the encoder's time", BELOW, MOST_SHARE, ratio[PREDICTOR], "times"),
        bar(
            "importance off: time with a model over without",
            AT_MOST,
            MOST_OFF,
            ratio[OFF],
            "times",
        ),
        bar(
            "importance off: time over a build before it",
            AT_MOST,
            MOST_OFF,
            ratio.get(HERE),
            "times",
        ),
        bar(
            "importance off: packets as without a model",
            AT_LEAST,
            1,
            same[SAME_WITHOUT],
            "of all",
        ),
        bar(
            "importance off: packets as by a build before it",
            AT_LEAST,
            1,
            same.get(SAME_BEFORE),
            "of all",
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.importance_cost", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--task", choices=sorted(TASKS), default=NANODET.name)
    parser.add_argument("--engine", metavar="FILE", required=True)
    parser.add_argument("--quality", metavar="Q", type=int, help="default: the engine's")
    parser.add_argument("--rounds", metavar="N", type=report.positive)
    parser.add_argument("--before", metavar="PYTHON", help="of an environment with an older fcmrt")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    task = TASKS[arguments.task]
    engine = load_engine(arguments.engine, task)
    if engine.manifest.importance is None:
        raise ConfigError(f"{engine.manifest.name} has no importance model; give another --engine")
    photos = evaluation_set.few_photos(QUICK_PHOTOS if arguments.quick else PHOTOS)
    pictures = [one.features for one in Evaluation(photos, task).references]
    quality = arguments.quality or engine.manifest.quality.default
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.fcmrt"
        plain = without_model(engine, path)
        rows, same = measure(engine, plain, pictures, quality, rounds)
        if arguments.before:
            found, equal = against_before(arguments.before, path, pictures, quality, rounds)
            rows, same = rows + found, same | {SAME_BEFORE: equal}
    bars = bars_of(rows, same)
    notes = [
        f"measured on {photos.description}; quality {quality}; processor time of one thread for a "
        f"picture, all calls in turns, {rounds} rounds",
        f"ratio: to '{WITHOUT_MODEL}' (that of '{HERE}' to '{BEFORE}'), round by round, the median "
        "with a 95 % interval",
        f"'{SYNTHESIS}' is what a predictor of coded features would wait for; wall time",
        f"'{GIVEN}' is given what was decided, so it makes the same packets and pays for nothing "
        "but their steps",
        f"'{LEVELS_ALONE}' shares bits out over levels and looks for no regions",
        f"of '{WEIGHTED}', which are those predicted, only the ratios count: steps are others than "
        f"of '{LEVELS_ALONE}', and with them what is quantised anew",
        f"packets with the same bytes, as shares: {same}; with and without a model but for the "
        "checksum, which the engine's digest is in",
    ]
    command = report.command_line("benchmarks.importance_cost")
    more = {"codec": engine.manifest.name, "same_bytes": same, "bars": bars}
    text = "\n\n".join(report.table(*one) for one in ((rows, COLUMNS), (bars, BARS)))
    result = report.Report(command, rows, more, notes, engines=[engine])
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
