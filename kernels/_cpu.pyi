from collections.abc import Sequence
from typing import Any

from .api import F32, I32, CodeStep, Indexes

class Tables:
    def __init__(self, offsets: Any, sizes: Any, freqs: Any) -> None: ...
    @property
    def count(self) -> int: ...

class Loops:
    def measure(self, steps: Sequence[CodeStep]) -> tuple[int, int, int]: ...
    def encode(
        self, steps: Sequence[CodeStep], lanes: int, segments: int, check: int
    ) -> tuple[int, *tuple[Any, ...]]: ...
    def check(self, values: I32, salt: int) -> int: ...
    def quantize(
        self,
        values: F32,
        means: I32 | None,
        mean_bits: int,
        step: int,
        indexes: I32,
        shift: int,
        table_count: int,
        skip: int,
        symbols: I32,
        clipped: Indexes,
    ) -> None: ...
    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int, values: F32
    ) -> None: ...
    def shift_indexes(
        self, indexes: I32, shift: int, table_count: int, clipped: Indexes
    ) -> None: ...

def loops(name: str) -> Loops | None: ...

class Decoder:
    def __init__(
        self, loops: Loops, segments: Any, words: list[int], escapes: Any, lanes: int
    ) -> None: ...
    @property
    def status(self) -> int: ...
    def step(self, indexes: Indexes, tables: Tables, skip: int, symbols: I32) -> int: ...
    def finish(self) -> tuple[int, int]: ...
