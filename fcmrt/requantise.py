"""A picture at other quality steps, without running again what does not depend on them."""

from __future__ import annotations

from collections.abc import Iterator

from .bitstream import Importance
from .schedule import Dequantize, Quantize, Run, Step
from .walk import Walk


def requantised(walk: Walk, d: int, importance: Importance) -> Walk:
    """Returns a picture's walk through the encoder's schedule at other steps.

    Args:
        walk: The same picture's through all of the encoder's schedule; borrowed, and unchanged.
        d: Number of the quality step.
        importance: Where the step is another.

    Returns:
        A walk that shares arrays with the first. Its tensors are those of the encoder's schedule.

    Raises:
        ConfigError: The engine has no such step, or no such importance goes with it.
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
    """The encoder's steps that come to something else in one walk than in the other."""
    manifest = walk.manifest
    other: set[str | None] = set()  # tensors with other values
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
