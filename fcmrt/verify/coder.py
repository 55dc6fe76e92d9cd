"""Quantiser and entropy coder, in one implementation of the kernels."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import numpy.typing as npt

from ..config import CodingParams
from ..engine import Engine
from ..errors import FcmrtError
from ..executor import Executor, executor_for
from ..kernels.api import CodedPayload, Kernels
from ..observe import StageClock
from ..schedule import Code, Dequantize, Quantize, Side
from ..walk import Walk
from .configurations import REFERENCE
from .stage import Stages

_LANES = 2  # the fewest that carry a check of 32 bits


class CoderStages:
    """Runs every integer stage on what the reference had before it; nothing may differ.

    Args:
        engine: The codec.
        kernels: Name of the implementation.
        stages: Where the findings go.
    """

    def __init__(self, engine: Engine, kernels: str, stages: Stages) -> None:
        self.name = f"kernels {kernels}"
        self._manifest = engine.manifest
        self._reference = executor_for(engine, REFERENCE)
        self._executor = executor_for(engine, dataclasses.replace(REFERENCE, kernels=kernels))
        self._stages = stages
        self._order = [s.latent for s in engine.manifest.encode if isinstance(s, Code)]

    def compare(self, encoding: Walk, decoding: Walk) -> None:
        """Compares both schedules for one picture; arguments as for `NetworkStages.compare`."""
        for step in self._manifest.encode:
            if isinstance(step, Quantize):
                self._quantize(step.latent, encoding)
            elif isinstance(step, Dequantize):
                self._dequantize("encode", step, encoding)
        lanes, payload = self._encode(encoding)
        self._decode(lanes, payload, decoding)
        for step in self._manifest.decode:
            if isinstance(step, Dequantize):
                self._dequantize("decode", step, decoding)

    def _quantize(self, latent: str, walk: Walk) -> None:
        stage = self._stages.of(self.name, "encode", f"quantize {latent}", exact=True)
        probe = self._probe(walk)
        self._stages.timed(stage, lambda: probe.quantize(latent))
        stage.compare(walk.integers[latent].symbols, probe.integers[latent].symbols)
        stage.compare(walk.integers[latent].indexes, probe.integers[latent].indexes)

    def _dequantize(self, side: Side, step: Dequantize, walk: Walk) -> None:
        stage = self._stages.of(self.name, side, f"dequantize {step.latent}", exact=True)
        probe = self._probe(walk)
        self._stages.timed(stage, lambda: probe.dequantize(step))
        stage.compare(walk.tensors[step.output], probe.tensors[step.output])

    def _encode(self, walk: Walk) -> tuple[int, CodedPayload]:
        """Codes with both implementations; returns the reference's lanes and payload."""
        stage = self._stages.of(self.name, "encode", "code", exact=True)
        probe = self._probe(walk)
        lanes, coded = self._coded(self._reference.kernels, self._probe(walk, self._reference))
        _, found = self._stages.timed(stage, lambda: self._coded(self._executor.kernels, probe))
        stage.compare(_numbers(coded), _numbers(found))
        return lanes, coded

    def _coded(self, kernels: Kernels, walk: Walk) -> tuple[int, CodedPayload]:
        return kernels.pack(
            walk.code_steps(self._order),
            CodingParams().overhead_permille,
            _LANES,
            walk.check(self._order),
        )

    def _decode(self, lanes: int, payload: CodedPayload, walk: Walk) -> None:
        """Decodes what the reference coded, latent by latent, given the reference's priors."""
        kernels = self._executor.kernels
        decoder = kernels.decoder(payload.segments, payload.words, payload.escapes, lanes)
        for name in self._order:
            stage = self._stages.of(self.name, "decode", f"code {name}", exact=True)
            wanted = walk.integers[name]
            tables = self._executor.tables(self._manifest.latents[name])
            _, prior, shift = walk.prior(name)
            start = time.perf_counter()
            indexes = kernels.shift_indexes(prior, shift, tables.count)
            try:
                symbols = decoder.step(indexes, tables, wanted.skip)
            except FcmrtError as error:
                stage.error = str(error)
                return  # the decoder cannot go on
            stage.times.append(1e3 * (time.perf_counter() - start))
            stage.compare(wanted.indexes, indexes)
            stage.compare(wanted.symbols, symbols)
        stage = self._stages.of(self.name, "decode", "check", exact=True)
        check = self._stages.timed(stage, lambda: self._probe(walk).check(self._order))
        try:
            stage.compare(np.array([check], np.int64), np.array([decoder.finish()], np.int64))
        except FcmrtError as error:
            stage.error = str(error)

    def _probe(self, walk: Walk, machine: Executor | None = None) -> Walk:
        """A walk with a copy of the reference's values, run by this implementation's kernels."""
        machine = machine or self._executor
        probe = Walk(machine, walk.padded, walk.d, StageClock(None), walk.importance)
        probe.tensors, probe.integers = dict(walk.tensors), dict(walk.integers)
        return probe


def _numbers(payload: CodedPayload) -> npt.NDArray[np.uint8]:
    """All bytes of a payload, preceded by the sizes of its parts."""
    sizes = np.array([len(payload.escapes), *payload.words], "<u4").tobytes()
    return np.frombuffer(b"".join((sizes, payload.segments, payload.escapes)), np.uint8)
