"""What runs where: families, profiles, precisions, runners, plans.

python -m benchmarks.support [--family NAME]... [--add] [--json PATH|-] [--quick]

A small codec of every family is exported, in every profile and precision, and every graph is run
by every runner here, each given what the PyTorch networks had before it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fcmrt
from fcmrt.cli.checkpoint import reference_of
from fcmrt.errors import (
    BackendUnavailableError,
    ConfigError,
    EngineError,
    PlanError,
)
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.exact.path import convert_path
from fcmrt.export.variants import graph_inputs, in_precision
from fcmrt.plans import PlanCache, SizeRange, build_plans, find_library
from fcmrt.schedule import Code, Run
from fcmrt.verify import REFERENCE, Configuration, runner_configurations, verify

from . import report
from .codec_samples import SAMPLES, Sample, features_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcmrt.export import Deployment
    from fcmrt.export.onnx import Precision
    from fcmrt.plans import PlanLibrary
    from fcmrt.verify import Reference, Verification

    from .codec_samples import Features
    from .report import Row

QUICK = ("lmsfc-v1", "lic-tcm-features")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
QUICK_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
PICTURES, QUICK_PICTURES = 3, 1  # of each of two sizes
CALIBRATION = range(100, 104)  # seeds of pictures that nothing is measured on
LEAST_SIDE = 32  # of pictures, in cells of the finest level
TARGET = "sm_89"
BUILT = "built"
COLUMNS = {
    "family": "",
    "profile": "",
    "precision": "",
    "runner": "",
    "works": "",
    "difference": ".1e",
    "symbols": "d",
    "differing": "d",
    "ties": "d",
    "plan": "",
}
# Kept with rows of earlier runs.
EARLIER = ("command", "machine", "versions", "commit", "runners", "plans")


def runners() -> list[Configuration]:
    """Give a way to run networks for each runner here, and for each device besides the CPU."""
    return [
        Configuration("onnxruntime", fcmrt.RuntimeOptions(threads=1)),
        Configuration("torch", fcmrt.RuntimeOptions(runner="torch", threads=1)),
        Configuration("reference", REFERENCE),
        *(c for c in runner_configurations() if c.options.device != "cpu"),
    ]


@dataclass(frozen=True, slots=True)
class Exported:
    """A sample's engine in float32, and what it is compared with."""

    engine: fcmrt.Engine
    reference: Reference


class SampleExport:
    """Exports a sample in its profiles and precisions.

    Args:
        sample: The codec.
        folder: For engine files and plans.
        pictures: How many of each size to measure on.
    """

    def __init__(self, sample: Sample, folder: Path, pictures: int) -> None:
        self._sample = sample
        self._folder = folder
        # Rounded here, so that engine and PyTorch have the same weights: only arithmetic differs.
        self._deployment = with_half_weights(sample.make())
        multiple = self._deployment.padding.multiple
        side = multiple * max(2, LEAST_SIDE // multiple)
        self._calibration = [self._features(side, side, seed) for seed in CALIBRATION]
        sizes = (side, side), (side - 3, side // 2 + 1)
        self.pictures = [self._features(*size, seed) for seed in range(pictures) for size in sizes]

    def _features(self, rows: int, columns: int, seed: int) -> Features:
        return features_of(self._sample, self._deployment, rows, columns, seed)

    def facts(self) -> Row:
        """Give what is the same in all rows of the family."""
        deployment, padding = self._deployment, self._deployment.padding
        return {
            "family": self._sample.name,
            "codec": self._sample.codec,
            "summary": self._sample.summary,
            "levels": len(deployment.features),
            "mechanism": deployment.quality.mechanism,
            "qualities": len(deployment.quality.levels),
            "graphs": len(deployment.networks),
            "code_steps": sum(isinstance(step, Code) for step in deployment.decode),
            "padding": {
                "multiple": padding.multiple,
                "mode": padding.mode,
                "align": padding.align,
            },
        }

    @property
    def has_networks_between(self) -> bool:
        """Whether networks run between packet and tables."""
        return bool(self._deployment.entropy_path)

    def same_engine(self) -> Exported:
        """Export with float networks on the entropy path."""
        return self._export(self._deployment, "same-engine")

    def exact(self) -> Exported:
        """Export with integers on the entropy path.

        Raises:
            EngineError: A network has no exact form.
        """
        pictures = [[level[None] for level in f.values()] for f in self._calibration]
        networks = convert_path(self._deployment, pictures)
        return self._export(self._deployment.with_networks(networks), "exact")

    def _export(self, deployment: Deployment, profile: str) -> Exported:
        path = self._folder / f"{profile}.fcmrt"
        engine = write(path, deployment, name=self._sample.name)
        return Exported(engine, reference_of(engine, deployment, half_weights=True))

    def in_precision(self, engine: fcmrt.Engine, precision: Precision) -> fcmrt.Engine:
        """Give an engine in another precision; int8 is calibrated at all qualities in turn."""
        if precision == "fp32":
            return engine
        qualities = range(1, len(engine.manifest.quality.levels) + 1)
        inputs = graph_inputs(engine, self._calibration, qualities) if precision == "int8" else None
        return in_precision(engine, precision, inputs=inputs)


def rows_of(
    sample: Sample,
    pictures: int,
    library: PlanLibrary | None,
    precisions: Sequence[Precision] = PRECISIONS,
) -> Iterator[Row]:
    """Measure a family.

    Args:
        sample: Its codec.
        pictures: How many of each size.
        library: Builds plans; None: none are built.
        precisions: Of analysis and synthesis.

    Yields:
        A row for each profile, precision and runner; and one for a profile that there is not.

    Raises:
        ImportError: A package is missing that the family's networks need.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = SampleExport(sample, folder, pictures)
        facts = export.facts()
        profiles = {"same-engine": export.same_engine, "exact": export.exact}
        if not export.has_networks_between:  # it is exact as it is
            del profiles["same-engine"]
        for profile, make in profiles.items():
            try:
                exported = make()
            except EngineError as error:
                yield {**facts, "profile": profile, "works": False, "why": str(error)}
                continue
            for precision in precisions:
                report.progress(f"{sample.name}, {profile}, {precision}")
                engine = export.in_precision(exported.engine, precision)
                head = {
                    **facts,
                    "profile": profile,
                    "precision": precision,
                    "plan": _plan(engine, library, folder / "plans"),
                }
                ways = runners()
                found = verify(
                    engine,
                    export.pictures,
                    repeats=1,
                    reference=exported.reference,
                    configurations=ways,
                )
                for way in ways:
                    yield {**head, "runner": way.name, **_findings(engine, found, way.name)}


def _findings(engine: fcmrt.Engine, found: Verification, runner: str) -> Row:
    """Sum up what one runner made of an engine."""
    manifest = engine.manifest
    results = set(manifest.outputs.values())
    last = {
        f"run {step.graph}"
        for step in manifest.decode
        if isinstance(step, Run) and results & set(step.outputs)
    }
    stages = [stage for stage in found.stages if stage.configuration == runner]
    symbols = [stage for stage in stages if stage.step.startswith("symbols ")]
    integers = [stage for stage in stages if stage.step.startswith("run ") and stage.integers]
    errors = [stage.error for stage in stages if stage.error is not None]
    features = [s.relative for s in stages if s.side == "decode" and s.step in last]
    if errors:
        return {"works": False, "why": errors[0]}
    return {
        "works": True,
        "exact": not any(stage.fails for stage in stages) if manifest.exact else None,
        "difference": max(features),
        "symbols": sum(stage.integers for stage in symbols),
        "differing": sum(stage.differing for stage in symbols),
        "ties": sum(stage.ties for stage in symbols),
        "integers": sum(stage.integers for stage in integers),
        "integers_differing": sum(stage.differing for stage in integers),
    }


def _plan(engine: fcmrt.Engine, library: PlanLibrary | None, folder: Path) -> str | None:
    """Build the plans of an engine; give `BUILT`, or the words of the refusal."""
    if library is None:
        return None
    side = engine.manifest.padding.multiple
    sizes = SizeRange((side, side), (2 * side, 3 * side), (4 * side, 4 * side))
    try:
        build_plans(engine, library, [TARGET], [sizes], cache=PlanCache(str(folder)))
    except PlanError as error:
        return str(error)
    return BUILT


def _library() -> PlanLibrary | None:
    try:
        return find_library("tensorrt-rtx")
    except BackendUnavailableError:
        return None


def merged(rows: Sequence[Row], before: dict[str, Any]) -> tuple[list[Row], list[Row]]:
    """Add rows to those of an earlier run; a family that both have is as measured now.

    Args:
        rows: Of this run.
        before: The object of the earlier run.

    Returns:
        All rows, and for each earlier run that still has rows its command, machine and versions,
        with the families measured by it.
    """
    measured = {row["family"] for row in rows}
    kept = [row for row in before["rows"] if row["family"] not in measured]
    runs = before.get("earlier", [])
    named = {family for run in runs for family in run["families"]}
    latest = dict.fromkeys(row["family"] for row in kept if row["family"] not in named)
    runs = [*runs, {**{key: before.get(key) for key in EARLIER}, "families": list(latest)}]
    earlier = []
    for run in runs:
        families = [family for family in run["families"] if family not in measured]
        if families:
            earlier.append({**run, "families": families})
    return [*kept, *rows], earlier


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    names = arguments.family or (QUICK if arguments.quick else [one.name for one in SAMPLES])
    library = _library()
    pictures = QUICK_PICTURES if arguments.quick else PICTURES
    precisions = QUICK_PRECISIONS if arguments.quick else PRECISIONS
    rows: list[Row] = []
    notes = [
        "codecs are small, with seeded weights that nobody trained, on drawn features",
        "difference: of decoded features, from the same integers, to the PyTorch networks in "
        "float32, at most, as a share of the largest value of a level",
        "symbols are compared with those of the PyTorch networks in float32, each graph given what "
        "they had before it; ties are those of the differing ones within 1e-4 of a rounding's edge",
    ]
    for sample in SAMPLES:
        if sample.name in names:
            try:
                rows += rows_of(sample, pictures, library, precisions)
            except ImportError as error:
                notes.append(f"{sample.name} was not measured: {error}")
    text = report.table(_short(rows), COLUMNS)
    more: dict[str, Any] = {
        "runners": [way.name for way in runners()],
        "plans": None if library is None else {"target": TARGET, **library.facts()},
    }
    if arguments.add:
        before = json.loads(Path(arguments.json).read_text(encoding="utf-8"))
        rows, more["earlier"] = merged(rows, before)
    return report.Report(report.command_line("benchmarks.support"), rows, more, notes), text


def _short(rows: Sequence[Row]) -> list[Row]:
    """Cut reasons for the table."""
    return [
        {
            **row,
            "works": "yes" if row["works"] else row["why"][:40],
            "plan": None if row.get("plan") is None else row["plan"][:60],
        }
        for row in rows
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--family",
        metavar="NAME",
        action="append",
        choices=[sample.name for sample in SAMPLES],
        help="only this one; may be given more than once",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep what the file of --json has of other families, measured elsewhere",
    )
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.add and arguments.json in (None, "-"):
        raise ConfigError("--add needs --json PATH: the file to add to")
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
