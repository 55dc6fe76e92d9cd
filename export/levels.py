"""A codec for each level: each has a latent and a quality of its own.

What MFIBA (arXiv 2503.19278) needs: levels that can be given bits one by one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .codec import FeatureCodec, Forward


class LevelCodecs(FeatureCodec):
    """Single-level codecs side by side.

    Args:
        codecs: One for each level, finest first; `tied` makes them of one.
    """

    levels_have_quality = True

    def __init__(self, codecs: Iterable[FeatureCodec]) -> None:
        super().__init__()
        self.codecs = nn.ModuleList(codecs)

    def set_feature_statistics(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> None:
        """See `FeatureCodec`."""
        for codec, mean, std in zip(self._codecs(), means, stds, strict=True):
            codec.set_feature_statistics([mean], [std])

    def forward(
        self, features: Sequence[Tensor], d: Tensor, generator: torch.Generator | None = None
    ) -> Forward:
        """See `FeatureCodec`."""
        return _joined(
            codec([feature], quality, generator)
            for codec, feature, quality in self._each(features, d)
        )

    def latents(self, features: Sequence[Tensor]) -> list[Tensor]:
        """See `FeatureCodec`: one for each level."""
        each = zip(self._codecs(), features, strict=True)
        return [latent for codec, feature in each for latent in codec.latents([feature])]

    def entropy_forward(self, latents: Sequence[Tensor], d: Tensor) -> Tensor:
        """See `FeatureCodec`."""
        each = self._each(latents, d)
        return torch.stack(
            [codec.entropy_forward([latent], quality) for codec, latent, quality in each]
        ).sum(0)

    def round_trip(self, features: Sequence[Tensor], d: Tensor) -> Forward:
        """See `FeatureCodec`."""
        return _joined(
            codec.round_trip([feature], quality)
            for codec, feature, quality in self._each(features, d)
        )

    def transforms(self) -> list[nn.Module]:
        """See `FeatureCodec`."""
        return [transform for codec in self._codecs() for transform in codec.transforms()]

    def _codecs(self) -> Iterator[FeatureCodec]:
        return (cast("FeatureCodec", codec) for codec in self.codecs)

    def _each(
        self, maps: Sequence[Tensor], d: Tensor
    ) -> Iterator[tuple[FeatureCodec, Tensor, Tensor]]:
        """Each level's codec, its map, and its quality (`[N]`)."""
        by_level = d if d.dim() == 2 else d[:, None].expand(-1, len(self.codecs))
        return zip(self._codecs(), maps, by_level.unbind(1), strict=True)


def tied(codec: FeatureCodec, levels: int) -> list[FeatureCodec]:
    """One codec for several levels: the same parameters, but each level's own normalisation.

    Args:
        codec: Becomes the first.
        levels: How many.

    Returns:
        Codecs that share the parameters, not the buffers.
    """
    parameters = {id(parameter): parameter for parameter in codec.parameters()}
    return [codec, *(copy.deepcopy(codec, dict(parameters)) for _ in range(levels - 1))]


def _joined(parts: Iterable[Forward]) -> Forward:
    passes = tuple(parts)
    return Forward(
        tuple(itertools.chain.from_iterable(one.features for one in passes)),
        torch.stack([one.y_bits for one in passes]).sum(0),
        torch.stack([one.z_bits for one in passes]).sum(0),
        passes,
    )
