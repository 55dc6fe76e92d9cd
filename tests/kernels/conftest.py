"""Table sets, packets and the implementations that the kernels' tests share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from fcmrt import kernels
from fcmrt.kernels.api import CodedPayload, CodeStep, Kernels
from fcmrt.kernels.cuda import CudaKernels
from fcmrt.kernels.cuda.cupy_device import CupyDevice
from fcmrt.kernels.cuda.device import Device
from fcmrt.tables import CdfTables
from tests.gpu import NEEDS_GPU
from tests.simt.emulator import EmulatedDevice, build

# What every machine must have stands here by name: a missing native module must fail, not shorten
# the list. Which of the others there are, the processor says.
IMPLEMENTATIONS = (
    *("reference", "scalar", "simt"),
    *sorted({*kernels.available()} - {"reference", "scalar"}),
)


# The GPU's kernels, in the emulator and on a GPU.
ON_DEVICES = ("simt", "cuda")


@functools.cache
def get(name: str) -> Kernels:
    if name in ON_DEVICES:
        return CudaKernels(EmulatedDevice(build()) if name == "simt" else CupyDevice())
    return kernels.get(name)


@dataclasses.dataclass
class RawStep:
    """A code step before its tables are prepared by an implementation."""

    symbols: npt.NDArray[np.int32]
    indexes: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    tables: CdfTables
    skip: int = 0


class Cases:
    """Makes packets, and takes them through an implementation."""

    TABLE_KINDS = ("random", "gaussian", "escape_only", "rare", "sure", "many", "wide")
    SYMBOL_KINDS = ("inside", "likely", "mixed", "escapes", "extremes")

    @staticmethod
    def tables(*tables: tuple[int, Sequence[int]]) -> CdfTables:
        """A table set from (offset, frequencies with the escape's last)."""
        return CdfTables(
            np.array([offset for offset, _ in tables], np.int32),
            np.array([len(freqs) - 1 for _, freqs in tables], np.int32),
            np.concatenate([np.asarray(freqs) for _, freqs in tables]).astype(np.uint16),
        )

    @staticmethod
    def random_freqs(rng: np.random.Generator, events: int) -> npt.NDArray[np.int64]:
        cuts = np.sort(rng.choice(np.arange(1, 16384), events - 1, replace=False))
        return np.diff(cuts, prepend=0, append=16384)

    @classmethod
    def make_tables(cls, kind: str, rng: np.random.Generator) -> CdfTables:
        def offset() -> int:
            return int(rng.integers(-50, 50))

        if kind == "random":
            count = int(rng.integers(1, 12))
            events = rng.integers(1, 40, count)
            return cls.tables(*[(offset(), cls.random_freqs(rng, int(n))) for n in events])
        if kind == "gaussian":
            rows = []
            for sigma in np.geomspace(0.2, 20, 64):
                reach = max(1, int(np.ceil(3 * sigma)))
                shape = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
                freqs = np.maximum(1, np.floor(16000 * shape / shape.sum())).astype(np.int64)
                rows.append((-reach, [*freqs, 16384 - int(freqs.sum())]))
            return cls.tables(*rows)
        if kind == "escape_only":
            return cls.tables((0, [16384]), (1 << 24, [16384]), (-(1 << 24), [16384]))
        if kind == "rare":
            return cls.tables(
                (-2, [1, 1, 16380, 1, 1]), (0, [1] * 100 + [16284]), (3, [16283] + [1] * 101)
            )
        if kind == "sure":
            return cls.tables((7, [16383, 1]), (-1, [8192, 8192]))
        if kind == "many":
            return cls.tables(*[(offset(), cls.random_freqs(rng, 5)) for _ in range(300)])
        assert kind == "wide"
        return cls.tables((-2048, cls.random_freqs(rng, 4096)), (offset(), [4, 16380]))

    @staticmethod
    def make_symbols(
        kind: str, rng: np.random.Generator, tables: CdfTables, indexes: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.int32]:
        begin = tables.offsets[indexes].astype(np.int64)
        size = tables.sizes[indexes].astype(np.int64)
        inside = begin + rng.integers(0, np.maximum(size, 1))
        if kind == "inside":
            return inside.astype(np.int32)
        if kind == "likely":
            best = np.array([int(tables.table(t).argmax()) for t in range(tables.count)])
            return (begin + best[indexes]).astype(np.int32)
        far = rng.integers(-(1 << 31), 1 << 31, len(indexes))
        if kind == "mixed":
            return np.where(rng.random(len(indexes)) < 0.1, far, inside).astype(np.int32)
        if kind == "escapes":
            near = np.where(rng.random(len(indexes)) < 0.5, begin - 1, begin + size)
            return np.where(rng.random(len(indexes)) < 0.5, far, near).astype(np.int32)
        assert kind == "extremes"
        return rng.choice(np.array([-(1 << 31), (1 << 31) - 1], np.int32), len(indexes))

    @classmethod
    def make_step(
        cls, rng: np.random.Generator, tables_kind: str, symbols_kind: str, n: int, skip: int
    ) -> RawStep:
        tables = cls.make_tables(tables_kind, rng)
        dtype = np.uint8 if tables.count <= 256 else np.uint16
        indexes = rng.integers(0, tables.count, n).astype(dtype)
        symbols = cls.make_symbols(symbols_kind, rng, tables, indexes)
        symbols[indexes < skip] = 0
        return RawStep(symbols, indexes, tables, skip)

    @staticmethod
    def steps(implementation: Kernels, raw: Sequence[RawStep]) -> list[CodeStep]:
        return [
            CodeStep(step.symbols, step.indexes, implementation.prepare(step.tables), step.skip)
            for step in raw
        ]

    @classmethod
    def encode(
        cls, implementation: Kernels, raw: Sequence[RawStep], lanes: int, segments: int, check: int
    ) -> CodedPayload:
        return implementation.encode(cls.steps(implementation, raw), lanes, segments, check)

    @staticmethod
    def decode(
        implementation: Kernels, raw: Sequence[RawStep], coded: CodedPayload, lanes: int
    ) -> tuple[list[npt.NDArray[np.int32]], int]:
        """Symbols of every step and the check; `raw` gives indexes, tables and skips."""
        decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, lanes)
        symbols = [
            decoder.step(step.indexes, implementation.prepare(step.tables), step.skip)
            for step in raw
        ]
        return symbols, decoder.finish()

    RawStep = RawStep


@pytest.fixture(scope="session")
def cases() -> type[Cases]:
    return Cases


@pytest.fixture(scope="session", params=[*IMPLEMENTATIONS, pytest.param("cuda", marks=NEEDS_GPU)])
def implementation(request: pytest.FixtureRequest) -> Kernels:
    return get(request.param)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(IMPLEMENTATIONS, id="all"),
        pytest.param(("reference", "scalar", "cuda"), id="cuda", marks=NEEDS_GPU),
    ],
)
def implementations(request: pytest.FixtureRequest) -> list[Kernels]:
    return [get(name) for name in request.param]


@pytest.fixture(scope="session", params=["simt", pytest.param("cuda", marks=NEEDS_GPU)])
def device(request: pytest.FixtureRequest) -> Device:
    on_device = get(request.param)
    assert isinstance(on_device, CudaKernels)
    return on_device.device
