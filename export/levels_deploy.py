"""How codecs side by side are run: their schedules as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fcmrt.schedule import Code, Dequantize, Quantize, Run, Step
from fcmrt.spec import LatentSpec

from .codec import FeatureCodec
from .deployment import Deployment
from .levels import LevelCodecs

Value = TypeVar("Value")


def deploy_levels(
    codec: LevelCodecs,
    level_names: Sequence[str],
    deploy: Callable[[FeatureCodec, str], Deployment],
) -> Deployment:
    """Returns how the codecs of all levels are run.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first, each half the one before.
        deploy: How the codec of a level of that name is run on its own.
    """
    parts = [deploy(one, name) for one, name in zip(codec.codecs, level_names, strict=True)]
    return side_by_side(parts, [2**i for i in range(len(parts))])


def side_by_side(parts: Sequence[Deployment], strides: Sequence[int]) -> Deployment:
    """Returns codecs of different features as one codec of all of them.

    All names of a codec get its first feature's name as a prefix. Integers are coded codec by
    codec, and features are synthesised when all integers are known.

    Args:
        parts: Each with features of its own; all with the same padding (except for its multiple),
            grid of means, and qualities.
        strides: Side of a cell of each codec's finest level, in cells of the finest of all.

    Raises:
        ValueError: The codecs cannot be joined; the text names what differs.
    """
    first = parts[0]
    for name in ("family", "mean_bits", "steps", "quality"):
        if any(getattr(part, name) != getattr(first, name) for part in parts):
            raise ValueError(f"codecs side by side have one {name}")
    if len({(part.padding.mode, part.padding.align) for part in parts}) > 1:
        raise ValueError("codecs side by side have one rule of padding")
    tables = {name: made.to_bytes() for part in parts for name, made in part.tables.items()}
    common = {
        name
        for name, data in tables.items()
        if all(name in part.tables and part.tables[name].to_bytes() == data for part in parts)
    }
    named = [
        _renamed(part, f"{part.features[0].name}_", stride, common)
        for part, stride in zip(parts, strides, strict=True)
    ]
    multiple = math.lcm(*(part.padding.multiple for part in named))
    heads, tails = zip(*(_split(part.decode) for part in named), strict=True)
    encode = [step for part in named for step in part.encode]
    return replace(
        first,
        features=tuple(feature for part in named for feature in part.features),
        padding=replace(first.padding, multiple=multiple),
        tensors=_union(part.tensors for part in named),
        latents=_union(part.latents for part in named),
        encode=(
            *(step for step in encode if not isinstance(step, Code)),
            *(step for step in encode if isinstance(step, Code)),
        ),
        decode=tuple(step for part in (*heads, *tails) for step in part),
        outputs=_union(part.outputs for part in named),
        networks=_union(part.networks for part in named),
        tables=_union(part.tables for part in named),
    )


def _union(mappings: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def _split(steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
    """A decoder's steps up to its last code step, and those after it."""
    end = 1 + max(i for i, step in enumerate(steps) if isinstance(step, Code))
    return steps[:end], steps[end:]


def _renamed(part: Deployment, prefix: str, stride: int, common: set[str]) -> Deployment:
    """Returns a deployment with a prefix before all names, except those that all parts share."""
    given = {part.quality.input, *(feature.name for feature in part.features)}

    def name(old: str) -> str:
        return old if old in given else prefix + old

    def table(old: str) -> str:
        return old if old in common else prefix + old

    def latent(old: LatentSpec) -> LatentSpec:
        return replace(
            old,
            source=name(old.source),
            tables=table(old.tables),
            indexes=None if old.indexes is None else name(old.indexes),
            means=None if old.means is None else name(old.means),
        )

    def step(old: Step) -> Step:
        if isinstance(old, Run):
            return Run(name(old.graph), tuple(map(name, old.inputs)), tuple(map(name, old.outputs)))
        if isinstance(old, Dequantize):
            return Dequantize(name(old.latent), name(old.output))
        return Quantize(name(old.latent)) if isinstance(old, Quantize) else Code(name(old.latent))

    return replace(
        part,
        features=tuple(replace(f, stride=f.stride * stride) for f in part.features),
        padding=replace(part.padding, multiple=part.padding.multiple * stride),
        tensors={name(k): replace(v, stride=v.stride * stride) for k, v in part.tensors.items()},
        latents={name(k): latent(v) for k, v in part.latents.items()},
        encode=tuple(map(step, part.encode)),
        decode=tuple(map(step, part.decode)),
        outputs={key: name(value) for key, value in part.outputs.items()},
        networks={name(k): v for k, v in part.networks.items()},
        tables={table(k): v for k, v in part.tables.items()},
    )
