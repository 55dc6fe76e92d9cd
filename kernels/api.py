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

I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
F32 = npt.NDArray[np.float32]
Symbols = npt.NDArray[np.int8 | np.int16 | np.int32]
Indexes = npt.NDArray[np.uint8 | np.uint16]

SYMBOL_DTYPES = (np.int8, np.int16, np.int32)


class PreparedTables(Protocol):
    """A table set in one implementation's layout: immutable, any thread may use it.

    Only the implementation that made it accepts it; the native ones share theirs.
    """

    @property
    def count(self) -> int: ...


class CodeStep(NamedTuple):
    """One code step of a packet, on the encoder's side. Arrays are borrowed by the call."""

    symbols: Symbols
    """int8, int16 or int32 `[n]`, C-contiguous."""
    indexes: Indexes
    """uint8 if there are at most 256 tables, else uint16; `[n]`, C-contiguous."""
    tables: PreparedTables
    skip: int
    """Elements whose index is below this are not coded; 0: all are."""


class CodedPayload(NamedTuple):
    """What the coder puts into a packet; views of the caller's buffer if one was given."""

    segments: bytes | memoryview
    """All segments, one after the other, each its states and then its words."""
    words: tuple[int, ...]
    """Number of words of each segment."""
    escapes: bytes | memoryview
    """The escape section."""


class StepMap(NamedTuple):
    """A quantiser step for each element; arrays are borrowed by the call.

    Element `p` has step number `numbers[p]`, whose width is `widths[numbers[p] - first]`.
    """

    widths: U32
    """`[k]`, C-contiguous, in units of 2^-16, each 1 to 2^31 - 1."""
    first: int
    """Step number of the first width; all step numbers are -128 to 127."""
    numbers: I8
    """Step number of each element: `[n]`, C-contiguous."""


class StepDecoder(Protocol):
    """Decodes one packet, code step by code step; for one thread at a time."""

    def step(
        self, indexes: Indexes, tables: PreparedTables, skip: int, *, out: Symbols | None = None
    ) -> Symbols:
        """Decodes the symbols of the next code step.

        Args:
            indexes: uint8 or uint16 `[n]`, C-contiguous.
            tables: The step's table set.
            skip: Elements whose index is below this were not coded; they are 0.
            out: Where to write them: int8, int16 or int32 `[n]`, C-contiguous. After an error its
                contents are undefined.

        Returns:
            `out`, or int32 `[n]`, owned by the caller.

        Raises:
            BitstreamError: The packet does not hold such symbols, or `out` cannot hold them; the
                decoder cannot be used any more.
            DTypeError, ShapeError: An array is not as said here.
        """
        ...

    def finish(self) -> int:
        """Ends the packet and returns its check: 32 bits, or their 16-bit fold for one lane.

        Raises:
            BitstreamError: Words or escapes are left, or a lane did not end where encoders start.
        """
        ...


class Kernels(Protocol):
    """An implementation.

    Any thread may use it. Results depend on arguments only, never on the number of threads. Working
    memory of the coder is kept by the process for later calls: once packets of a size have been
    coded, a call that writes its results to the caller's arrays allocates nothing.
    """

    name: str

    threads: int
    """How many threads one call may use, the caller's included, which codes small packets alone."""

    def prepare(self, tables: CdfTables) -> PreparedTables:
        """Copies a table set into the layout of this implementation."""
        ...

    def plan(
        self, steps: Sequence[CodeStep], overhead_permille: int, min_lanes: int
    ) -> tuple[int, int]:
        """Chooses lanes and segments of a packet, as every encoder does.

        Args:
            steps: All code steps of the packet.
            overhead_permille: What lanes may cost, in thousandths of the payload, 1 to 1000.
            min_lanes: 1 or 2.

        Raises:
            ConfigError: As for `encode`.
        """
        ...

    def encode(
        self,
        steps: Sequence[CodeStep],
        lanes: int,
        segments: int,
        check: int,
        *,
        out: Any = None,
    ) -> CodedPayload:
        """Codes a packet's integers.

        Args:
            steps: All code steps of the packet, in the order of decoding.
            lanes: 1, 2, 4, 8, 16 or 32.
            segments: 1 to 256.
            check: The 32-bit check over the packet's integers.
            out: Writable bytes-like object, C-contiguous, for the segments and then the escapes;
                what lies behind them is left alone.

        Raises:
            ConfigError: A table index is out of range, a skipped symbol is not 0, or lanes or
                segments are not allowed.
            DTypeError, ShapeError: An array is not as `CodeStep` says.
            ShapeError: `out` is too small; the message says what size is needed. Nothing was
                written.
        """
        ...

    def pack(
        self,
        steps: Sequence[CodeStep],
        overhead_permille: int,
        min_lanes: int,
        check: int,
        *,
        out: Any = None,
    ) -> tuple[int, CodedPayload]:
        """Does `plan` and `encode` in one; arguments and errors as theirs.

        Returns:
            The number of lanes, and what was coded.
        """
        ...

    def decoder(self, segments: Any, words: Sequence[int], escapes: Any, lanes: int) -> StepDecoder:
        """Makes a decoder of one packet's payload.

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
        """Returns the check of an array (`docs/format.md`, section 6), 0 to 2^32 - 1."""
        ...

    def quantize(
        self,
        values: F32,
        means: I32 | None,
        mean_bits: int,
        step: int | StepMap,
        indexes: npt.NDArray[np.integer],
        shift: int | None,
        table_count: int,
        skip: int,
    ) -> tuple[I32, Indexes]:
        """Turns values into symbols, and clips table indexes (`docs/format.md`, section 8).

        Args:
            values: float32 `[n]`, C-contiguous. NaN gives 0.
            means: int32 `[n]` in units of 2^-mean_bits, or None: 0.
            mean_bits: 0 to 16.
            step: In units of 2^-16, 1 to 2^31 - 1; or a step for each element.
            indexes: int32, uint8 or uint16 `[n]`, not yet shifted and clipped.
            shift: What is subtracted from the indexes, 32-bit; None: the step map's numbers.
            table_count: Number of tables, 1 to 4096.
            skip: Symbols whose clipped index is below this are 0.

        Returns:
            Symbols, int32 `[n]`, and clipped indexes, uint8 or uint16 `[n]`; both owned.

        Raises:
            ConfigError: A number is out of its range, or a number of the step map has no width.
            DTypeError, ShapeError: An array is not as said here.

        Determinism: bit-exact on every machine.
        """
        ...

    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int | StepMap
    ) -> F32:
        """Turns symbols into values: float32 `[n]`, owned; arguments and errors as for `quantize`.

        Determinism: bit-exact on every machine.
        """
        ...

    def shift_indexes(
        self, indexes: npt.NDArray[np.integer], shift: int | StepMap, table_count: int
    ) -> Indexes:
        """Returns clip(indexes - shift, 0, table_count - 1): uint8 or uint16 `[n]`, owned.

        If `shift` is a step map, each element's number is subtracted. Otherwise arguments and
        errors are those of `quantize`.
        """
        ...


def index_dtype(table_count: int) -> type[np.uint8 | np.uint16]:
    """Element type of clipped table indexes."""
    return np.uint8 if table_count <= 256 else np.uint16
