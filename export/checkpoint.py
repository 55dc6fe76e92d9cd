"""Reading checkpoints: weights only, whatever they are wrapped in."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fcmrt.errors import ExportError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
"""What torch.nn.DataParallel and torch.compile put in front of every key."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint without running anything that is in it.

    Args:
        path: What `torch.save` wrote: a dict of tensors, numbers, strings and containers of those.

    Returns:
        The dict, tensors on the CPU.

    Raises:
        ExportError: It is not such a file, or it holds other objects, which only code in it could
            make.
        OSError: It cannot be read.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, RuntimeError, KeyError) as error:
        raise ExportError(
            f"{os.fspath(path)} is not a checkpoint of weights alone: {_reason(error)}; save "
            "model.state_dict() with torch.save and export that"
        ) from error
    if not isinstance(found, dict):
        raise ExportError(
            f"{os.fspath(path)} holds a {type(found).__name__}; a checkpoint is a dict"
        )
    return found


def state_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the weights of a checkpoint, by the model's own names.

    Unwraps the state dict from what training scripts put around it, and strips the prefixes of
    parallel training and of compilation from its keys.

    Raises:
        ExportError: There is no state dict in it.
    """
    state: Mapping[str, Any] = checkpoint
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(map(str, list(state)[:5]))
        raise ExportError(
            f"the checkpoint has no state dict: its keys are {keys or 'none'}; it must hold "
            f"tensors by name, bare or under {' or '.join(map(repr, _WRAPPERS))}"
        )
    while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def card_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a checkpoint's card, which describes its training; empty if it has none.

    Args:
        checkpoint: Any, as `read_checkpoint` returns it.
    """
    try:
        card = json.loads(checkpoint.get("card", "{}"))
    except (TypeError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def _reason(error: Exception) -> str:
    """Sums up PyTorch's page of text in one line."""
    refused = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error))
    if refused:
        return f"it also holds an object of {refused[1]}, which code in the file would make"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
