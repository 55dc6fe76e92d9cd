"""The coder's probability tables, as engines hold them (`docs/format.md`, section 2)."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import struct

import numpy as np
import numpy.typing as npt

from .errors import EngineError

PROB_BITS = 14
"""Frequencies of one table add up to 2 to the power of this."""

MAX_TABLES = 4096
MAX_SIZE = 4095
MAX_OFFSET = 1 << 24

_HEAD = struct.Struct("<4sHHI")
_MAGIC = b"FCMT"
_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class CdfTables:
    """A valid, immutable table set.

    Table `t` covers the integers `offsets[t]` to `offsets[t] + sizes[t] - 1`. It has one frequency
    for each, and then one for the escape; all are at least 1, and their sum is 16384.

    Args:
        offsets: int32 `[T]`, 1 <= T <= 4096; copied.
        sizes: int32 `[T]`, 0 to 4095; copied.
        freqs: uint16 `[sum(sizes + 1)]`, table by table; copied.

    Raises:
        EngineError: The arrays are not a table set.
    """

    offsets: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int32]
    freqs: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        for name, dtype in (("offsets", np.int32), ("sizes", np.int32), ("freqs", np.uint16)):
            given = np.asarray(getattr(self, name))
            if given.ndim != 1 or given.dtype != dtype:
                raise EngineError(
                    f"{name} of a table set is {given.dtype}, rank {given.ndim}; "
                    f"it must be {np.dtype(dtype)}, rank 1"
                )
            copy = given.copy()
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)
        self._validate()

    def _validate(self) -> None:
        if not 1 <= self.count <= MAX_TABLES:
            raise EngineError(f"a table set has 1 to {MAX_TABLES} tables, not {self.count}")
        if len(self.sizes) != self.count:
            raise EngineError(f"{self.count} offsets but {len(self.sizes)} sizes in a table set")
        if self.sizes.min() < 0 or self.sizes.max() > MAX_SIZE:
            raise EngineError(f"a table's size is outside of 0 to {MAX_SIZE}")
        first = self.offsets.astype(np.int64)
        if first.min() < -MAX_OFFSET or (first + self.sizes).max() > MAX_OFFSET:
            raise EngineError("a table's range is outside of -2^24 to 2^24")
        if len(self.freqs) != self.starts[-1]:
            raise EngineError(
                f"a table set has {len(self.freqs)} frequencies; its sizes ask for "
                f"{int(self.starts[-1])}"
            )
        if self.freqs.min() < 1:
            raise EngineError("a frequency is 0; every symbol and every escape needs at least 1")
        sums = np.add.reduceat(self.freqs.astype(np.int64), self.starts[:-1])
        if (wrong := np.flatnonzero(sums != 1 << PROB_BITS)).size:
            raise EngineError(
                f"the frequencies of table {int(wrong[0])} add up to {int(sums[wrong[0]])}, "
                f"not {1 << PROB_BITS}"
            )

    @classmethod
    def from_bytes(cls, data: bytes) -> CdfTables:
        """Reads the table set of an engine file.

        Args:
            data: The whole file; untrusted.

        Raises:
            EngineError: The bytes are not exactly one valid table set.
        """
        if len(data) < _HEAD.size:
            raise EngineError(f"a table set of {len(data)} bytes is cut off")
        magic, version, prob_bits, count = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise EngineError("not a table set: it does not begin with FCMT")
        if version != _VERSION:
            raise EngineError(f"table sets of version {version} are not known; this reads 1")
        if prob_bits != PROB_BITS:
            raise EngineError(f"tables of {prob_bits} probability bits; this reads {PROB_BITS}")
        if not 1 <= count <= MAX_TABLES:
            raise EngineError(f"a table set has 1 to {MAX_TABLES} tables, not {count}")
        if len(data) < _HEAD.size + 8 * count:
            raise EngineError(f"a table set of {len(data)} bytes cannot hold {count} tables")
        offsets = np.frombuffer(data, "<i4", count, _HEAD.size)
        sizes = np.frombuffer(data, "<u4", count, _HEAD.size + 4 * count)
        if sizes.max() > MAX_SIZE:
            raise EngineError(f"a table's size is above {MAX_SIZE}")
        rest = data[_HEAD.size + 8 * count :]
        total = int(sizes.sum(dtype=np.int64)) + count
        if len(rest) != 2 * total:
            raise EngineError(f"a table set has {len(rest)} bytes of frequencies, not {2 * total}")
        return cls(
            offsets.astype(np.int32),
            sizes.astype(np.int32),
            np.frombuffer(rest, "<u2").astype(np.uint16),
        )

    def to_bytes(self) -> bytes:
        """Returns the table set as it stands in an engine file."""
        return b"".join(
            (
                _HEAD.pack(_MAGIC, _VERSION, PROB_BITS, self.count),
                self.offsets.astype("<i4").tobytes(),
                self.sizes.astype("<u4").tobytes(),
                self.freqs.astype("<u2").tobytes(),
            )
        )

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of `to_bytes()`, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def count(self) -> int:
        """Number of tables."""
        return len(self.offsets)

    @functools.cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """int64 `[T + 1]`: where each table begins in `freqs`, then the length of `freqs`."""
        starts = np.zeros(self.count + 1, np.int64)
        np.cumsum(self.sizes.astype(np.int64) + 1, out=starts[1:])
        starts.setflags(write=False)
        return starts

    def table(self, t: int) -> npt.NDArray[np.uint16]:
        """Returns a view of table `t`'s frequencies, the escape's last: uint16 `[sizes[t] + 1]`."""
        return self.freqs[self.starts[t] : self.starts[t + 1]]

    def cum(self, t: int) -> npt.NDArray[np.int32]:
        """Returns the cumulative frequencies of table `t`: int32 `[sizes[t] + 2]`, owned.

        Entry `k` is the sum of the frequencies before event `k`; the last is 16384.
        """
        out = np.zeros(int(self.sizes[t]) + 2, np.int32)
        np.cumsum(self.table(t), out=out[1:])
        return out

    def ideal_bits(self, symbols: npt.NDArray[np.int32], indexes: npt.NDArray[np.integer]) -> float:
        """Computes what the symbols cost under these tables, in bits, with an ideal coder.

        Args:
            symbols: int32 `[n]`.
            indexes: Any integers `[n]`: the table of each symbol.

        Returns:
            The sum of -log2 of the probabilities, and 8 for every byte of an escape's value.
        """
        t = indexes.astype(np.int64)
        begin = self.offsets.astype(np.int64)[t]
        size = self.sizes.astype(np.int64)[t]
        event = symbols.astype(np.int64) - begin
        escaped = (event < 0) | (event >= size)
        freq = self.freqs[self.starts[t] + np.where(escaped, size, event)]
        bits = float(np.sum(PROB_BITS - np.log2(freq.astype(np.float64))))
        event, size = event[escaped], size[escaped]
        code = np.where(event < 0, 2 * (-1 - event) + 1, 2 * (event - size))
        escape_bytes = sum(int(np.count_nonzero(code >= 1 << 7 * k)) for k in range(1, 5))
        return bits + 8.0 * (escape_bytes + len(code))
