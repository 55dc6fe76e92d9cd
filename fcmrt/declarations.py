"""Checks what a manifest declares, tensor by tensor and latent by latent, apart from its steps."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from .errors import EngineError
from .spec import FeatureSpec, LatentSpec, TensorSpec


def declare(
    features: Sequence[FeatureSpec], tensors: Mapping[str, TensorSpec], position: str | None
) -> dict[str, TensorSpec]:
    """Gathers features and tensors by name; EngineError where two share a name.

    The position of the quality (`Quality.input`) is not among them, as its size does not follow the
    picture's; its name must be different from theirs.
    """
    declared = {feature.name: feature.tensor for feature in features}
    if len(declared) != len(features):
        raise EngineError("manifest.features: two features have the same name")
    for name, spec in tensors.items():
        if name in declared:
            raise EngineError(f"manifest.tensors.{name}: a feature has this name")
        declared[name] = spec
    if position in declared:
        raise EngineError(f"manifest.quality.input: another tensor is named {position!r}")
    return declared


def check_latent(
    place: str, latent: LatentSpec, tensors: Mapping[str, TensorSpec], tables: Collection[str]
) -> None:
    """Checks that a latent's tensors exist and fit each other; EngineError otherwise."""
    if latent.tables not in tables:
        raise EngineError(f"{place}.tables: table set {latent.tables!r} is not declared")
    source = find_spec(latent.source, f"{place}.source", tensors)
    if source.dtype != "float32":
        raise EngineError(f"{place}.source: {latent.source!r} is {source.dtype}, not float32")
    start, stop = latent.channel_range(source)
    if not 0 <= start < stop <= source.channels:
        raise EngineError(
            f"{place}.channels is [{start}, {stop}]; {latent.source!r} has {source.channels}"
        )
    for role, name in ("means", latent.means), ("indexes", latent.indexes):
        if name is not None:
            found = find_spec(name, f"{place}.{role}", tensors)
            channels = source.channels if found.channels == source.channels else stop - start
            wanted = TensorSpec(channels, source.stride, "int32")
            check_spec(name, f"{place}.{role}", wanted, tensors)
    if latent.indexes is None and (latent.step or latent.skip):
        raise EngineError(f"{place}: a latent with a table per channel takes no step and no skip")


def find_spec(name: str, place: str, declared: Mapping[str, TensorSpec]) -> TensorSpec:
    """Finds a declared tensor; EngineError, naming `place`, if there is none."""
    if name not in declared:
        raise EngineError(f"{place}: tensor {name!r} is not declared")
    return declared[name]


def check_spec(
    name: str, place: str, wanted: TensorSpec, declared: Mapping[str, TensorSpec]
) -> None:
    """Checks that a tensor is declared as `wanted`; EngineError, naming `place`, otherwise."""
    found = find_spec(name, place, declared)
    if found != wanted:
        raise EngineError(
            f"{place}: {name!r} has {found.channels} channels of {found.dtype} at stride "
            f"{found.stride}; it must have {wanted.channels} of {wanted.dtype} at stride "
            f"{wanted.stride}"
        )


def check_cover(latents: Mapping[str, LatentSpec], tensors: Mapping[str, TensorSpec]) -> None:
    """Checks that the latents of a source take each element exactly once; EngineError otherwise."""
    for source in {latent.source: None for latent in latents.values()}:
        spec = tensors[source]
        parts = [
            (name, latent.channel_range(spec), latent.parity)
            for name, latent in latents.items()
            if latent.source == source
        ]
        edges = {0, spec.channels}
        edges.update(edge for _, channels, _ in parts for edge in channels)
        for start, stop in itertools.pairwise(sorted(edges)):
            for parity in ("even", "odd"):
                taking = [
                    name
                    for name, channels, taken in parts
                    if channels[0] <= start < channels[1] and taken in (None, parity)
                ]
                if len(taking) != 1:
                    who = " and ".join(map(repr, taking)) + " take" if taking else "no latent takes"
                    raise EngineError(
                        f"manifest.latents: {who} channels {start} to {stop - 1} ({parity} "
                        f"cells) of {source!r}; exactly one latent must"
                    )
