from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .api import F32, I8, I32, CodeStep, Indexes, StepMap, Symbols

class Tables:
    def __init__(self, offsets: Any, sizes: Any, freqs: Any) -> None: ...
    @property
    def count(self) -> int: ...

class Loops:
    def measure(self, steps: Sequence[CodeStep], threads: int) -> tuple[int, int, int]: ...
    def encode(
        self,
        steps: Sequence[CodeStep],
        lanes: int,
        segments: int,
        check: int,
        threads: int,
        out: npt.NDArray[np.uint8] | None,
    ) -> tuple[Any, ...]: ...
    def pack(
        self,
        steps: Sequence[CodeStep],
        overhead_permille: int,
        min_lanes: int,
        check: int,
        threads: int,
        out: npt.NDArray[np.uint8] | None,
    ) -> tuple[Any, ...]: ...
    def check(self, values: I32, salt: int) -> int: ...
    def quantize(
        self,
        values: F32,
        means: I32 | None,
        mean_bits: int,
        step: int | StepMap,
        indexes: npt.NDArray[np.integer],
        shift: int | I8,
        table_count: int,
        skip: int,
        symbols: I32,
        clipped: Indexes,
    ) -> None: ...
    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int | StepMap, values: F32
    ) -> None: ...
    def shift_indexes(
        self,
        indexes: npt.NDArray[np.integer],
        shift: int | I8,
        table_count: int,
        clipped: Indexes,
    ) -> None: ...

def loops(name: str) -> Loops | None: ...
def stop_helpers() -> None: ...

class Decoder:
    def __init__(
        self,
        loops: Loops,
        segments: Any,
        words: list[int],
        escapes: Any,
        lanes: int,
        threads: int,
    ) -> None: ...
    @property
    def status(self) -> int: ...
    def step(self, indexes: Indexes, tables: Tables, skip: int, symbols: Symbols) -> int: ...
    def finish(self) -> tuple[int, int]: ...
