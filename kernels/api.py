"""What every implementation of the kernels offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..tables import CdfTables

LANES = (1, 2, 4, 8, 16, 32)
MAX_SEGMENTS = 256
MAX_MEAN_BITS = 16
MAX_STEP = (1 << 31) - 1
MAX_ELEMENTS = (1 << 31) - 1

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
Indexes = npt.NDArray[np.uint8 | np.uint16]


class PreparedTables(Protocol):
    """A table set as one implementation wants it: immutable, any thread may use it.

    Belongs to the implementation that made it; the native ones share theirs, others refuse it.
    """

    @property
    def count(self) -> int: ...


class CodeStep(NamedTuple):
    """One code step of a packet, on the encoder's side. Arrays are borrowed by the call."""

    symbols: I32  # [n], C-contiguous
    indexes: Indexes  # [n], C-contiguous; uint8 if there are at most 256 tables, else uint16
    tables: PreparedTables
    skip: int  # elements with an index below are not coded; 0: all are


class CodedPayload(NamedTuple):
    """What the coder puts into a packet."""

    segments: bytes  # of all segments, one after the other: states, then words
    words: tuple[int, ...]  # number of words of each segment
    escapes: bytes  # the escape section


class StepDecoder(Protocol):
    """Decodes one packet, code step by code step; for one thread at a time."""

    def step(self, indexes: Indexes, tables: PreparedTables, skip: int) -> I32:
        """The symbols of the next code step: int32 `[n]`, owned by the caller.

        Raises:
            BitstreamError: The packet does not hold such symbols; the decoder is of no more use.
        """
        ...

    def finish(self) -> int:
        """Ends the packet and returns its check: 32 bits, or their 16-bit fold for one lane.

        Raises:
            BitstreamError: Words or escapes are left, or a lane did not end where encoders start.
        """
        ...


class Kernels(Protocol):
    """An implementation. Stateless: any thread may use it, results depend on arguments only."""

    name: str

    def prepare(self, tables: CdfTables) -> PreparedTables:
        """Copies a table set into the layout of this implementation."""
        ...

    def plan(
        self, steps: Sequence[CodeStep], overhead_permille: int, min_lanes: int
    ) -> tuple[int, int]:
        """Lanes and segments of a packet, which every encoder must choose alike.

        Args:
            steps: All code steps of the packet.
            overhead_permille: What lanes may cost, in thousandths of the payload, 1 to 1000.
            min_lanes: 1 or 2.

        Raises:
            ConfigError: As for `encode`.
        """
        ...

    def encode(
        self, steps: Sequence[CodeStep], lanes: int, segments: int, check: int
    ) -> CodedPayload:
        """Codes a packet's integers.

        Args:
            steps: All code steps of the packet, in the order of decoding.
            lanes: 1, 2, 4, 8, 16 or 32.
            segments: 1 to 256.
            check: The 32-bit check over the packet's integers.

        Raises:
            ConfigError: A table index is out of range, a skipped symbol is not 0, or lanes or
                segments are not allowed.
            DTypeError, ShapeError: An array is not as `CodeStep` says.
        """
        ...

    def decoder(self, segments: Any, words: Sequence[int], escapes: Any, lanes: int) -> StepDecoder:
        """A decoder of one packet's payload.

        Args:
            segments: Bytes-like, C-contiguous; borrowed (and kept alive) by the decoder.
            words: Number of words of each segment.
            escapes: Bytes-like, as `segments`.
            lanes: 1, 2, 4, 8, 16 or 32.

        Raises:
            BitstreamError: Sizes do not fit each other, or a first state is not allowed.
        """
        ...

    def check(self, values: I32, salt: int) -> int:
        """Check of an array: the sum of mixed values modulo 2^32 (`docs/format.md`, section 6)."""
        ...

    def quantize(
        self,
        values: F32,
        means: I32 | None,
        mean_bits: int,
        step: int,
        indexes: npt.NDArray[np.integer],
        shift: int,
        table_count: int,
        skip: int,
    ) -> tuple[I32, Indexes]:
        """Symbols and table indexes of values (`docs/format.md`, section 8).

        Args:
            values: float32 `[n]`, C-contiguous. What is not a number gives 0.
            means: int32 `[n]` in units of 2^-mean_bits, or None: 0.
            mean_bits: 0 to 16.
            step: In units of 2^-16, 1 to 2^31 - 1.
            indexes: int32, uint8 or uint16 `[n]`, not yet shifted and clipped.
            shift: What is subtracted from the indexes, 32-bit.
            table_count: Number of tables, 1 to 4096.
            skip: Symbols with a clipped index below are 0.

        Returns:
            Symbols, int32 `[n]`, and clipped indexes, uint8 or uint16 `[n]`; both owned.

        Determinism: bit-exact on every machine.
        """
        ...

    def dequantize(self, symbols: I32, means: I32 | None, mean_bits: int, step: int) -> F32:
        """Values of symbols: float32 `[n]`, owned; arguments as for `quantize`.

        Determinism: bit-exact on every machine.
        """
        ...

    def shift_indexes(
        self, indexes: npt.NDArray[np.integer], shift: int, table_count: int
    ) -> Indexes:
        """clip(indexes - shift, 0, table_count - 1): uint8 or uint16 `[n]`, owned."""
        ...


def index_dtype(table_count: int) -> type[np.uint8 | np.uint16]:
    """Element type of clipped table indexes."""
    return np.uint8 if table_count <= 256 else np.uint16
