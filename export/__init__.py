"""Turns codecs trained in PyTorch into engine files.

A family makes a `Deployment` from a checkpoint: how its codec is run. `write` makes an engine file
from that. Everything else is in the modules; PyTorch is loaded when one of them is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import read_checkpoint
    from .deployment import Deployment, DeploymentBuilder
    from .engine import write
    from .families import FAMILIES, find_family

_HOMES = {
    "FAMILIES": "families",
    "Deployment": "deployment",
    "DeploymentBuilder": "deployment",
    "find_family": "families",
    "read_checkpoint": "checkpoint",
    "write": "engine",
}

__all__ = [
    "FAMILIES",
    "Deployment",
    "DeploymentBuilder",
    "find_family",
    "read_checkpoint",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
