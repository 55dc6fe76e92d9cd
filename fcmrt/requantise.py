"""Quantises a picture at other steps, repeating only what depends on them."""

from __future__ import annotations

from collections.abc import Iterator

from .bitstream import Importance
from .schedule import Dequantize, Quantize, Run, Step
from .walk import Walk


def requantised(walk: Walk, d: int, importance: Importance) -> Walk:
    """Returns a picture's walk through the encoder's schedule at other steps.

    Args:
        walk: The same picture's, at the end of the encoder's schedule; borrowed, not changed.
        d: Number of the quality step.
        importance: Where the step differs from `d`.

    Returns:
        A walk at the end of the encoder's schedule, which shares arrays with the first.

    Raises:
        ConfigError: The engine has no such step, or the importance does not go with it.
    """
    again = walk.at(d, importance)
    manifest = walk.manifest
    for feature in manifest.features:
        again.tensors[feature.name] = walk.tensors[feature.name]
    redone = set(_depending(walk, again))
    for step in manifest.encode:
        if step in redone:
            again.follow([step])
        elif isinstance(step, Run):
            again.tensors |= {name: walk.tensors[name] for name in step.outputs}
        elif isinstance(step, Quantize):
            again.integers[step.latent] = walk.integers[step.latent]
        elif isinstance(step, Dequantize):
            again.tensors[step.output] = walk.tensors[step.output]
    return again


def _depending(walk: Walk, again: Walk) -> Iterator[Step]:
    """Yields the encoder's steps whose results differ between two walks."""
    manifest = walk.manifest
    other: set[str | None] = set()  # names of the tensors that differ
    if walk.d != again.d and manifest.quality.input is not None:
        other.add(manifest.quality.input)
    latents = {name for name in manifest.latents if walk.step_rule(name) != again.step_rule(name)}
    for step in manifest.encode:
        if isinstance(step, Run) and other.intersection(step.inputs):
            other.update(step.outputs)
            yield step
        elif isinstance(step, Quantize):
            latent = manifest.latents[step.latent]
            if step.latent in latents or other & {latent.source, latent.means, latent.indexes}:
                latents.add(step.latent)
                yield step
        elif isinstance(step, Dequantize) and step.latent in latents:
            other.add(step.output)
            yield step
