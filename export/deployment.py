"""A codec as the runtime will run it: one network for each graph, and the schedule between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import nn

from fcmrt.errors import ExportError
from fcmrt.manifest import Manifest
from fcmrt.schedule import Code, Dequantize, Quantize, Run, Step
from fcmrt.spec import (
    ONE_STEP,
    DType,
    FeatureSpec,
    LatentSpec,
    Padding,
    Quality,
    StepTable,
    TensorSpec,
)
from fcmrt.tables import CdfTables
from fcmrt.validator import exact_path

from .weights import check_weights

ONE_QUALITY = Quality((0,), 1)
"""Quality of codecs where it cannot be chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """All that an engine file is made of, with networks in place of graphs.

    A network is called with the tensors of `Run.inputs` in order, float32 `[N, C, H, W]`, and gives
    one tensor, or a tuple in the order of `Run.outputs`. What the schedule declares as int32 (means
    and table indexes) it gives as floats that are not rounded: means in units of the latent,
    indexes continuous and unclipped.
    """

    family: str
    features: tuple[FeatureSpec, ...]
    padding: Padding
    tensors: Mapping[str, TensorSpec]
    latents: Mapping[str, LatentSpec]
    mean_bits: int
    steps: StepTable
    quality: Quality
    encode: tuple[Step, ...]
    decode: tuple[Step, ...]
    outputs: Mapping[str, str]
    networks: Mapping[str, nn.Module]
    """By name of the graph."""
    tables: Mapping[str, CdfTables]

    @property
    def entropy_path(self) -> tuple[str, ...]:
        """Names of the networks whose outputs become means or indexes, in the order they run."""
        return exact_path(self.latents, self.decode)

    @property
    def runs(self) -> dict[str, Run]:
        """How each network is run, by name."""
        steps = (*self.encode, *self.decode)
        return {step.graph: step for step in steps if isinstance(step, Run)}

    def with_networks(self, networks: Mapping[str, nn.Module]) -> Self:
        """Returns the same deployment with some networks in the place of those of their names."""
        return replace(self, networks={**self.networks, **networks})

    def manifest(self, *, name: str, card: Mapping[str, Any]) -> Manifest:
        """Returns the engine's manifest, of the profile same-engine and without files."""
        return Manifest(
            name=name,
            family=self.family,
            profile="same-engine",
            features=self.features,
            padding=self.padding,
            tensors=self.tensors,
            latents=self.latents,
            mean_bits=self.mean_bits,
            steps=self.steps,
            quality=self.quality,
            encode=self.encode,
            decode=self.decode,
            outputs=self.outputs,
            card=card,
        )


class DeploymentBuilder:
    """Puts a schedule together, both sides at once, in the order in which things are done.

    Args:
        features: The levels, finest first.
        padding: How they are brought to the sizes that the networks run at.
    """

    def __init__(self, features: Sequence[FeatureSpec], padding: Padding) -> None:
        self._features = tuple(features)
        self._padding = padding
        self._tensors: dict[str, TensorSpec] = {}
        self._latents: dict[str, LatentSpec] = {}
        self._networks: dict[str, nn.Module] = {}
        self._encode: list[Step] = []
        self._decode: list[Step] = []

    def tensor(self, name: str, channels: int, stride: int, dtype: DType = "float32") -> None:
        """Declares a tensor; its stride is in cells of the finest level.

        Raises:
            ExportError: There is one of that name.
        """
        _refuse_again("tensor", name, self._tensors)
        self._tensors[name] = TensorSpec(channels, stride, dtype)

    def encoder(
        self, graph: str, network: nn.Module, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Adds a network that the encoder runs."""
        self._encode.append(self._run(graph, network, inputs, outputs))

    def decoder(
        self, graph: str, network: nn.Module, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Adds a network that the decoder runs."""
        self._decode.append(self._run(graph, network, inputs, outputs))

    def both(
        self, graph: str, network: nn.Module, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Adds a network that both sides run."""
        run = self._run(graph, network, inputs, outputs)
        self._encode.append(run)
        self._decode.append(run)

    def coded(self, name: str, latent: LatentSpec, output: str) -> None:
        """Adds a latent: quantised by the encoder, coded, and known to both sides afterwards.

        Args:
            name: Of the latent.
            latent: What it is.
            output: Tensor of the values that both sides then have; declared here, with the channels
                and stride of the latent's source, which must be declared already.

        Raises:
            ExportError: The source is not declared, or the latent or the output is already.
        """
        if latent.source not in self._tensors:
            raise ExportError(f"latent {name!r}: its source {latent.source!r} is not declared")
        _refuse_again("latent", name, self._latents)
        _refuse_again("tensor", output, self._tensors)
        self._latents[name] = latent
        self._tensors[output] = self._tensors[latent.source]
        self._encode += [Quantize(name), Dequantize(name, output)]
        self._decode += [Code(name), Dequantize(name, output)]

    def _run(
        self, graph: str, network: nn.Module, inputs: Sequence[str], outputs: Sequence[str]
    ) -> Run:
        _refuse_again("graph", graph, self._networks)
        self._networks[graph] = network
        return Run(graph, tuple(inputs), tuple(outputs))

    def finish(
        self,
        *,
        family: str,
        outputs: Mapping[str, str],
        tables: Mapping[str, CdfTables],
        mean_bits: int,
        steps: StepTable = ONE_STEP,
        quality: Quality = ONE_QUALITY,
    ) -> Deployment:
        """Completes the schedule.

        The encoder codes its latents at the end, in the order in which they were added; what it
        would compute for nothing is left out.

        Args:
            family: Which kind of codec it is.
            outputs: Name of the tensor that holds each feature's reconstruction, by feature.
            tables: Integer tables, by name.
            mean_bits: Means are on the grid 2^-mean_bits.
            steps: Of the quantiser.
            quality: Of the codec.

        Raises:
            ExportError: A network's weights are not those of a trained codec (`check_weights`).
        """
        for name, network in self._networks.items():
            check_weights(name, network)
        return Deployment(
            family=family,
            features=self._features,
            padding=self._padding,
            tensors=self._tensors,
            latents=self._latents,
            mean_bits=mean_bits,
            steps=steps,
            quality=quality,
            encode=(*self._needed(), *(Code(name) for name in self._latents)),
            decode=tuple(self._decode),
            outputs=outputs,
            networks={name: network.eval() for name, network in self._networks.items()},
            tables=tables,
        )

    def _needed(self) -> list[Step]:
        """The encoder's steps without those that lead to nothing that it codes."""
        wanted: set[str | None] = set()
        kept: list[Step] = []
        for step in reversed(self._encode):
            if isinstance(step, Quantize):
                latent = self._latents[step.latent]
                wanted |= {latent.source, latent.means, latent.indexes}
            elif isinstance(step, Dequantize):
                if step.output not in wanted:
                    continue
            elif isinstance(step, Run):
                if not wanted & set(step.outputs):
                    continue
                wanted |= set(step.inputs)
            kept.append(step)
        return kept[::-1]


def _refuse_again(kind: str, name: str, known: Mapping[str, Any]) -> None:
    if name in known:
        raise ExportError(f"there is a {kind} {name!r} already; each has a name of its own")
