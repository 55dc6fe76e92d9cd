"""A codec for each level: each has a latent and a quality of its own.

MFIBA (arXiv 2503.19278) needs this: it gives bits to each level separately.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
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
        self._frozen: frozenset[int] = frozenset()

    def train_only(self, levels: Collection[int]) -> None:
        """Freezes the codecs of all other levels, whose features `forward` then leaves uncoded.

        Args:
            levels: By number, the finest is 0.

        Raises:
            ValueError: There is no such level, or codecs share their parameters.
        """
        self._frozen = frozenset(range(len(self.codecs))) - set(levels)
        if len(self._frozen) + len(set(levels)) != len(self.codecs):
            raise ValueError(f"levels are 0 to {len(self.codecs) - 1}, not {sorted(levels)}")
        parameters = [id(p) for codec in self.codecs for p in codec.parameters()]
        if len(parameters) != len(set(parameters)):
            raise ValueError("one codec for all levels is trained for all of them")
        for level in self._frozen:
            self.codecs[level].requires_grad_(False)

    def trained(self) -> list[tuple[int, FeatureCodec]]:
        """Numbers and codecs of the levels that are trained."""
        return [(i, codec) for i, codec in enumerate(self._codecs()) if i not in self._frozen]

    def set_feature_statistics(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> None:
        """See `FeatureCodec`."""
        for codec, mean, std in zip(self._codecs(), means, stds, strict=True):
            codec.set_feature_statistics([mean], [std])

    def forward(
        self, features: Sequence[Tensor], d: Tensor, generator: torch.Generator | None = None
    ) -> Forward:
        """See `FeatureCodec`."""
        return _joined(
            _uncoded(feature) if level in self._frozen else codec([feature], quality, generator)
            for level, (codec, feature, quality) in enumerate(self._each(features, d))
        )

    def latents(self, features: Sequence[Tensor]) -> list[Tensor]:
        """See `FeatureCodec`: one for each level."""
        each = zip(self._codecs(), features, strict=True)
        return [latent for codec, feature in each for latent in codec.latents([feature])]

    def entropy_forward(self, latents: Sequence[Tensor], d: Tensor) -> Tensor:
        """See `FeatureCodec`; levels that are not trained do not count."""
        bits = [
            codec.entropy_forward([latent], quality)
            for level, (codec, latent, quality) in enumerate(self._each(latents, d))
            if level not in self._frozen
        ]
        return torch.stack(bits).sum(0)

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


def _uncoded(feature: Tensor) -> Forward:
    nothing = feature.new_zeros(len(feature))
    return Forward((feature,), nothing, nothing)


def _joined(parts: Iterable[Forward]) -> Forward:
    passes = tuple(parts)
    return Forward(
        tuple(itertools.chain.from_iterable(one.features for one in passes)),
        torch.stack([one.y_bits for one in passes]).sum(0),
        torch.stack([one.z_bits for one in passes]).sum(0),
        passes,
    )
