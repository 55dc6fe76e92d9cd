"""Brings features as users give them into an engine's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from .arguments import instance, sequence, whole
from .arrays import FloatArray, as_features, as_numpy, is_on_device
from .bitstream.varint import U32_MAX
from .errors import ConfigError, ShapeError
from .spec import FeatureSpec, Size, require_related

Borrow = Callable[[Any, str], Any]
"""Views an array on a GPU, given its name for errors, as one of this library's arrays there."""


class DeviceMemory(Protocol):
    """What taking in features from a device's memory needs of the device."""

    def borrow(self, array: Any, name: str) -> Any:
        """See `Borrow`."""

    def download(self, array: Any) -> npt.NDArray[Any]:
        """Copies one of this library's arrays to the host."""


class Level(NamedTuple):
    """The features of one level, `[C, H, W]` or `[N, C, H, W]`, borrowed."""

    name: str
    array: Any
    """On the host, of any element type; or what a device's `borrow` returned."""
    on_device: bool

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.array.shape[-2], self.array.shape[-1]

    @property
    def is_batch(self) -> bool:
        """Whether it has an axis of pictures."""
        return len(self.array.shape) == 4

    def as_batch(self) -> Level:
        """Views one picture as a batch of one."""
        return self._replace(array=self.array[None])


class Intake:
    """Takes in features of one engine.

    Args:
        specs: The engine's levels.
        memory: The device's, where features may be as well; None: they must be on the host.
    """

    def __init__(self, specs: Sequence[FeatureSpec], memory: DeviceMemory | None) -> None:
        self._specs, self._memory = specs, memory

    def levels(self, features: Any) -> list[Level]:
        """Returns the features in the engine's order, wherever they are; errors as `arrange`."""
        borrow = None if self._memory is None else self._memory.borrow
        return arrange(self._specs, features, borrow)

    def on_host(self, levels: Sequence[Level]) -> list[FloatArray]:
        """Returns the levels' features in the host's memory, as `as_features` does."""
        return [
            as_features(
                self._memory.download(level.array)
                if level.on_device and self._memory is not None
                else level.array,
                level.name,
            )
            for level in levels
        ]


def sizes_of(levels: Sequence[Level]) -> list[Size]:
    """Returns height and width of each level."""
    return [level.size for level in levels]


def arrange(
    specs: Sequence[FeatureSpec], features: Any, borrow: Borrow | None = None
) -> list[Level]:
    """Brings features into the engine's order; their values are not checked.

    Args:
        specs: The engine's levels.
        features: A mapping, a sequence or one array; borrowed.
        borrow: Takes arrays on a GPU; None: they are refused.

    Raises:
        ShapeError, DTypeError, DeviceError, ConfigError: As `Encoder.encode`.
    """
    if isinstance(features, Mapping):
        arrays: Sequence[Any] = in_order(specs, features)
    elif isinstance(features, list | tuple):
        arrays = features
    else:
        arrays = [features]
    names = [spec.name for spec in specs]
    if len(arrays) != len(names):
        raise ShapeError(f"got {len(arrays)} levels; the engine has {', '.join(names)}")
    levels = [_level(*pair, borrow) for pair in zip(specs, arrays, strict=True)]
    if len({level.array.shape[:-3] for level in levels}) > 1:
        raise ShapeError(
            "the levels differ in batch: "
            + ", ".join(f"{level.name} {list(level.array.shape)}" for level in levels)
        )
    require_related(specs, sizes_of(levels))
    return levels


def _level(spec: FeatureSpec, array: Any, borrow: Borrow | None) -> Level:
    on_device = borrow is not None and is_on_device(array)
    take = borrow if borrow is not None and on_device else as_numpy
    level = Level(spec.name, take(array, spec.name), on_device)
    shape = level.array.shape
    if len(shape) not in (3, 4):
        raise ShapeError(
            f"{spec.name} has shape {list(shape)}; it must be [C, H, W] or [N, C, H, W]"
        )
    if shape[-3] != spec.channels:
        raise ShapeError(
            f"{spec.name} has {shape[-3]} channels (shape {list(shape)}); the engine "
            f"takes {spec.channels}, in the order [C, H, W]"
        )
    if 0 in shape:
        raise ShapeError(f"{spec.name} is empty (shape {list(shape)})")
    return level


def sizes_in_order(specs: Sequence[FeatureSpec], sizes: Any) -> tuple[Size, ...]:
    """Sizes of levels as users give them, by name, in the engine's order.

    Raises:
        ConfigError: Other levels than the engine's, or what are no sizes.
        ShapeError: Sizes that levels of one picture cannot have.
    """
    instance(sizes, Mapping, "sizes", "it must be height and width of every level, by name")
    found = []
    for spec, size in zip(specs, in_order(specs, sizes), strict=True):
        sides = sequence(size, f"the size of {spec.name}")
        if len(sides) != 2:
            raise ConfigError(f"the size of {spec.name} is {sides}; it must be height and width")
        height, width = (whole(side, f"a side of {spec.name}", 1, U32_MAX) for side in sides)
        found.append((height, width))
    require_related(specs, found)
    return tuple(found)


def in_order(specs: Sequence[FeatureSpec], levels: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a mapping has for each level, in the engine's order; ConfigError for other levels."""
    wanted = [spec.name for spec in specs]
    if set(levels) != set(wanted):
        raise ConfigError(
            f"got the levels {', '.join(sorted(map(str, levels)))}; the engine has "
            f"{', '.join(wanted)}"
        )
    return tuple(levels[name] for name in wanted)
