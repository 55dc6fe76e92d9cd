"""Options that several commands of training share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fcmrt.errors import ExportError
from fcmrt.export.train.heads import TRAINING_TASKS, TrainingTask, find_training_task

DEFAULT_TASK = TRAINING_TASKS["nanodet"]
"""The task if neither `--task` nor a cache names one."""


def add_task(parser: argparse.ArgumentParser) -> None:
    """Adds `--task`, which gives a `TrainingTask` or None, and `--threads`."""
    parser.add_argument(
        "--task",
        type=_task,
        metavar="NAME",
        help=f"{', '.join(TRAINING_TASKS)}, or a TrainingTask of your own, MODULE:ATTRIBUTE "
        f"(default: that of the cache, or {DEFAULT_TASK.task.name})",
    )
    parser.add_argument("--threads", type=int, default=None, help="threads of a network's run")


def _task(name: str) -> TrainingTask:
    try:
        return find_training_task(name)
    except ExportError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Adds `--assets` and `--extra`: where pictures come from."""
    parser.add_argument(
        "--assets",
        type=Path,
        default=os.environ.get("FCMRT_ASSETS"),
        help="folder with photos/, video/ and models/ (default: FCMRT_ASSETS)",
    )
    parser.add_argument(
        "--extra",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a further folder of training pictures; may be given more than once",
    )


def assets_of(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Path:
    """The folder of `--assets`; ends the command with a message where none is given."""
    if args.assets is None:
        parser.error("pictures are needed: give --assets, or set FCMRT_ASSETS")
    return Path(args.assets)
