"""The task networks that codecs are trained for, by name; and everybody else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcmrt.errors import ExportError
from fcmrt.export.named import import_named
from fcmrt.export.train.loss import TaskHead
from fcmrt.export.train.movenet_head import MoveNetHead
from fcmrt.export.train.nanodet_head import NanoDetHead
from fcmrt.tasks.task import MOVENET, NANODET, Task


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """A task network that codecs are trained for."""

    task: Task
    head: Callable[[Path], TaskHead[Any]]
    """From the file of the back half, which is the task's `network` with ".back.onnx"."""


TRAINING_TASKS = {
    "movenet": TrainingTask(MOVENET, MoveNetHead),
    "nanodet": TrainingTask(NANODET, NanoDetHead),
}
"""Those of fcmrt; the mask of people has no head, and only stands in benchmarks."""


def find_training_task(name: str) -> TrainingTask:
    """Finds a task network that codecs are trained for.

    Args:
        name: One of `TRAINING_TASKS`, or `module:attribute` of somebody else's, which is imported.

    Raises:
        ExportError: There is none of that name, or it is no `TrainingTask`.
        ImportError: A package that it needs is not installed.
    """
    if name in TRAINING_TASKS:
        return TRAINING_TASKS[name]
    unknown = (
        f"no codec is trained for the task {name!r}; there are {', '.join(TRAINING_TASKS)}, or the "
        "name of a TrainingTask, as in my_package.my_task:MINE"
    )
    found = import_named("task", name, name, unknown)
    if not isinstance(found, TrainingTask):
        raise ExportError(f"task {name!r} is a {type(found).__name__}, and no TrainingTask")
    return found
