"""Optimisation profiles: the shapes of every graph's inputs, from the sizes of the features."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .. import strictjson
from ..config import Limits
from ..errors import ConfigError
from ..manifest import Manifest
from ..schedule import Run
from ..spec import Size, level_sizes, padded_size
from ..tensorrt.recipe import Profile, Shape

CARD_SIZES = "sizes"
"""Key of an engine's card: a list of `[height, width]`, the usual sizes of the finest level."""

_MAX_SIDE = Limits().max_side
_MAX_CARD_SIZES = 64
_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")


@dataclasses.dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes of the finest feature level that one profile takes: `(height, width)` in cells."""

    least: Size
    best: Size
    """The size that the library chooses its kernels for."""
    most: Size

    def __post_init__(self) -> None:
        for low, middle, high in zip(self.least, self.best, self.most, strict=True):
            if not 1 <= low <= middle <= high <= _MAX_SIDE:
                raise ConfigError(
                    f"size {self}: sides must be 1 to {_MAX_SIDE} cells, and must not decrease "
                    "from the least size to the best, nor from the best to the most"
                )

    @classmethod
    def fixed(cls, height: int, width: int) -> SizeRange:
        """Returns the range of one size only."""
        return cls((height, width), (height, width), (height, width))

    @classmethod
    def parse(cls, text: str) -> SizeRange:
        """Reads `HxW`, `LEAST..MOST` (whose best is the most) or `LEAST..BEST..MOST`.

        Raises:
            ConfigError: It is none of these, or not a range.
        """
        found = [_SIZE.fullmatch(part) for part in text.split("..")]
        sizes = [(int(match[1]), int(match[2])) for match in found if match]
        if len(sizes) != len(found) or len(sizes) > 3:
            raise ConfigError(
                f"{text!r} is no size; write HEIGHTxWIDTH in cells of the finest feature level, "
                "such as 52x52, or a range, such as 16x16..52x52..104x104 (least, best, most)"
            )
        return cls(sizes[0], sizes[-2] if len(sizes) == 3 else sizes[-1], sizes[-1])

    def padded(self, manifest: Manifest) -> SizeRange:
        """Returns the canonical sizes, at which the networks run."""

        def pad(size: Size) -> Size:
            features = manifest.features
            return padded_size(features, level_sizes(features, *size), manifest.padding)

        return SizeRange(pad(self.least), pad(self.best), pad(self.most))

    def __str__(self) -> str:
        sizes = [self.least, self.best, self.most]
        if self.best == self.most:
            sizes = [self.most] if self.least == self.most else [self.least, self.most]
        return "..".join(f"{height}x{width}" for height, width in sizes)


def canonical_sizes(manifest: Manifest, sizes: Iterable[SizeRange]) -> tuple[SizeRange, ...]:
    """Pads sizes by the engine's rule, and drops duplicates.

    Raises:
        ConfigError: There are none, or the padding leaves the range of sides.
    """
    padded = tuple(dict.fromkeys(size.padded(manifest) for size in sizes))
    if not padded:
        raise ConfigError("a plan needs at least one size of the features")
    return padded


def graph_profiles(
    manifest: Manifest, sizes: Sequence[SizeRange]
) -> dict[str, tuple[Profile, ...]]:
    """Derives the profiles of all graphs that run.

    Args:
        manifest: The engine's.
        sizes: Canonical, as `canonical_sizes` gives them.

    Returns:
        By graph, in the order in which they first run; profile `i` belongs to `sizes[i]`.
    """
    inputs = _inputs(manifest)
    return {
        graph: tuple(
            Profile(
                _shapes(manifest, inputs[graph], size.least),
                _shapes(manifest, inputs[graph], size.best),
                _shapes(manifest, inputs[graph], size.most),
            )
            for size in sizes
        )
        for graph in inputs
    }


def _inputs(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The names of every graph's inputs, in the order in which the graphs first run."""
    encode, decode = (
        {step.graph: step.inputs for step in steps if isinstance(step, Run)}
        for steps in (manifest.encode, manifest.decode)
    )
    if manifest.importance is not None:  # between the two
        encode[manifest.importance.graph] = tuple(feature.name for feature in manifest.features)
    return encode | decode


def _shapes(manifest: Manifest, inputs: Iterable[str], padded: Size) -> Mapping[str, Shape]:
    return MappingProxyType({name: manifest.shape(name, padded) for name in inputs})


def card_sizes(manifest: Manifest) -> tuple[SizeRange, ...]:
    """Reads the usual sizes from the engine's card; none if it has none.

    Raises:
        EngineError: The card's sizes are not a list of `[height, width]`.
    """
    listed: Any = manifest.card.get(CARD_SIZES)
    if listed is None:
        return ()
    place = f"manifest.card.{CARD_SIZES}"
    sizes = []
    for i, item in enumerate(strictjson.array(listed, place, 1, _MAX_CARD_SIZES)):
        height, width = strictjson.array(item, f"{place}[{i}]", 2, 2)
        strictjson.integer(height, f"{place}[{i}][0]", 1, _MAX_SIDE)
        strictjson.integer(width, f"{place}[{i}][1]", 1, _MAX_SIDE)
        sizes.append(SizeRange.fixed(height, width))
    return tuple(sizes)
