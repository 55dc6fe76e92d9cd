"""Checkpoints as commands are told of them: which codec is in one, and how it is run."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .. import export
from ..errors import BackendUnavailableError, ConfigError
from ..export.families import FAMILIES

if TYPE_CHECKING:
    from ..engine import Engine
    from ..export import Deployment
    from ..verify import Reference


def add_codec_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds what tells the codec of a checkpoint: `--codec`, `--option` and names and steps."""
    parser.add_argument(
        "--codec",
        metavar="NAME",
        default="trained",
        help=f"which codec it is: {', '.join(FAMILIES)}, or module:function of your own "
        "(default: trained, a checkpoint of fcmrt.export.train)",
    )
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


def deployment_of(args: argparse.Namespace) -> tuple[Deployment, dict[str, Any]]:
    """Reads a checkpoint, and finds out how its codec is run and what its card tells.

    Args:
        args: With `checkpoint`, a file, and what `add_codec_arguments` has added.

    Raises:
        ConfigError: An option is not one.
        ExportError: As `find_family`, `read_checkpoint` and the family.
        BackendUnavailableError: A package that exporting needs is not installed.
    """
    options = {"level_names": args.level_names, "levels": args.levels}
    chosen = {key: value for key, value in options.items() if value is not None}
    chosen |= dict(_option(text) for text in args.option)
    try:
        deploy, found = export.find_family(args.codec), export.read_checkpoint(args.checkpoint)
        from ..export.checkpoint import card_of

        return deploy(found, **chosen), card_of(found)
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            f"exporting needs {error.name}, which is not installed: pip install 'fcmrt[export]'"
        ) from error


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise ConfigError(f"--option {text} is not NAME=JSON, such as rate=3") from error


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
