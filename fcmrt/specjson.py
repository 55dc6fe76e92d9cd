"""The JSON form of what `fcmrt.spec` defines, in the manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from . import strictjson as sj
from .spec import DType, FeatureSpec, LatentSpec, Padding, Parity, Quality, StepTable, TensorSpec

BY_CHANNEL = "channel"
"""A latent's `indexes` in JSON if its tables are the channels' numbers."""

_MAX_CHANNELS = 1 << 16
_MAX_STRIDE = 1 << 12
_MAX_QUALITY_STEP = 1 << 12  # absolute value of a step number, and the number of steps


def _channels_stride(found: Mapping[str, Any], place: str) -> tuple[int, int]:
    return (
        sj.integer(found["channels"], f"{place}.channels", 1, _MAX_CHANNELS),
        sj.integer(found["stride"], f"{place}.stride", 1, _MAX_STRIDE),
    )


def parse_feature(value: Any, place: str) -> FeatureSpec:
    """Reads one of `manifest.features`; EngineError where it does not hold."""
    found = sj.fields(value, place, ("name", "channels", "stride"))
    return FeatureSpec(sj.name(found["name"], f"{place}.name"), *_channels_stride(found, place))


def parse_tensor(value: Any, place: str) -> TensorSpec:
    """Reads one of `manifest.tensors`; EngineError where it does not hold."""
    found = sj.fields(value, place, ("channels", "stride", "dtype"))
    dtype = sj.choice(found["dtype"], f"{place}.dtype", ("float32", "int32"))
    return TensorSpec(*_channels_stride(found, place), cast(DType, dtype))


def parse_padding(value: Any, place: str) -> Padding:
    """Reads `manifest.padding`; EngineError where it does not hold."""
    found = sj.fields(value, place, ("multiple", "mode", "align"))
    mode = sj.choice(found["mode"], f"{place}.mode", ("reflect", "replicate", "zero"))
    align = sj.choice(found["align"], f"{place}.align", ("start", "center"))
    multiple = sj.integer(found["multiple"], f"{place}.multiple", 1, _MAX_STRIDE)
    return Padding(multiple, cast(Any, mode), cast(Any, align))


def parse_latent(value: Any, place: str) -> LatentSpec:
    """Reads one of `manifest.latents`; EngineError where it does not hold."""
    found = sj.fields(value, place, [field.name for field in dataclasses.fields(LatentSpec)])
    indexes = sj.name(found["indexes"], f"{place}.indexes")
    means = None if found["means"] is None else sj.name(found["means"], f"{place}.means")
    channels = None
    if found["channels"] is not None:
        start, stop = sj.array(found["channels"], f"{place}.channels", 2, 2)
        channels = (
            sj.integer(start, f"{place}.channels[0]", 0, _MAX_CHANNELS),
            sj.integer(stop, f"{place}.channels[1]", 1, _MAX_CHANNELS),
        )
    parity = None
    if found["parity"] is not None:
        parity = cast(Parity, sj.choice(found["parity"], f"{place}.parity", ("even", "odd")))
    return LatentSpec(
        source=sj.name(found["source"], f"{place}.source"),
        tables=sj.name(found["tables"], f"{place}.tables"),
        indexes=None if indexes == BY_CHANNEL else indexes,
        means=means,
        step=sj.boolean(found["step"], f"{place}.step"),
        skip=sj.integer(found["skip"], f"{place}.skip", 0, 4096),
        channels=channels,
        parity=parity,
    )


def parse_steps_table(value: Any, place: str) -> StepTable:
    """Reads `manifest.steps`; EngineError where it does not hold."""
    found = sj.fields(value, place, ("first", "values"))
    first = sj.integer(found["first"], f"{place}.first", -_MAX_QUALITY_STEP, _MAX_QUALITY_STEP)
    values = sj.array(found["values"], f"{place}.values", 1, _MAX_QUALITY_STEP)
    last = 0
    for i, width in enumerate(values):
        last = sj.integer(width, f"{place}.values[{i}]", last + 1, (1 << 31) - 1)
    return StepTable(first, tuple(values))


def parse_quality(value: Any, place: str, mechanisms: tuple[str, ...]) -> Quality:
    """Reads `manifest.quality`, by one of some mechanisms; EngineError where it does not hold."""
    found = sj.mapping(value, place)
    mechanism = sj.choice(found.get("mechanism"), f"{place}.mechanism", mechanisms)
    keys = ("mechanism", "input") if mechanism == "gain" else ("mechanism",)
    found = sj.fields(value, place, (*keys, "levels", "default"))
    levels = sj.array(found["levels"], f"{place}.levels", 1, _MAX_QUALITY_STEP)
    last = _MAX_QUALITY_STEP * 2 + 1
    for i, d in enumerate(levels):
        last = sj.integer(d, f"{place}.levels[{i}]", -_MAX_QUALITY_STEP, last - 1)
    default = sj.integer(found["default"], f"{place}.default", 1, len(levels))
    position = sj.name(found["input"], f"{place}.input") if mechanism == "gain" else None
    return Quality(tuple(levels), default, position)


def quality_value(quality: Quality) -> dict[str, Any]:
    """Returns the JSON value of a quality, as `parse_quality` reads it."""
    position = {} if quality.input is None else {"input": quality.input}
    return {
        "mechanism": quality.mechanism,
        **position,
        "levels": list(quality.levels),
        "default": quality.default,
    }
