"""Checkpoints as options of commands: which codec is in one, and how it is run."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .. import export
from ..errors import BackendUnavailableError, ConfigError
from ..export.families import FAMILIES, REFUSED, Deploy

if TYPE_CHECKING:
    from ..engine import Engine
    from ..export import Deployment
    from ..verify import Reference


def add_codec_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds the options that say what a checkpoint is: `--codec`, `--option`, names and steps."""
    parser.add_argument(
        "--codec",
        metavar="NAME",
        default="trained",
        help=f"which codec it is: {', '.join(FAMILIES)}, or module:function of your own "
        "(default: trained, a checkpoint of fcmrt.export.train)",
    )
    parser.add_argument(
        "--level-names", metavar="NAME", nargs="+", help="names of the feature levels, finest first"
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
        help="further options of the codec, listed in docs/codecs.md; may be given several times",
    )


def deployment_of(args: argparse.Namespace) -> tuple[Deployment, dict[str, Any]]:
    """Reads a checkpoint, and finds out how its codec is run and what its card says.

    Args:
        args: With `checkpoint`, a file, and what `add_codec_arguments` has added.

    Raises:
        ConfigError: An option is malformed, or this codec does not take it; or the function named
            as the codec does not return a `Deployment`.
        ExportError: As `find_family`, `read_checkpoint` and the family.
        BackendUnavailableError: A package that exporting needs is not installed.
    """
    options = {"level_names": args.level_names, "levels": args.levels}
    chosen = {key: value for key, value in options.items() if value is not None}
    chosen |= dict(_option(text) for text in args.option)
    if any(":" in text for text in (args.codec, *args.option)):
        _import_from_here()
    try:
        deploy, found = export.find_family(args.codec), export.read_checkpoint(args.checkpoint)
        from ..export.checkpoint import card_of

        _check_options(deploy, args.codec, found, chosen)
        made = deploy(found, **chosen)
        if not isinstance(made, export.Deployment):
            raise ConfigError(
                f"codec {args.codec} returned {type(made).__name__}; it must return a Deployment, "
                "which DeploymentBuilder.finish makes"
            )
        return made, card_of(found)
    except ModuleNotFoundError as error:
        raise missing_package(error, args.codec) from error


def missing_package(error: ModuleNotFoundError, codec: str = "") -> BackendUnavailableError:
    """Makes the error that says what to install when a package is missing for exporting.

    Args:
        error: What importing raised.
        codec: Which codec was to be exported, where one was.
    """
    home = FAMILIES[codec].function if codec in FAMILIES else REFUSED.get(codec, "")
    extras = "export,compressai" if "compressai" in f"{error.name} {home}" else "export"
    return BackendUnavailableError(
        f"exporting needs {error.name}, which is not installed: pip install 'fcmrt[{extras}]'"
    )


def _import_from_here() -> None:
    """Lets modules of the working directory be imported, as `python -m` does."""
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)


def _check_options(
    deploy: Deploy, codec: str, checkpoint: dict[str, Any], chosen: dict[str, Any]
) -> None:
    """Refuses options that a codec's function does not take."""
    try:
        signature = inspect.signature(deploy)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"codec {codec} is not a function of a checkpoint: {error}") from error
    try:
        signature.bind(checkpoint, **chosen)
    except TypeError as error:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        _, *rest = signature.parameters.values()
        taken = [one.name for one in rest if one.kind in kinds]
        raise ConfigError(
            f"codec {codec}: {error}; its options are {', '.join(taken) or 'none'} (given by "
            "--option NAME=JSON, or --level-names and --levels)"
        ) from error


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise ConfigError(f"--option {text} is not NAME=JSON, such as rate=3") from error


def reference_of(engine: Engine, deployment: Deployment, *, half_weights: bool) -> Reference:
    """Returns what an engine is compared with: the networks that it was made of.

    Networks that became integers are replaced by the engine's own graphs, computed by the
    reference: how far those are from the trained networks is no difference between machines.

    Args:
        engine: The engine.
        deployment: Of the checkpoint that it was exported from.
        half_weights: Whether the engine's weights were rounded to float16.
    """
    from ..export.engine import with_weights_of
    from ..export.reference import TorchReference
    from ..runners.reference import ReferenceRunner

    runner = ReferenceRunner()
    integers = {
        name: runner.load(name, engine.graph(name), exact=True) for name in engine.manifest.exact
    }
    if half_weights:
        deployment = with_weights_of(engine, deployment)
    return TorchReference(deployment, instead=integers)
