"""How much pictures of given sizes ask of a decoder, checked against its limits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

from .config import Limits
from .manifest import Manifest
from .spec import Size, count_elements, padded_size, tensor_size


class Demand(NamedTuple):
    """What a picture asks of a decoder."""

    padded: Size
    """Size of the padded finest level."""
    elements: int
    """Number of elements in all padded features and all latents."""

    @property
    def side(self) -> int:
        """The longer side of the padded finest level."""
        return max(self.padded)


def demand_of(manifest: Manifest, sizes: Sequence[Size]) -> Demand:
    """Computes what a picture asks of a decoder.

    Args:
        manifest: The engine's.
        sizes: Height and width of every level, in the engine's order.
    """
    padded = padded_size(manifest.features, sizes, manifest.padding)
    elements = 0
    for feature in manifest.features:
        rows, columns = tensor_size(feature.tensor, padded)
        elements += feature.channels * rows * columns
    for latent in manifest.latents.values():
        elements += count_elements(latent, manifest.tensors[latent.source], padded)
    return Demand(padded, elements)


class LimitWarnings:
    """Warns, once, of pictures that decoders with the default limits refuse.

    Args:
        manifest: The engine's.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._limits = Limits()
        self._warned = False

    def see_sizes(self, sizes: Sequence[Size]) -> None:
        """Checks the sizes of a picture's levels, in the engine's order."""
        if self._warned:
            return
        demand = demand_of(self._manifest, sizes)
        over = [
            f"{field}={number}"
            for field, number in (("max_elements", demand.elements), ("max_side", demand.side))
            if number > getattr(self._limits, field)
        ]
        if over:
            self._warn(
                f"levels of these sizes are {demand.elements} elements with sides up to "
                f"{demand.side}",
                ", ".join(over),
            )

    def see_packet(self, size: int) -> None:
        """Checks a packet's length in bytes."""
        if not self._warned and size > self._limits.max_packet_bytes:
            self._warn(f"a packet of {size} bytes", f"max_packet_bytes={size}")

    def _warn(self, what: str, remedy: str) -> None:
        self._warned = True
        warnings.warn(
            f"{what}: more than decoders take by default. Tell them: "
            f"Decoder(engine, limits=Limits({remedy})), and fcmrt.open alike",
            stacklevel=4,  # whoever called the encoder
        )
