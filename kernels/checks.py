"""Argument checks and failures that all implementations share."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..arrays import as_writable_bytes
from ..errors import BitstreamError, ConfigError, DTypeError, ShapeError, TruncatedError
from ..tables import MAX_TABLES
from .api import (
    F32,
    I8,
    I32,
    LANES,
    MAX_ELEMENTS,
    MAX_MEAN_BITS,
    MAX_SEGMENTS,
    MAX_STEP,
    SYMBOL_DTYPES,
    CodedPayload,
    CodeStep,
    StepMap,
    Symbols,
)

T = TypeVar("T")


class Status(enum.IntEnum):
    """What native code and the GPU's kernels report; the numbers of `include/fcmrt/status.h`."""

    OK = 0
    WORDS_EXHAUSTED = 1
    STATE_TOO_SMALL = 2
    SEGMENTS_SIZE = 3
    INDEX_OUT_OF_RANGE = 4
    SKIPPED_NONZERO = 5
    ESCAPES_EXHAUSTED = 6
    ESCAPE_MALFORMED = 7
    ESCAPE_OUT_OF_RANGE = 8
    WORDS_LEFT = 9
    ESCAPES_LEFT = 10
    SEED_NONZERO = 11
    SYMBOL_TOO_WIDE = 12
    CHECK_DIFFERS = 13


_TEXTS = {
    Status.WORDS_EXHAUSTED: "a segment has fewer words than its symbols need",
    Status.STATE_TOO_SMALL: "a first state is below 2^16",
    Status.SEGMENTS_SIZE: "the segments have another length than their word counts ask for",
    Status.INDEX_OUT_OF_RANGE: "a table index is outside of its table set",
    Status.SKIPPED_NONZERO: "a symbol that is skipped is not 0",
    Status.ESCAPES_EXHAUSTED: "the escape section ends before the last escape",
    Status.ESCAPE_MALFORMED: "an escape is not the shortest form of a varint of 33 bits",
    Status.ESCAPE_OUT_OF_RANGE: "an escape's value is not a 32-bit integer",
    Status.WORDS_LEFT: "a segment has words that no symbol needed",
    Status.ESCAPES_LEFT: "the escape section is longer than the escapes need",
    Status.SEED_NONZERO: "a lane ended in a state that no encoder starts from",
    Status.SYMBOL_TOO_WIDE: "a symbol does not fit the integers that it is to be written as",
    Status.CHECK_DIFFERS: "the integers are not those that the packet was made of",
}

_CUT_OFF = (Status.WORDS_EXHAUSTED, Status.ESCAPES_EXHAUSTED)


def packet_error(status: Status) -> BitstreamError:
    """Makes the error for a packet that cannot be decoded."""
    kind = TruncatedError if status in _CUT_OFF else BitstreamError
    return kind(_TEXTS[status])


def steps_error(status: Status) -> ConfigError:
    """Makes the error for code steps that cannot be encoded."""
    return ConfigError(_TEXTS[status])


def require_array(
    name: str, array: Any, dtypes: tuple[type[np.generic], ...], length: int | None = None
) -> None:
    """Checks that an argument is a C-contiguous array of rank 1, of one of these types.

    Raises:
        DTypeError: It is not a NumPy array, not contiguous or of another element type.
        ShapeError: It is not of rank 1, of another length, or above the number of elements that
            the coder can count.
    """
    if not isinstance(array, np.ndarray) or array.dtype.type not in dtypes:
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise DTypeError(f"{name} must be an array of {names}, not {found}")
    if array.ndim != 1 or (length is not None and len(array) != length):
        wanted = "n" if length is None else length
        raise ShapeError(f"{name} must have the shape [{wanted}], not {list(array.shape)}")
    if len(array) > MAX_ELEMENTS:
        raise ShapeError(f"{name} has {len(array)} elements; at most {MAX_ELEMENTS} can be coded")
    if not array.flags.c_contiguous or not array.dtype.isnative:
        raise DTypeError(f"{name} must be C-contiguous and of native byte order")


def require_range(name: str, value: int, low: int, high: int) -> None:
    """Checks an integer argument.

    Raises:
        ConfigError: It is outside of low to high.
    """
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; it must be {low} to {high}")


def require_prepared(tables: object, kind: type[T]) -> T:
    """Checks that tables were prepared by the implementation that is to use them; returns them.

    Raises:
        ConfigError: They were not.
    """
    if not isinstance(tables, kind):
        raise ConfigError("these tables were prepared by another implementation of the kernels")
    return tables


def require_steps(steps: Sequence[CodeStep], tables: type) -> None:
    """Checks types and shapes of code steps; the coder checks the values.

    Args:
        steps: The code steps.
        tables: Class of the implementation's prepared tables.

    Raises:
        DTypeError, ShapeError, ConfigError: A step is not as `CodeStep` says.
    """
    for step in steps:
        require_array("symbols", step.symbols, SYMBOL_DTYPES)
        require_array("indexes", step.indexes, (np.uint8, np.uint16), len(step.symbols))
        require_range("skip", step.skip, 0, (1 << 31) - 1)
        require_prepared(step.tables, tables)


def require_layout(lanes: int, segments: int) -> None:
    """Checks an encoder's lanes and segments.

    Raises:
        ConfigError: They are not allowed.
    """
    if lanes not in LANES:
        raise ConfigError(f"lanes is {lanes}; it must be one of {LANES}")
    require_range("segments", segments, 1, MAX_SEGMENTS)


def require_overhead(overhead_permille: int, min_lanes: int) -> None:
    """Checks the parameters by which lanes and segments are chosen.

    Raises:
        ConfigError: A parameter is out of its range.
    """
    require_range("overhead_permille", overhead_permille, 1, 1000)
    require_layout(min_lanes, 1)


def require_grid(means: I32 | None, length: int, mean_bits: int, step: int | StepMap) -> None:
    """Checks the arguments that `quantize` and `dequantize` share.

    Raises:
        DTypeError, ShapeError, ConfigError: An argument is not as `Kernels.quantize` says.
    """
    if means is not None:
        require_array("means", means, (np.int32,), length)
    require_range("mean_bits", mean_bits, 0, MAX_MEAN_BITS)
    if isinstance(step, StepMap):
        require_map(step, length)
    else:
        require_range("step", step, 1, MAX_STEP)


def require_map(steps: StepMap, length: int) -> None:
    """Checks a step map for `length` elements.

    Raises:
        DTypeError, ShapeError, ConfigError: It is not as `StepMap` says, or has a step number
            without a width.
    """
    require_array("widths", steps.widths, (np.uint32,))
    require_array("step numbers", steps.numbers, (np.int8,), length)
    count = len(steps.widths)
    require_range("the number of widths", count, 1, 256)
    require_range("the first step number", steps.first, -128, 128 - count)
    require_range("a step's width", int(steps.widths.min()), 1, MAX_STEP)
    require_range("a step's width", int(steps.widths.max()), 1, MAX_STEP)
    if length:
        last = steps.first + count - 1
        require_range("a step number", int(steps.numbers.min()), steps.first, last)
        require_range("a step number", int(steps.numbers.max()), steps.first, last)


def shift_of(shift: int | None, step: int | StepMap) -> int | I8:
    """Returns what `quantize` subtracts from table indexes: one number, or the step map's.

    Raises:
        ConfigError: The step map's numbers are asked for, and there is no map.
    """
    if shift is not None:
        return shift
    if not isinstance(step, StepMap):
        raise ConfigError("shift is None, which needs a step for each element")
    return step.numbers


def shifts_of(indexes: npt.NDArray[np.integer], shift: int | StepMap) -> int | I8:
    """Returns what `shift_indexes` subtracts from table indexes: one number, or a step map's.

    Raises:
        DTypeError, ShapeError, ConfigError: The map does not fit the indexes.
    """
    if not isinstance(shift, StepMap):
        return shift
    require_map(shift, len(indexes))
    return shift.numbers


def require_indexes(
    indexes: npt.NDArray[np.integer], shift: int | I8, table_count: int, length: int | None
) -> None:
    """Checks unshifted table indexes, and how they are shifted and clipped.

    Raises:
        DTypeError, ShapeError, ConfigError: An argument is not as `Kernels.quantize` says.
    """
    require_array("indexes", indexes, (np.int32, np.uint8, np.uint16), length)
    if isinstance(shift, int):
        require_range("shift", shift, -(1 << 31), (1 << 31) - 1)
    require_range("table_count", table_count, 1, MAX_TABLES)


def shifts_to_quantize(
    values: F32,
    means: I32 | None,
    mean_bits: int,
    step: int | StepMap,
    indexes: npt.NDArray[np.integer],
    shift: int | None,
    table_count: int,
    skip: int,
) -> int | I8:
    """Checks the arguments of `Kernels.quantize`; returns what is subtracted from the indexes.

    Raises:
        DTypeError, ShapeError, ConfigError: An argument is not as described there.
    """
    require_array("values", values, (np.float32,))
    require_grid(means, len(values), mean_bits, step)
    shifts = shift_of(shift, step)
    require_indexes(indexes, shifts, table_count, len(values))
    require_range("skip", skip, 0, (1 << 31) - 1)
    return shifts


def require_buffer(out: Any) -> npt.NDArray[np.uint8]:
    """Views a caller's buffer as writable bytes.

    Raises:
        DTypeError: It is not a buffer, not contiguous, or read-only.
    """
    return np.frombuffer(as_writable_bytes(out, "out"), np.uint8)


def payload_in(
    out: npt.NDArray[np.uint8], segments: int, words: tuple[int, ...], escapes: int
) -> CodedPayload:
    """Views the segments and escapes that lie at the beginning of a caller's buffer.

    Args:
        out: The buffer.
        segments: Length of all segments in bytes.
        words: Number of words of each segment.
        escapes: Length of the escape section in bytes, right behind the segments.

    Raises:
        ShapeError: The buffer is smaller than that.
    """
    size = segments + escapes
    if size > len(out):
        raise ShapeError(f"the buffer has {len(out)} bytes; what was coded takes {size}")
    view = out.data
    return CodedPayload(view[:segments], words, view[segments:size])


def require_output(out: Symbols | None, length: int) -> Symbols:
    """Returns the array for symbols: the caller's, checked, or a new one of int32.

    Raises:
        DTypeError, ShapeError: It is not as `StepDecoder.step` says.
    """
    if out is None:
        return np.empty(length, np.int32)
    require_array("out", out, SYMBOL_DTYPES, length)
    if not out.flags.writeable:
        raise DTypeError("out is read-only")
    return out


def require_payload(segments: Any, words: Sequence[int], lanes: int) -> None:
    """Checks that the segments are as long as their lanes and words need.

    Raises:
        BitstreamError: They are not, or there are too many lanes or segments.
    """
    if lanes not in LANES:
        raise BitstreamError(f"{lanes} lanes are not allowed; there are {LANES}")
    if not 1 <= len(words) <= MAX_SEGMENTS:
        raise BitstreamError(f"{len(words)} segments are not allowed; there are 1 to 256")
    if min(words) < 0:
        raise BitstreamError("a segment has a negative number of words")
    wanted = 4 * lanes * len(words) + 2 * sum(words)
    found = memoryview(segments).nbytes
    if found < wanted:
        raise TruncatedError(f"the segments have {found} bytes; their word counts ask for {wanted}")
    if found > wanted:
        raise BitstreamError(f"the segments have {found - wanted} bytes too many")
