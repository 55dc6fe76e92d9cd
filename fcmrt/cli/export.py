"""`fcmrt export`: a trained codec's checkpoint becomes an engine file."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import export
from ..atomicfile import replace_file
from ..errors import ConfigError, EngineError
from .checkpoint import add_codec_arguments, deployment_of, missing_package
from .inputs import read_pictures
from .outputs import check_output, report_to
from .text import count, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..arrays import FloatArray
    from ..engine import Engine
    from ..export import Deployment
    from ..export.importance.predictor import ImportancePredictor
    from ..export.onnx import Precision
    from ..importance_model import ImportanceModel

    Picture = Sequence[FloatArray]
    Importance = tuple[ImportanceModel, ImportancePredictor]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="file that torch.save wrote")
    add_codec_arguments(parser)
    parser.add_argument("--out", metavar="FILE.fcmrt", required=True, help="engine file to write")
    parser.add_argument("--name", help="name of the engine (default: the file's, without suffix)")
    parser.add_argument(
        "--card",
        metavar="JSON",
        help="JSON file with what people should know about the engine (default: the checkpoint's "
        "own card)",
    )
    exact = parser.add_argument_group(
        "exact engines",
        "With --calibrate the networks between packet and tables become integers carried in "
        "floats, and every machine decodes the engine's packets; without it, or with --profile "
        "same-engine, they stay as they are.",
    )
    exact.add_argument(
        "--calibrate",
        metavar="PATH",
        help="features of training pictures, all of one size: an .npz with a batch of each level, "
        "or a folder with one LEVEL.npy each, such as a cache of fcmrt.export.train",
    )
    exact.add_argument(
        "--profile",
        choices=("exact", "same-engine"),
        help="same-engine: use --calibrate for the precision only, as for networks without an "
        "exact form (default: exact with --calibrate; codecs without such networks always are)",
    )
    exact.add_argument(
        "--pictures",
        metavar="N",
        type=int,
        default=64,
        help="how many pictures of --calibrate to use (default: 64)",
    )
    exact.add_argument(
        "--activation-bits",
        metavar="BITS",
        type=int,
        help="bits of activations; the more they have, the fewer are left for weights",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8"),
        default="fp32",
        help="arithmetic of analysis and synthesis; int8 needs --calibrate (default: fp32)",
    )
    parser.add_argument(
        "--importance",
        metavar="FILE",
        help="importance model made by fcmrt.export.importance: the engine then knows what its "
        "levels are worth to the task",
    )
    parser.add_argument(
        "--float32-weights",
        action="store_true",
        help="store weights as float32 (default: float16, which halves the file)",
    )


def run(args: argparse.Namespace) -> int:
    """Exports, and prints a line about the engine."""
    if args.precision == "int8" and args.calibrate is None:
        raise ConfigError("--precision int8 needs --calibrate: the ranges of activations")
    if args.activation_bits is not None and args.calibrate is None:
        raise ConfigError("--activation-bits goes with --calibrate, which makes integers")
    out = Path(args.out)
    check_output(out, _inputs(args))
    given = _card(args.card)
    # Read early, so that what does not fit is refused before the work.
    importance = None if args.importance is None else _read_importance(args.importance)
    deployment, card = deployment_of(args)
    if importance is not None:
        _check_importance(args.importance, deployment, importance)
    pictures = []
    if args.calibrate is not None:
        levels = [feature.name for feature in deployment.features]
        pictures = read_pictures(Path(args.calibrate), levels, args.pictures)
    if args.profile != "same-engine" and pictures:
        deployment = _exact(deployment, pictures, args.activation_bits)
    elif args.profile == "exact" and deployment.entropy_path:
        raise ConfigError(
            "--profile exact needs --calibrate: the ranges of what reaches "
            f"{', '.join(deployment.entropy_path)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.fcmrt"
        engine = export.write(
            made,
            deployment,
            name=args.name or out.stem,
            card=card if given is None else given,
            half_weights=not args.float32_weights,
        )
        if args.precision != "fp32":
            engine = _in_precision(made, engine, args.precision, pictures)
        if importance is not None:
            engine = _with_importance(made, engine, args.importance, importance)
        written = made.read_bytes()
    report = report_to(out)
    replace_file(out, written, mode=0o644)
    print(f"{printable(args.out)}: {_summary(engine)}, {count(len(written))} bytes", file=report)
    return 0


def _inputs(args: argparse.Namespace) -> list[str | Path | None]:
    """All files that the command reads."""
    files = [args.checkpoint, args.card, args.importance]
    if args.calibrate is None:
        return files
    source = Path(args.calibrate)
    return [*files, *(source.glob("*.npy") if source.is_dir() else (source,))]


def _exact(
    deployment: Deployment, pictures: Sequence[Picture], activation_bits: int | None
) -> Deployment:
    from ..export.exact import Precision
    from ..export.exact.path import convert_path

    precision = None if activation_bits is None else Precision(activation_bits=activation_bits)
    return deployment.with_networks(convert_path(deployment, pictures, precision=precision))


def _read_importance(path: str) -> Importance:
    try:
        from ..export.importance import files
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    model, network, _ = files.read(path)
    return model, network


def _check_importance(path: str, deployment: Deployment, importance: Importance) -> None:
    from ..export.importance.engine import check_levels

    try:
        check_levels(deployment.features, importance[1])
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error


def _with_importance(out: Path, engine: Engine, path: str, importance: Importance) -> Engine:
    from ..export.importance.engine import write_with_importance

    try:
        return write_with_importance(out, engine, *importance)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error


def _in_precision(
    out: Path, engine: Engine, precision: Precision, pictures: Sequence[Picture]
) -> Engine:
    from ..export.variants import graph_inputs, in_precision

    singles = ([level[0] for level in picture] for picture in pictures)
    qualities = range(1, len(engine.manifest.quality.levels) + 1)
    inputs = graph_inputs(engine, singles, qualities)
    return in_precision(engine, precision, inputs=inputs, path=out)


def _card(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise ConfigError(f"{path} holds a {type(card).__name__}; a card is an object")
    return card


def _summary(engine: Engine) -> str:
    manifest = engine.manifest
    levels = len(manifest.quality.levels)
    return (
        f"{manifest.family}, {manifest.profile}, {len(manifest.graphs)} graphs, "
        f"{levels} quality level{'s' if levels > 1 else ''}, digest {engine.digest_hex[:16]}"
    )
