"""The kernels as `docs/format.md` describes them: plain Python and NumPy, slow and obvious.

Every other implementation must give the same bytes and the same integers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import BitstreamError, ClosedError
from ..tables import PROB_BITS, CdfTables
from . import checks
from .api import (
    F32,
    I8,
    I32,
    CodedPayload,
    CodeStep,
    Indexes,
    PreparedTables,
    StepMap,
    Symbols,
    index_dtype,
)
from .checks import Status
from .rules import (
    choose_layout,
    fmix,
    inverse_step,
    log2_q8,
    put_escape,
    seed,
    share,
    take_escape,
)

_SCALE = 1 << PROB_BITS
_STATE_MIN = 1 << 16
_MASK = 0xFFFFFFFF


class _Event(NamedTuple):
    """A coded symbol, and its event in the symbol's table."""

    freq: int
    cum: int
    """Sum of the frequencies of the table's earlier events."""
    table: int
    escaped: bool
    symbol: int


class ReferenceKernels:
    """Slow and on one thread; for tests, and to be read along with the format."""

    name = "reference"
    threads = 1

    def prepare(self, tables: CdfTables) -> PreparedTables:
        return tables

    def plan(
        self, steps: Sequence[CodeStep], overhead_permille: int, min_lanes: int
    ) -> tuple[int, int]:
        checks.require_steps(steps, CdfTables)
        events = [list(_events(step)) for step in steps]
        cost = sum(PROB_BITS * 256 - log2_q8(event.freq) for step in events for event in step)
        largest = max((len(step) for step in events), default=0)
        return choose_layout(cost >> 11, largest, overhead_permille, min_lanes)

    def encode(
        self,
        steps: Sequence[CodeStep],
        lanes: int,
        segments: int,
        check: int,
        *,
        out: Any = None,
    ) -> CodedPayload:
        checks.require_steps(steps, CdfTables)
        checks.require_layout(lanes, segments)
        events = [list(_events(step)) for step in steps]
        coded = [_encode_segment(events, lanes, s, segments, check) for s in range(segments)]
        escapes = bytearray()
        for step, of_step in zip(steps, events, strict=True):
            for event in of_step:
                if event.escaped:
                    escapes += put_escape(event.symbol, *_range(_own(step.tables), event.table))
        words = tuple(len(segment) // 2 - 2 * lanes for segment in coded)
        whole = b"".join(coded)
        if out is None:
            return CodedPayload(whole, words, bytes(escapes))
        buffer = checks.require_buffer(out)
        payload = checks.payload_in(buffer, len(whole), words, len(escapes))
        buffer[: len(whole) + len(escapes)] = np.frombuffer(whole + escapes, np.uint8)
        return payload

    def pack(
        self,
        steps: Sequence[CodeStep],
        overhead_permille: int,
        min_lanes: int,
        check: int,
        *,
        out: Any = None,
    ) -> tuple[int, CodedPayload]:
        lanes, segments = self.plan(steps, overhead_permille, min_lanes)
        return lanes, self.encode(steps, lanes, segments, check, out=out)

    def decoder(
        self, segments: Any, words: Sequence[int], escapes: Any, lanes: int
    ) -> ReferenceDecoder:
        return ReferenceDecoder(segments, words, escapes, lanes)

    def check(self, values: I32, salt: int) -> int:
        checks.require_array("values", values, (np.int32,))
        place = np.arange(1, len(values) + 1, dtype=np.uint64)
        added = (place * 0x9E3779B9).astype(np.uint32)
        salted = fmix(np.array([salt + 1 & _MASK], np.uint32))
        terms = fmix(values.view(np.uint32) + added + salted)
        return int(terms.sum(dtype=np.uint64)) & _MASK

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
        shifts = checks.shifts_to_quantize(
            values, means, mean_bits, step, indexes, shift, table_count, skip
        )
        clipped = _clip(indexes, shifts, table_count)
        mean = np.zeros(len(values), np.float32)
        if means is not None:
            mean = means.astype(np.float32) * np.float32(2.0**-mean_bits)
        inverses = np.array([inverse_step(width) for width in _widths(step)], np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            t = (values - mean) * inverses[_places(step)]
        t = np.nan_to_num(np.rint(t), nan=0.0, posinf=np.inf, neginf=-np.inf).astype(np.float64)
        symbols = np.clip(t, -(1 << 31), (1 << 31) - 1).astype(np.int32)
        symbols[clipped < skip] = 0
        return symbols, clipped

    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int | StepMap
    ) -> F32:
        checks.require_array("symbols", symbols, (np.int32,))
        checks.require_grid(means, len(symbols), mean_bits, step)
        fixed = symbols.astype(np.int64) * np.array(_widths(step), np.int64)[_places(step)]
        if means is not None:
            fixed += means.astype(np.int64) << 16 - mean_bits
        values: F32 = fixed.astype(np.float32) * np.float32(2.0**-16)
        return values

    def shift_indexes(
        self, indexes: npt.NDArray[np.integer], shift: int | StepMap, table_count: int
    ) -> Indexes:
        shifts = checks.shifts_of(indexes, shift)
        checks.require_indexes(indexes, shifts, table_count, None)
        return _clip(indexes, shifts, table_count)


def _widths(step: int | StepMap) -> list[int]:
    return step.widths.tolist() if isinstance(step, StepMap) else [step]


def _places(step: int | StepMap) -> Any:
    """Returns the index of each element's width among the widths."""
    return step.numbers.astype(np.int64) - step.first if isinstance(step, StepMap) else 0


def _clip(indexes: npt.NDArray[np.integer], shifts: int | I8, table_count: int) -> Indexes:
    wide = indexes.astype(np.int64) - shifts
    clipped: Indexes = np.clip(wide, 0, table_count - 1).astype(index_dtype(table_count))
    return clipped


class ReferenceDecoder:
    """`StepDecoder` of `ReferenceKernels`; copies the packet's bytes instead of borrowing them."""

    def __init__(self, segments: Any, words: Sequence[int], escapes: Any, lanes: int) -> None:
        checks.require_payload(segments, words, lanes)
        data = bytes(segments)
        self._lanes = lanes
        self._escapes = bytes(escapes)
        self._states: list[list[int]] = []
        self._words: list[Iterator[int]] = []
        self._failed = self._finished = False
        for count in words:
            self._states.append(list(struct.unpack_from(f"<{lanes}I", data)))
            self._words.append(iter(struct.unpack_from(f"<{count}H", data, 4 * lanes)))
            data = data[4 * lanes + 2 * count :]
        if any(state < _STATE_MIN for states in self._states for state in states):
            raise checks.packet_error(Status.STATE_TOO_SMALL)

    def step(
        self, indexes: Indexes, tables: PreparedTables, skip: int, *, out: Symbols | None = None
    ) -> Symbols:
        if self._finished:
            raise ClosedError("the packet was decoded to its end")
        if self._failed:
            raise BitstreamError("the packet failed to decode before")
        checks.require_array("indexes", indexes, (np.uint8, np.uint16))
        checks.require_range("skip", skip, 0, (1 << 31) - 1)
        target = checks.require_output(out, len(indexes))
        self._failed = True
        symbols = self._step(indexes, _own(tables), skip)
        np.copyto(target, symbols, casting="unsafe")
        if (target != symbols).any():
            raise checks.packet_error(Status.SYMBOL_TOO_WIDE)
        self._failed = False
        return target

    def _step(self, indexes: Indexes, tables: CdfTables, skip: int) -> I32:
        if (indexes >= tables.count).any():
            raise checks.packet_error(Status.INDEX_OUT_OF_RANGE)
        places = np.flatnonzero(indexes >= skip)
        out = np.zeros(len(indexes), np.int32)
        escaped = []
        for s in range(len(self._words)):
            for i, number in enumerate(share(len(places), s, len(self._words))):
                place = int(places[number])
                t = int(indexes[place])
                k = self._decode(s, i % self._lanes, tables.cum(t))
                if k == tables.sizes[t]:
                    escaped.append((place, t))
                else:
                    out[place] = tables.offsets[t] + k
        for place, t in escaped:
            out[place], length = take_escape(self._escapes, *_range(tables, t))
            self._escapes = self._escapes[length:]
        return out

    def _decode(self, segment: int, lane: int, cum: npt.NDArray[np.int32]) -> int:
        """Decodes one event of a table; returns its number."""
        x = self._states[segment][lane]
        slot = x & _SCALE - 1
        k = int(np.searchsorted(cum, slot, side="right")) - 1
        x = int(cum[k + 1] - cum[k]) * (x >> PROB_BITS) + slot - int(cum[k])
        if x < _STATE_MIN:
            word = next(self._words[segment], None)
            if word is None:
                raise checks.packet_error(Status.WORDS_EXHAUSTED)
            x = x << 16 | word
        self._states[segment][lane] = x
        return k

    def finish(self) -> int:
        if self._failed:
            raise BitstreamError("the packet failed to decode before")
        self._failed = not self._finished
        if any(next(words, None) is not None for words in self._words):
            raise checks.packet_error(Status.WORDS_LEFT)
        seeds = [[state - _STATE_MIN for state in states] for states in self._states]
        carried, rest = seeds[0][:2], [*seeds[0][2:], *(seed for s in seeds[1:] for seed in s)]
        if max(carried) > 0xFFFF or any(rest):
            raise checks.packet_error(Status.SEED_NONZERO)
        if self._escapes:
            raise checks.packet_error(Status.ESCAPES_LEFT)
        self._failed, self._finished = False, True
        return sum(seed << 16 * lane for lane, seed in enumerate(carried))


def _own(tables: PreparedTables) -> CdfTables:
    return checks.require_prepared(tables, CdfTables)


def _range(tables: CdfTables, t: int) -> tuple[int, int]:
    begin = int(tables.offsets[t])
    return begin, begin + int(tables.sizes[t])


def _events(step: CodeStep) -> Iterator[_Event]:
    """Yields the coded symbols of a step, in order."""
    tables = _own(step.tables)
    for symbol, t in zip(step.symbols.tolist(), step.indexes.tolist(), strict=True):
        if t >= tables.count:
            raise checks.steps_error(Status.INDEX_OUT_OF_RANGE)
        if t < step.skip:
            if symbol != 0:
                raise checks.steps_error(Status.SKIPPED_NONZERO)
            continue
        begin, end = _range(tables, t)
        escaped = not begin <= symbol < end
        k = end - begin if escaped else symbol - begin
        freqs = tables.table(t)
        yield _Event(int(freqs[k]), int(freqs[:k].sum(dtype=np.int64)), t, escaped, symbol)


def _encode_segment(
    events: list[list[_Event]], lanes: int, segment: int, segments: int, check: int
) -> bytes:
    """Returns the states and words of one segment."""
    states = [_STATE_MIN + seed(check, lanes, segment, lane) for lane in range(lanes)]
    words: list[int] = []  # the last one first
    for step in reversed(events):
        numbers = share(len(step), segment, segments)
        for i in reversed(range(len(numbers))):
            event = step[numbers[i]]
            x = states[i % lanes]
            if x >> 18 >= event.freq:
                words.append(x & 0xFFFF)
                x >>= 16
            states[i % lanes] = (x // event.freq << PROB_BITS) + x % event.freq + event.cum
    return struct.pack(f"<{lanes}I{len(words)}H", *states, *reversed(words))
