"""What CompressAI itself does: every value that it rounds, its strings, its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from fcmrt import Engine
from fcmrt.config import RuntimeOptions
from fcmrt.executor import executor_for
from fcmrt.observe import StageClock
from fcmrt.schedule import Quantize
from fcmrt.walk import Walk

TIE = 1e-4


@dataclass(frozen=True)
class Rounded:
    """One latent as CompressAI rounds it; its halves of a checkerboard are in our order, too."""

    values: np.ndarray
    """float32 `[n]`, less the means."""
    symbols: np.ndarray
    """int32 `[n]`."""


@dataclass(frozen=True)
class Reference:
    """One picture through a model."""

    latents: list[Rounded]
    """In the order of coding."""
    bytes: int
    """Of all strings."""
    x_hat: np.ndarray
    """float32 `[1, 3, H, W]`."""


@torch.no_grad()
def follow(model: Any, x: np.ndarray, **options: Any) -> Reference:
    """Compresses a picture of a size that the model takes, and decompresses it.

    Args:
        model: Of CompressAI.
        x: float32 `[1, 3, H, W]`.
        options: Of `compress` and `decompress`.
    """
    from compressai.entropy_models import EntropyModel, EntropyModelVbr

    latents: list[Rounded] = []
    quantize, in_steps = EntropyModel.quantize, EntropyModelVbr.quantize_variable

    def recorded(self: Any, inputs: Any, mode: str, means: Any = None) -> Any:
        outputs = quantize(self, inputs, mode, means)
        if mode == "symbols":
            values = inputs if means is None else inputs - means
            latents.append(Rounded(values.reshape(-1).numpy(), outputs.reshape(-1).numpy()))
        return outputs

    def recorded_in_steps(self: Any, inputs: Any, mode: str, means: Any, qs: Any) -> Any:
        outputs = in_steps(self, inputs, mode, means, qs)
        assert mode == "symbols"
        values = (inputs - means) / qs
        latents.append(Rounded(values.reshape(-1).numpy(), outputs.reshape(-1).numpy()))
        return outputs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EntropyModel, "quantize", recorded)
        patch.setattr(EntropyModelVbr, "quantize_variable", recorded_in_steps)
        made = model.compress(torch.from_numpy(x), **options)
    found = model.decompress(made["strings"], made["shape"], **options)
    size = sum(len(string) for strings in made["strings"] for string in strings)
    return Reference(latents, size, found["x_hat"].numpy())


@dataclass(frozen=True)
class Forced:
    """An engine's way through the same picture, corrected after every step."""

    differ: int
    """Symbols that are not CompressAI's."""
    far: int
    """Those of them that CompressAI did not round at a tie."""
    elements: int
    x_hat: np.ndarray
    """float32 `[1, 3, H, W]`."""


def force(engine: Engine, x: np.ndarray, reference: Reference, d: int = 0) -> Forced:
    """Follows both sides of an engine's schedule with CompressAI's symbols in place of its own.

    Args:
        engine: Of the model that the reference was made with.
        x: float32 `[1, 3, H, W]`, padded.
        reference: What CompressAI does with it.
        d: Number of the quality step.
    """
    machine = executor_for(engine, RuntimeOptions(threads=1))
    walk = Walk(machine, (x.shape[2], x.shape[3]), d, StageClock(None))
    walk.take([x])
    wanted = dict(zip(engine.manifest.latents, reference.latents, strict=True))
    differ = far = 0
    for step in engine.manifest.encode:
        walk.follow([step])
        if isinstance(step, Quantize):
            found, latent = walk.integers[step.latent], wanted[step.latent]
            unequal = found.symbols != latent.symbols
            distance = np.abs(np.abs(latent.values - np.trunc(latent.values)) - 0.5)
            differ += int(unequal.sum())
            far += int((unequal & (distance >= TIE)).sum())
            found.symbols[:] = latent.symbols
    back = Walk(machine, walk.padded, d, StageClock(None))
    back.integers = walk.integers
    back.follow(engine.manifest.decode)
    elements = sum(len(latent.symbols) for latent in reference.latents)
    return Forced(differ, far, elements, back.tensors["x_hat"])
