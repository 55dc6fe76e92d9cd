"""Groups of latents that can be given bits separately: those made from different features.

Rules: `docs/format.md`, section 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from .manifest import Manifest
from .schedule import Code, Dequantize, Quantize, Run


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Latents that follow the quality step and are made from the same features."""

    name: str
    """Name of the feature level, or the names of several, joined by "+"."""

    latents: tuple[str, ...]
    """In the order in which they are coded."""

    sources: Mapping[str, int]
    """The latents' sources in that order, and how many channels of the group come before each."""

    channels: int
    """Channels of all sources."""


def quality_groups(manifest: Manifest) -> tuple[Group, ...]:
    """Returns an engine's groups, in the order of their first features.

    Two tensors belong together if the encoder runs a graph that has both among its inputs and
    outputs, and a latent belongs to its source, means, indexes and dequantised tensor. So a codec
    that keeps its levels apart has a group for each, one that fuses them has a single group, and
    one whose latents do not follow the quality step has none.
    """
    bonds = _Bonds()
    for step in manifest.encode:
        if isinstance(step, Run):
            bonds.join((*step.inputs, *step.outputs))
        elif isinstance(step, Quantize):
            latent = manifest.latents[step.latent]
            parts = (latent.source, latent.means, latent.indexes)
            bonds.join((_key(step.latent), *(name for name in parts if name is not None)))
        elif isinstance(step, Dequantize):
            bonds.join((_key(step.latent), step.output))
    coded = [step.latent for step in manifest.encode if isinstance(step, Code)]
    stepped = [name for name in coded if manifest.latents[name].step]
    levels: dict[str, list[str]] = {}
    for feature in manifest.features:
        levels.setdefault(bonds.root(feature.name), []).append(feature.name)
    groups = []
    for root, names in levels.items():
        latents = tuple(name for name in stepped if bonds.root(_key(name)) == root)
        if latents:
            groups.append(_group(manifest, "+".join(names), latents))
    return tuple(groups)


def _key(latent: str) -> str:
    return f"latent {latent}"  # no tensor has a blank in its name


def _group(manifest: Manifest, name: str, latents: tuple[str, ...]) -> Group:
    sources: dict[str, int] = {}
    channels = 0
    for latent in latents:
        source = manifest.latents[latent].source
        if source not in sources:
            sources[source] = channels
            channels += manifest.tensors[source].channels
    return Group(name, latents, sources, channels)


class _Bonds:
    """Names that belong together, directly or through others."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        """Returns the name that represents all names that `name` belongs to."""
        while (parent := self._parents.get(name, name)) != name:
            self._parents[name] = name = self._parents.get(parent, parent)
        return name

    def join(self, names: Iterable[str]) -> None:
        first, *others = map(self.root, names)
        for other in others:
            self._parents[self.root(other)] = self.root(first)
