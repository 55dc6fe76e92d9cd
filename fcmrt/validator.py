"""Proves that a schedule decodes what it encodes.

Both sides are walked once. Every tensor gets an *origin*: a number that stands for how it is
computed, down to features and latents' integers. Two tensors with the same origin hold the same
values, provided that the latents that they depend on hold the same integers on both sides. These
do, by induction in coding order: the coder returns the same symbols if the table indexes are the
same, and the same values if the means are, and the validator has found both to have the same origin
on both sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from .declarations import check_cover, check_latent, check_spec, declare, find_spec
from .errors import EngineError
from .schedule import Code, Dequantize, Quantize, Run, Side, Step
from .spec import FeatureSpec, LatentSpec, TensorSpec


def validate(
    *,
    features: Sequence[FeatureSpec],
    tensors: Mapping[str, TensorSpec],
    latents: Mapping[str, LatentSpec],
    graphs: Collection[str],
    tables: Collection[str],
    encode: Sequence[Step],
    decode: Sequence[Step],
    outputs: Mapping[str, str],
    position: str | None = None,
) -> None:
    """Proves that a schedule is complete and that both sides see the same integers.

    Every tensor is written once, before it is read; the decoder reads nothing that only the
    encoder has; a tensor that both sides write is computed alike on both; every latent is
    quantised once, coded once per side in the same order, and dequantised by the decoder; the
    latents of one source take each of its elements exactly once; channels, strides and element
    types fit; the position of the quality is read by both sides, and by no graph of the exact path;
    everything declared is used.

    Args:
        features: The levels, at least one.
        tensors: By name; none has the name of a feature.
        latents: By name.
        graphs: Names of the engine's graphs.
        tables: Names of the engine's table sets.
        encode: The encoder's steps.
        decode: The decoder's steps.
        outputs: Name of the tensor that holds each feature's reconstruction, by feature.
        position: Name of the tensor that gives graphs the quality, on both sides; None: there
            is none.

    Raises:
        EngineError: It is not so; the message says what and where, as in `manifest.decode[2]: ...`.
    """
    declared = declare(features, tensors, position)
    for name, latent in latents.items():
        check_latent(f"manifest.latents.{name}", latent, tensors, tables)
    check_cover(latents, tensors)

    origins: dict[object, int] = {}
    encoder = _Walk("encode", declared, latents, graphs, origins, position)
    for feature in features:
        encoder.write(feature.name, "manifest.features", ("feature", feature.name))
    encoder.walk(encode)
    decoder = _Walk("decode", declared, latents, graphs, origins, position, other=encoder)
    decoder.walk(decode)

    _check_latents_done(encoder, decoder, latents)
    _check_same_origins(encoder, decoder)
    _check_outputs(features, outputs, declared, decoder)
    _check_used(encoder, decoder, tensors, latents, graphs, tables)
    if position is not None:
        _check_position(position, encoder, decoder, exact_path(latents, decode), decode)


def exact_path(latents: Mapping[str, LatentSpec], decode: Sequence[Step]) -> tuple[str, ...]:
    """Finds the graphs whose integers become means or table indexes, directly or through others.

    Args:
        latents: By name.
        decode: The decoder's steps; a valid schedule computes these tensors alike on both sides.

    Returns:
        Names of graphs, in the order in which they first run.
    """
    wanted = {latent.means for latent in latents.values()}
    wanted |= {latent.indexes for latent in latents.values()}
    runs = [step for step in decode if isinstance(step, Run)]
    found = set()
    for run in reversed(runs):
        if wanted & set(run.outputs):
            found.add(run.graph)
            wanted |= set(run.inputs)
    return tuple(dict.fromkeys(run.graph for run in runs if run.graph in found))


def check_exact(
    profile: str,
    exact: Collection[str],
    latents: Mapping[str, LatentSpec],
    decode: Sequence[Step],
) -> None:
    """Checks that an engine proves as much as its profile says.

    Args:
        profile: "exact" or "same-engine".
        exact: Names of the graphs with a proof.
        latents: By name.
        decode: The decoder's steps.

    Raises:
        EngineError: An exact engine lacks a proof of a graph of the exact path, or has one of a
            graph that is not on it.
    """
    path = exact_path(latents, decode) if profile == "exact" else ()
    for name in path:
        if name not in exact:
            raise EngineError(
                f"manifest.exact lacks {name!r}, whose integers become means or table indexes; an "
                "engine of profile 'exact' proves all such graphs"
            )
    for name in exact:
        if name not in path:
            raise EngineError(
                f"manifest.exact.{name}: the graph is not on the exact path of a {profile} engine"
            )


@dataclasses.dataclass(slots=True)
class _Walk:
    """One side's steps, followed in order."""

    side: Side
    declared: Mapping[str, TensorSpec]
    latents: Mapping[str, LatentSpec]
    graphs: Collection[str]
    origins: dict[object, int]
    """Shared by both sides: the number for each way in which a tensor is computed."""
    position: str | None
    """The tensor that gives graphs the quality; only they may read it."""
    other: _Walk | None = None
    """The encoder's, when the decoder is walked."""
    origin: dict[str, int] = dataclasses.field(default_factory=dict)
    writers: dict[str, str] = dataclasses.field(default_factory=dict)
    read: set[str] = dataclasses.field(default_factory=set)
    ran: set[str] = dataclasses.field(default_factory=set)
    known: set[str] = dataclasses.field(default_factory=set)
    """Latents whose symbols are known."""
    coded: list[str] = dataclasses.field(default_factory=list)
    dequantized: set[str] = dataclasses.field(default_factory=set)

    def number(self, how: object) -> int:
        return self.origins.setdefault(how, len(self.origins))

    def walk(self, steps: Sequence[Step]) -> None:
        for i, step in enumerate(steps):
            place = f"manifest.{self.side}[{i}]"
            match step:
                case Run():
                    self._run(step, place)
                case Quantize():
                    self._quantize(step.latent, place)
                case Dequantize():
                    self._dequantize(step, place)
                case Code():
                    self._code(step.latent, place)

    def _run(self, step: Run, place: str) -> None:
        if step.graph not in self.graphs:
            raise EngineError(f"{place}.run: graph {step.graph!r} is not declared")
        self.ran.add(step.graph)
        inputs = frozenset((name, self._read_input(name, place)) for name in step.inputs)
        for name in step.outputs:
            self.write(name, place, ("run", step.graph, name, inputs))

    def _quantize(self, name: str, place: str) -> None:
        latent = self._latent(name, place)
        if self.side != "encode":
            raise EngineError(f"{place}: only the encoder quantizes")
        if name in self.known:
            raise EngineError(f"{place}: latent {name!r} is quantized a second time")
        self._read(latent.source, place)
        self._read_parameters(latent, place)
        self.known.add(name)

    def _dequantize(self, step: Dequantize, place: str) -> None:
        latent = self._latent(step.latent, place)
        if step.latent not in self.known:
            before = "quantized" if self.side == "encode" else "decoded"
            raise EngineError(f"{place}: latent {step.latent!r} has not been {before} before")
        if step.latent in self.dequantized:
            raise EngineError(f"{place}: latent {step.latent!r} is dequantized a second time")
        self.dequantized.add(step.latent)
        source = self.declared[latent.source]
        check_spec(step.output, place, source, self.declared)
        self.write(step.output, place, ("latent", step.latent))

    def _code(self, name: str, place: str) -> None:
        latent = self._latent(name, place)
        if name in self.coded:
            raise EngineError(f"{place}: latent {name!r} is coded a second time")
        if self.side == "encode" and name not in self.known:
            raise EngineError(f"{place}: latent {name!r} has not been quantized before")
        self._read_parameters(latent, place)
        self.known.add(name)
        self.coded.append(name)

    def _latent(self, name: str, place: str) -> LatentSpec:
        if name not in self.latents:
            raise EngineError(f"{place}: latent {name!r} is not declared")
        return self.latents[name]

    def _read_parameters(self, latent: LatentSpec, place: str) -> None:
        if latent.means is not None:
            self._read(latent.means, place)
        if latent.indexes is not None:
            self._read(latent.indexes, place)

    def _read_input(self, name: str, place: str) -> int:
        if name == self.position:
            self.read.add(name)
            return self.number(("position",))
        return self._read(name, place)

    def _read(self, name: str, place: str) -> int:
        find_spec(name, place, self.declared)
        if name not in self.origin:
            if self.other is not None and name in self.other.origin:
                raise EngineError(
                    f"{place} reads {name!r}, which the encoder has, but the decoder has not here"
                )
            raise EngineError(f"{place} reads {name!r} before any step has written it")
        self.read.add(name)
        return self.origin[name]

    def write(self, name: str, place: str, how: object) -> None:
        """Notes that `name` is written at `place`, computed as `how` says."""
        find_spec(name, place, self.declared)
        if name in self.origin:
            raise EngineError(f"{place} writes {name!r}, which {self.writers[name]} has written")
        self.origin[name] = self.number(how)
        self.writers[name] = place


def _check_latents_done(encoder: _Walk, decoder: _Walk, latents: Mapping[str, LatentSpec]) -> None:
    for name in latents:
        for walk in encoder, decoder:
            if name not in walk.coded:
                raise EngineError(f"manifest.{walk.side}: latent {name!r} is never coded")
        if name not in decoder.dequantized:
            raise EngineError(f"manifest.decode: latent {name!r} is never dequantized")
    if encoder.coded != decoder.coded:
        raise EngineError(
            f"manifest.encode codes {', '.join(encoder.coded)}, but manifest.decode "
            f"{', '.join(decoder.coded)}; the order must be the same"
        )


def _check_same_origins(encoder: _Walk, decoder: _Walk) -> None:
    for name, origin in decoder.origin.items():
        if encoder.origin.get(name, origin) != origin:
            raise EngineError(
                f"{decoder.writers[name]}: tensor {name!r} is computed in another way than by "
                f"{encoder.writers[name]}; both sides must run the same graphs on the same latents"
            )


def _check_outputs(
    features: Sequence[FeatureSpec],
    outputs: Mapping[str, str],
    declared: Mapping[str, TensorSpec],
    decoder: _Walk,
) -> None:
    if set(outputs) != {feature.name for feature in features}:
        raise EngineError("manifest.outputs must have one tensor for each feature, and no more")
    for feature in features:
        place = f"manifest.outputs.{feature.name}"
        name = outputs[feature.name]
        check_spec(name, place, feature.tensor, declared)
        if name not in decoder.origin:
            raise EngineError(f"{place}: no step of manifest.decode writes {name!r}")
        decoder.read.add(name)


def _check_position(
    position: str,
    encoder: _Walk,
    decoder: _Walk,
    path: Collection[str],
    decode: Sequence[Step],
) -> None:
    for walk in encoder, decoder:
        if position not in walk.read:
            raise EngineError(
                f"manifest.quality.input: nothing in manifest.{walk.side} reads {position!r}"
            )
    for i, step in enumerate(decode):
        if isinstance(step, Run) and step.graph in path and position in step.inputs:
            raise EngineError(
                f"manifest.decode[{i}] reads {position!r}, but the integers of {step.graph!r} "
                "become means or table indexes; only graphs off the exact path follow the quality"
            )


def _check_used(
    encoder: _Walk,
    decoder: _Walk,
    tensors: Mapping[str, TensorSpec],
    latents: Mapping[str, LatentSpec],
    graphs: Collection[str],
    tables: Collection[str],
) -> None:
    for walk in encoder, decoder:
        for name, place in walk.writers.items():
            if name not in walk.read:
                raise EngineError(f"{place}: nothing in manifest.{walk.side} reads {name!r}")
    used = {
        "tensors": (tensors, {*encoder.origin, *decoder.origin}),
        "graphs": (graphs, {*encoder.ran, *decoder.ran}),
        "tables": (tables, {latent.tables for latent in latents.values()}),
    }
    for section, (names, found) in used.items():
        for name in names:
            if name not in found:
                raise EngineError(f"manifest.{section}.{name} is not used by the schedule")
