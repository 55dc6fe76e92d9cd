"""Which feature codecs there are: families, their configurations, and presets by name."""

from __future__ import annotations

from typing import Any, cast

from .codec import FeatureCodec
from .lmsfc import LMSFC_NANODET_LIGHT, LMSFC_V1_PUBLISHED, Lmsfc, LmsfcConfig
from .lmsfc_v2 import LMSFC_V2_NANODET_LIGHT, LMSFC_V2_PUBLISHED, LmsfcV2, LmsfcV2Config

Config = LmsfcConfig | LmsfcV2Config

_FAMILIES: dict[str, tuple[Any, Any]] = {
    "lmsfc-v1": (LmsfcConfig, Lmsfc),
    "lmsfc-v2": (LmsfcV2Config, LmsfcV2),
}

PRESETS: dict[str, Config] = {
    "lmsfc-v1": LMSFC_V1_PUBLISHED,
    "lmsfc-v2": LMSFC_V2_PUBLISHED,
    "lmsfc-nanodet-light": LMSFC_NANODET_LIGHT,
    "lmsfc-v2-nanodet-light": LMSFC_V2_NANODET_LIGHT,
}


def family_of(config: Config) -> str:
    """Name of the family that a configuration belongs to."""
    return next(name for name, (kind, _) in _FAMILIES.items() if type(config) is kind)


def make_codec(config: Config) -> FeatureCodec:
    """A new codec of that configuration, with random weights."""
    return cast("FeatureCodec", _FAMILIES[family_of(config)][1](config))


def config_from(family: str, data: dict[str, Any]) -> Config:
    """A configuration from its JSON form.

    Raises:
        ValueError: There is no such family.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family {family!r} is not known; there are {', '.join(_FAMILIES)}")
    return cast("Config", _FAMILIES[family][0].from_dict(data))
