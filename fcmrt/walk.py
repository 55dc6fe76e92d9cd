"""Takes one picture through an engine's schedule, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray, all_finite, overflowed
from .bitstream import EVEN, Importance
from .elements import Elements, elements_of
from .errors import EngineError
from .kernels.api import I32, CodeStep, Indexes, Kernels, PreparedTables, StepMap
from .manifest import Manifest
from .observe import StageClock
from .schedule import Dequantize, Quantize, Run, Step
from .spec import UNIT_STEP, LatentSpec, Size, edge_mode, margins, tensor_size
from .step_maps import StepMaps, StepRule

_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "zero": "constant"}


class Machine(Protocol):
    """What a walk through a schedule needs: an `Executor`, or what stands in for one."""

    @property
    def manifest(self) -> Manifest:
        """The schedule, and everything that its steps name."""

    @property
    def kernels(self) -> Kernels:
        """Quantiser and check."""

    def tables(self, latent: LatentSpec) -> PreparedTables:
        """Returns the prepared tables of a latent."""

    def run(
        self, name: str, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs a graph once; see `fcmrt.runner.Network.run`."""


@dataclasses.dataclass(slots=True)
class Integers:
    """One latent's integers, in coding order; arrays are `[n]`, owned and not to be changed."""

    tables: str
    """Name of the table set."""

    skip: int
    """Elements whose table index is below this are not coded."""

    indexes: Indexes
    """Table indexes, shifted and clipped."""

    symbols: I32
    """The integers; 0 where skipped."""

    means: I32 | None
    """Means in units of 2^-mean_bits; None: the latent has none."""


class Walk:
    """One picture on its way through one side of the schedule.

    Args:
        machine: The engine, ready to run.
        padded: Size of the padded finest level, in cells.
        d: Number of the quality step.
        clock: Receives the stages.
        importance: Where the step differs from `d`.

    Raises:
        ConfigError: The engine has no such step, or the importance does not fit it (`StepMaps`).
    """

    def __init__(
        self,
        machine: Machine,
        padded: Size,
        d: int,
        clock: StageClock,
        importance: Importance = EVEN,
    ) -> None:
        self._machine = machine
        self._manifest = machine.manifest
        self.padded = padded
        self.d = d
        self.importance = importance
        self._step = self._manifest.step_width(d)
        self._maps = StepMaps(self._manifest, d, importance, padded) if importance else None
        self._clock = clock
        self.tensors: dict[str, npt.NDArray[Any]] = {}
        quality = self._manifest.quality
        if quality.input is not None:
            self.tensors[quality.input] = np.full((1, 1, 1, 1), quality.position(d), np.float32)
        self.integers: dict[str, Integers] = {}
        self.sizes: tuple[Size, ...] = ()
        """Sizes of the levels that were taken, before padding."""

    @property
    def manifest(self) -> Manifest:
        """The engine's."""
        return self._manifest

    def at(self, d: int, importance: Importance) -> Walk:
        """Returns a new walk for a picture of the same sizes, at other steps."""
        walk = Walk(self._machine, self.padded, d, self._clock, importance)
        walk.sizes = self.sizes
        return walk

    def elements(self, name: str) -> Elements:
        """Returns which elements the latent covers, at this picture's size."""
        latent = self._manifest.latents[name]
        return elements_of(latent, self._manifest.tensors[latent.source], self.padded)

    def take(self, levels: Sequence[FloatArray]) -> None:
        """Pads features to the canonical size and adds them to the tensors.

        Args:
            levels: float32 `[1, C, H, W]`, in the engine's order; those that need no padding are
                borrowed until the walk ends.
        """
        self.sizes = tuple((level.shape[2], level.shape[3]) for level in levels)
        for spec, level in zip(self._manifest.features, levels, strict=True):
            self.tensors[spec.name] = self._pad(level, tensor_size(spec.tensor, self.padded))

    def _pad(self, level: FloatArray, padded: Size) -> FloatArray:
        size = (level.shape[2], level.shape[3])
        if size == padded:
            return level
        padding = self._manifest.padding
        sides = top, bottom, left, right = margins(size, padded, padding)
        mode = _PAD_MODES[edge_mode(padding, size, sides)]
        widths = ((0, 0), (0, 0), (top, bottom), (left, right))
        result: FloatArray = np.pad(level, widths, mode=mode)  # type: ignore[call-overload]
        return result

    def follow(self, steps: Iterable[Step]) -> None:
        """Carries out steps, leaving out those that code."""
        for step in steps:
            if isinstance(step, Run):
                self.run(step)
            elif isinstance(step, Quantize):
                self.quantize(step.latent)
            elif isinstance(step, Dequantize):
                self.dequantize(step)

    def run(self, step: Run) -> None:
        """Runs one graph; its outputs are checked against the manifest and cropped to size."""
        inputs = {name: self.tensors[name] for name in step.inputs}
        outputs = self._machine.run(step.graph, inputs, step.outputs)
        for name, output in zip(step.outputs, outputs, strict=True):
            self.tensors[name] = self._fit(name, output)
        self._clock.lap(step.graph)

    def _fit(self, name: str, output: npt.NDArray[Any]) -> npt.NDArray[Any]:
        spec = self._manifest.tensors[name]
        rows, columns = tensor_size(spec, self.padded)
        if (
            output.dtype != spec.dtype
            or output.ndim != 4
            or output.shape[:2] != (1, spec.channels)
            or output.shape[2] < rows
            or output.shape[3] < columns
        ):
            raise EngineError(
                f"tensor {name!r} came out as {output.dtype} {list(output.shape)}; the manifest "
                f"says {spec.dtype} [1, {spec.channels}, {rows}, {columns}]"
            )
        return np.ascontiguousarray(output[:, :, :rows, :columns])

    def steps(self, name: str) -> tuple[int | StepMap, int | StepMap]:
        """Returns a latent's step number and the step's width in units of 2^-16.

        If its elements have different steps, both are the step map.
        """
        if not self._manifest.latents[name].step:
            return 0, UNIT_STEP
        if self._maps is None:
            return self.d, self._step
        steps = self._maps.steps(name)
        return steps, steps if isinstance(steps, StepMap) else self._manifest.step_width(steps)

    def step_rule(self, name: str) -> object:
        """Returns what decides a latent's steps; two walks with equal rules have equal steps."""
        if not self._manifest.latents[name].step:
            return None
        return StepRule(self.d, 0, None) if self._maps is None else self._maps.rule(name)

    def prior(self, name: str) -> tuple[I32 | None, npt.NDArray[Any], int | StepMap]:
        """Gathers what is known of a latent before its symbols.

        Returns:
            Means (None: there are none), unclipped table indexes, and what to subtract from these.
        """
        latent = self._manifest.latents[name]
        elements = self.elements(name)
        means = None if latent.means is None else elements.take(self.tensors[latent.means])
        if latent.indexes is None:
            return means, elements.channels, 0
        return means, elements.take(self.tensors[latent.indexes]), self.steps(name)[0]

    def quantize(self, name: str) -> None:
        """Quantises a latent: float values to symbols, and unclipped indexes to table indexes.

        Raises:
            DTypeError: NaN or infinity among the values.
        """
        latent = self._manifest.latents[name]
        values = self.elements(name).take(self.tensors[latent.source])
        if not all_finite(values):
            raise overflowed(name)
        means, prior, shift = self.prior(name)
        symbols, indexes = self._machine.kernels.quantize(
            values,
            means,
            self._manifest.mean_bits,
            self.steps(name)[1],
            prior,
            None if isinstance(shift, StepMap) else shift,
            self._machine.tables(latent).count,
            latent.skip,
        )
        self.integers[name] = Integers(latent.tables, latent.skip, indexes, symbols, means)
        self._clock.lap("quantize")

    def dequantize(self, step: Dequantize) -> None:
        """Turns a latent's symbols into the values that the networks see."""
        integers = self.integers[step.latent]
        values: FloatArray = self._machine.kernels.dequantize(
            integers.symbols,
            integers.means,
            self._manifest.mean_bits,
            self.steps(step.latent)[1],
        )
        self.tensors[step.output] = self.elements(step.latent).put(values)
        self._clock.lap("dequantize")

    def code_steps(self, order: Sequence[str]) -> list[CodeStep]:
        """Returns the code steps of the latents `order`, for the encoder."""
        latents = self._manifest.latents
        return [
            CodeStep(found.symbols, found.indexes, self._machine.tables(latents[name]), found.skip)
            for name in order
            for found in [self.integers[name]]
        ]

    def check(self, order: Sequence[str]) -> int:
        """Computes the check over the integers of the latents (`docs/format.md`, section 6).

        Args:
            order: Names of the latents in the order of their code steps.
        """
        check = self._machine.kernels.check
        total = 0
        for k, name in enumerate(order):
            integers = self.integers[name]
            total += check(integers.symbols, 2 * k)
            if integers.means is not None:
                total += check(integers.means, 2 * k + 1)
        return total & 0xFFFFFFFF
