"""`fcmrt verify`: every way to run an engine here against the reference, stage by stage."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError
from ..spec import level_sizes
from .checkpoint import add_codec_arguments, deployment_of, reference_of
from .inputs import add_engine_operand, load_engine, read_features
from .outputs import check_output, report_to
from .task import TASKS, Detector
from .text import count, table

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..engine import Engine
    from ..verify import Reference, Stage, Verification

    Features = dict[str, npt.NDArray[Any]]

RANDOM_SIZES = ((32, 32), (24, 40))
SEED = 0

_HEAD = (
    *("stage", "configuration", "integers", "differ", "ties"),
    *("largest", "relative", "ms", "verdict"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_engine_operand(parser)
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument(
        "--features",
        metavar="FILE",
        nargs="+",
        help="what to encode: .npz or .npy as `fcmrt encode` takes them; without it, seeded "
        "random features of two sizes",
    )
    inputs.add_argument(
        "--photo",
        metavar="PICTURE",
        nargs="+",
        help="pictures, for engines of the task network that comes with fcmrt",
    )
    origin = parser.add_argument_group("against the networks that the engine was made of")
    origin.add_argument("--checkpoint", metavar="FILE", help="what the engine was exported from")
    add_codec_arguments(origin)
    origin.add_argument(
        "--float32-weights", action="store_true", help="give this if it was exported with it"
    )
    parser.add_argument("--quality", metavar="Q", type=float, help="quality level")
    parser.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        default=3,
        help="how often each stage runs, to measure its time (default: 3)",
    )
    parser.add_argument(
        "--json", metavar="PATH|-", help="write one JSON object here; - is standard output"
    )


def run(args: argparse.Namespace) -> int:
    """Compares; 0 if every stage that must be exact is, else 1."""
    from ..verify import verify

    if args.repeats < 1:
        raise ConfigError("--repeats must be at least 1")
    if args.json not in (None, "-"):
        read = (args.engine, args.checkpoint, *(args.features or ()), *(args.photo or ()))
        check_output(Path(args.json), read)
    engine = load_engine(args.engine)
    described, pictures = _inputs(args, engine)
    found = verify(
        engine,
        pictures,
        quality=args.quality,
        repeats=args.repeats,
        reference=_reference(args, engine),
        progress=lambda text: print(text, file=sys.stderr) if sys.stderr.isatty() else None,
    )
    value = {
        "engine": engine.manifest.name,
        "digest": engine.digest_hex,
        "profile": engine.manifest.profile,
        "inputs": described,
        **verification_value(found),
    }
    if args.json != "-":
        print(_listing(value, found), file=report_to(args.json))
    if args.json is not None:
        text = json.dumps(value, indent=1, allow_nan=False) + "\n"
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, encoding="utf-8")
    return 0 if found.exact else 1


def _reference(args: argparse.Namespace, engine: Engine) -> Reference | None:
    """Returns the networks of a checkpoint; None, without one: the engine's own graphs."""
    if args.checkpoint is None:
        return None
    deployment, _ = deployment_of(args)
    if deployment.features != engine.manifest.features:
        levels, wanted = (
            ", ".join(f"{feature.name} ({feature.channels})" for feature in features)
            for features in (deployment.features, engine.manifest.features)
        )
        raise ConfigError(
            f"{args.checkpoint} has the levels {levels}; the engine's are {wanted}: use the "
            "options that it was exported with (--codec, --level-names, --option)"
        )
    return reference_of(engine, deployment, half_weights=not args.float32_weights)


def _inputs(args: argparse.Namespace, engine: Engine) -> tuple[str, Iterator[Features]]:
    levels = [feature.name for feature in engine.manifest.features]
    if args.features is not None:
        paths = [Path(name) for name in args.features]
        return f"features of {', '.join(args.features)}", itertools.chain.from_iterable(
            _pictures_of(read_features(path, levels)) for path in paths
        )
    if args.photo is not None:
        task = str(engine.manifest.card.get("task", ""))
        if not any(name in task.lower() for name in TASKS):
            raise ConfigError(
                f"--photo makes features with {' or '.join(TASKS)}, which is not what this engine "
                f"is for (its card says {task or 'nothing'!r}); give --features"
            )
        detector = Detector()
        return f"features of {', '.join(args.photo)}", (
            detector.features(Path(name)) for name in args.photo
        )
    sizes = ", ".join(f"{rows} x {columns}" for rows, columns in RANDOM_SIZES)
    return f"random features, seed {SEED}, {sizes} cells", random_features(engine)


def _pictures_of(features: Features) -> Iterator[Features]:
    """Splits a batch into its pictures."""
    if all(level.ndim == 3 for level in features.values()):
        yield features
        return
    for n in range(min(len(level) for level in features.values())):
        yield {name: level[n] for name, level in features.items()}


def random_features(engine: Engine) -> Iterator[Features]:
    """Draws normally distributed features, the same every time.

    Yields:
        One picture's features of each of `RANDOM_SIZES`: float32 `[C, H, W]` by level.
    """
    draw = np.random.default_rng(SEED)
    for rows, columns in RANDOM_SIZES:
        specs = engine.manifest.features
        sizes = level_sizes(specs, rows, columns)
        yield {
            spec.name: draw.standard_normal((spec.channels, *size), np.float32)
            for spec, size in zip(specs, sizes, strict=True)
        }


def verification_value(found: Verification) -> dict[str, Any]:
    """Returns the findings as plain values for JSON; what is not finite is None."""
    return {
        "exact": found.exact,
        "reference": found.reference,
        "configurations": dict(found.identities),
        "stages": [_stage_value(stage) for stage in found.stages],
    }


def _stage_value(stage: Stage) -> dict[str, Any]:
    return {
        "side": stage.side,
        "step": stage.step,
        "configuration": stage.configuration,
        "exact": stage.exact,
        "integers": stage.integers,
        "differing": stage.differing,
        "ties": stage.ties,
        "floats": stage.floats,
        "absolute": _finite(stage.absolute),
        "relative": _finite(stage.relative),
        "ms": _finite(stage.ms),
        "bringup": [dataclasses.asdict(verdict) for verdict in stage.bringup],
        "verdict": _verdict(stage),
        "error": stage.error,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _verdict(stage: Stage) -> str:
    if stage.error is not None:
        return "failed"
    if not stage.exact:
        return "" if stage.differing == stage.ties else "differs"
    if stage.brought_up is False:
        return "refused by the bring-up"
    return "NOT EXACT" if stage.fails else "exact"


def _listing(value: dict[str, Any], found: Verification) -> str:
    rows = [_HEAD]
    places: dict[tuple[str, str], int] = {}
    for stage in sorted(found.stages, key=lambda stage: stage.side == "decode"):
        places.setdefault((stage.side, stage.step), len(places))
    ordered = sorted(found.stages, key=lambda stage: places[stage.side, stage.step])
    for stage in ordered:
        rows.append(
            (
                f"{stage.side}: {stage.step}",
                stage.configuration,
                count(stage.integers) if stage.integers else "",
                count(stage.differing) if stage.integers or stage.exact else "",
                count(stage.ties) if stage.step.startswith("symbols ") else "",
                f"{stage.absolute:.1e}" if stage.floats else "",
                f"{stage.relative:.1e}" if stage.floats else "",
                f"{stage.ms:.2f}",
                _verdict(stage),
            )
        )
    lines = [
        f"{value['engine']}, {value['profile']}, {value['digest'][:16]}",
        f"inputs: {value['inputs']}",
        f"reference: {found.reference}",
        "",
        table(rows, right=(2, 3, 4, 5, 6, 7)),
        "",
        *(f"{name}: {identity}" for name, identity in found.identities.items()),
        *(f"{s.configuration}, {s.step}: {s.error}" for s in ordered if s.error is not None),
        "",
        _conclusion(found),
    ]
    return "\n".join(lines)


def _conclusion(found: Verification) -> str:
    failing = sorted({stage.configuration for stage in found.stages if stage.fails})
    if failing:
        return f"NOT exact here: {', '.join(failing)}."
    graphs = any(stage.exact and stage.step.startswith("run ") for stage in found.stages)
    if graphs:
        return "Every stage that must be exact is exact here."
    return (
        "Quantiser and coder are exact here. The engine has no exact path: its means and table "
        "indexes are those of one library on one machine (same-engine)."
    )
