"""Which feature codecs there are: families, their configurations, and presets by name."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Self, cast

from .codec import FeatureCodec
from .elic import ELIC_MOVENET_LIGHT, ELIC_NANODET_LIGHT, Elic, ElicConfig
from .levels import LevelCodecs, tied
from .lictcm_features import (
    LICTCM_MOVENET_LIGHT,
    LICTCM_NANODET_LIGHT,
    LicTcmFeatures,
    LicTcmFeaturesConfig,
)
from .lmsfc import LMSFC_NANODET_LIGHT, LMSFC_V1_PUBLISHED, Lmsfc, LmsfcConfig
from .lmsfc_v2 import LMSFC_V2_NANODET_LIGHT, LMSFC_V2_PUBLISHED, LmsfcV2, LmsfcV2Config


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsConfig:
    """A codec for each level, or one that all levels share."""

    levels: int
    """Number of feature maps."""
    codecs: tuple[Config, ...]
    """Of each level, finest first; or one alone, whose parameters all levels share."""

    def __post_init__(self) -> None:
        if len(self.codecs) not in {1, self.levels}:
            raise ValueError(f"{self.levels} levels need as many codecs or one, not {self.codecs}")
        if any(len(config.feature_channels) != 1 for config in self.codecs):
            raise ValueError("the codec of a level has one feature map")

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of each level."""
        channels = itertools.chain.from_iterable(c.feature_channels for c in self.codecs)
        return tuple(channels) * (self.levels // len(self.codecs))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by `from_dict`."""
        codecs = [{"family": family_of(c), "config": c.to_dict()} for c in self.codecs]
        return {"levels": self.levels, "codecs": codecs}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are rejected by the constructor."""
        codecs = tuple(config_from(**codec) for codec in data["codecs"])
        return cls(**{**data, "codecs": codecs})

    def make(self) -> LevelCodecs:
        """The codec, with random weights."""
        codecs = [make_codec(config) for config in self.codecs]
        return LevelCodecs(codecs if len(codecs) == self.levels else tied(codecs[0], self.levels))


Config = LmsfcConfig | LmsfcV2Config | ElicConfig | LicTcmFeaturesConfig | LevelsConfig

_FAMILIES: dict[str, tuple[Any, Any]] = {
    "lmsfc-v1": (LmsfcConfig, Lmsfc),
    "lmsfc-v2": (LmsfcV2Config, LmsfcV2),
    "elic": (ElicConfig, Elic),
    "lic-tcm": (LicTcmFeaturesConfig, LicTcmFeatures),
    "levels": (LevelsConfig, LevelsConfig.make),
}

PRESETS: dict[str, Config] = {
    "lmsfc-v1": LMSFC_V1_PUBLISHED,
    "lmsfc-v2": LMSFC_V2_PUBLISHED,
    "lmsfc-nanodet-light": LMSFC_NANODET_LIGHT,
    "lmsfc-v2-nanodet-light": LMSFC_V2_NANODET_LIGHT,
    "elic-nanodet-light": LevelsConfig(levels=3, codecs=ELIC_NANODET_LIGHT),
    "elic-movenet-light": LevelsConfig(levels=4, codecs=ELIC_MOVENET_LIGHT),
    "lic-tcm-nanodet-light": LevelsConfig(levels=3, codecs=LICTCM_NANODET_LIGHT),
    "lic-tcm-movenet-light": LevelsConfig(levels=4, codecs=LICTCM_MOVENET_LIGHT),
}


def family_of(config: Config) -> str:
    """Name of the family that a configuration belongs to."""
    return next(name for name, (kind, _) in _FAMILIES.items() if type(config) is kind)


def make_codec(config: Config) -> FeatureCodec:
    """A new codec of that configuration, with random weights."""
    return cast("FeatureCodec", _FAMILIES[family_of(config)][1](config))


def config_from(family: str, config: dict[str, Any]) -> Config:
    """A configuration from its JSON form.

    Raises:
        ValueError: There is no such family.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family {family!r} is not known; there are {', '.join(_FAMILIES)}")
    return cast("Config", _FAMILIES[family][0].from_dict(config))
