"""The heads of the task networks by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fcmrt.export.train.loss import TaskHead
from fcmrt.export.train.movenet_head import MoveNetHead
from fcmrt.export.train.nanodet_head import NanoDetHead

HEADS: dict[str, Callable[[Path], TaskHead[Any]]] = {
    "movenet": MoveNetHead,
    "nanodet": NanoDetHead,
}
