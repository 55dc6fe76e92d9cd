"""`fcmrt export`: a trained codec's checkpoint becomes an engine file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackendUnavailableError, ConfigError
from ..export.families import FAMILIES
from .text import count

if TYPE_CHECKING:
    from ..engine import Engine


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
        "--float32-weights",
        action="store_true",
        help="store weights as float32; without it as float16, in half the file",
    )


def run(args: argparse.Namespace) -> int:
    """Exports, and says what came of it."""
    from .. import export

    options = {"level_names": args.level_names, "levels": args.levels}
    chosen = {key: value for key, value in options.items() if value is not None}
    card = _card(args.card)
    out = Path(args.out)
    try:
        deploy = export.find_family(args.codec)
        deployment = deploy(export.read_checkpoint(args.checkpoint), **chosen)
        engine = export.write(
            out,
            deployment,
            name=args.name or out.stem,
            card=card,
            half_weights=not args.float32_weights,
        )
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            f"exporting needs {error.name}, which is not installed: pip install 'fcmrt[export]'"
        ) from error
    print(f"{out}: {_summary(engine)}, {count(out.stat().st_size)} bytes")
    return 0


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
