"""`fcmrt export`: a trained codec's checkpoint becomes an engine file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import export
from ..errors import BackendUnavailableError, ConfigError
from ..export.families import FAMILIES
from .text import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine import Engine
    from ..export import Deployment
    from ..verify import Reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="what torch.save wrote")
    parser.add_argument(
        "--codec",
        metavar="NAME",
        default="trained",
        help=f"which codec it is: {', '.join(FAMILIES)}, or module:function of your own "
        "(default: trained, a checkpoint of fcmrt.export.train)",
    )
    parser.add_argument("--out", metavar="FILE.fcmrt", required=True, help="engine file to write")
    parser.add_argument("--name", help="name of the engine (default: that of the file)")
    parser.add_argument("--card", metavar="JSON", help="file of what people should know of it")
    parser.add_argument(
        "--level-names", metavar="NAME", nargs="+", help="of the feature levels, finest first"
    )
    parser.add_argument(
        "--levels",
        metavar="D",
        type=int,
        nargs="+",
        help="quantiser steps of the quality levels, largest first, of codecs that take steps",
    )
    parser.add_argument(
        "--option",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="what else the codec lets its users choose; may be given several times",
    )
    parser.add_argument(
        "--float32-weights",
        action="store_true",
        help="store weights as float32; without it as float16, in half the file",
    )


def run(args: argparse.Namespace) -> int:
    """Exports, and says what came of it."""
    card = _card(args.card)
    options = {"level_names": args.level_names, "levels": args.levels}
    chosen = {key: value for key, value in options.items() if value is not None}
    chosen |= dict(_option(text) for text in args.option)
    deployment = deployment_of(args.checkpoint, args.codec, chosen)
    out = Path(args.out)
    engine = export.write(
        out,
        deployment,
        name=args.name or out.stem,
        card=card,
        half_weights=not args.float32_weights,
    )
    print(f"{out}: {_summary(engine)}, {count(out.stat().st_size)} bytes")
    return 0


def deployment_of(checkpoint: str, codec: str, options: Mapping[str, Any]) -> Deployment:
    """Reads a checkpoint and finds out how its codec is run.

    Args:
        checkpoint: A file.
        codec: Name of its family, or `module:function`.
        options: For that function.

    Raises:
        ExportError: As `find_family`, `read_checkpoint` and the family.
        BackendUnavailableError: A package that exporting needs is not installed.
    """
    try:
        return export.find_family(codec)(export.read_checkpoint(checkpoint), **options)
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            f"exporting needs {error.name}, which is not installed: pip install 'fcmrt[export]'"
        ) from error


def reference_of(engine: Engine, deployment: Deployment, *, half_weights: bool) -> Reference:
    """Returns what an engine is compared with: the networks that it was made of.

    In the place of networks that became integers stand the engine's own graphs, computed by the
    reference: what they made of the trained network is not a difference between machines.

    Args:
        engine: The engine.
        deployment: Of the checkpoint that it was exported from.
        half_weights: Whether the engine's weights were rounded to float16.
    """
    from ..export.engine import with_half_weights
    from ..export.reference import TorchReference
    from ..runners.reference import ReferenceRunner

    runner = ReferenceRunner()
    integers = {
        name: runner.load(name, engine.graph(name), exact=True) for name in engine.manifest.exact
    }
    if half_weights:
        deployment = with_half_weights(deployment)
    return TorchReference(deployment, instead=integers)


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise ConfigError(f"--option {text} is not NAME=JSON, such as rate=3") from error


def _card(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
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
