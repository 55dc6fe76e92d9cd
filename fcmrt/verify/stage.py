"""The findings on one stage, and on all stages together."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..exact import Verdict
from ..schedule import Side

Array = npt.NDArray[Any]

_Result = TypeVar("_Result")

TIE = 1e-4
"""Distance from the middle between two integers, in quantiser steps, below which a float's last
bits decide how it is rounded."""


@dataclasses.dataclass(slots=True)
class Stage:
    """What was found of one configuration at one step of the schedule, over all pictures."""

    configuration: str
    side: Side
    step: str
    """Kind and subject of the step, such as `run analysis`."""
    exact: bool
    """Whether everything must equal the reference."""
    integers: int = 0
    """Integers compared; for the coder's output, bytes."""
    differing: int = 0
    """How many of them differ; in an exact stage, differing floats too."""
    ties: int = 0
    """How many of the differing symbols come from a value within `TIE` of the middle between two
    integers, which may round either way."""
    floats: int = 0
    """Floats compared."""
    absolute: float = 0.0
    """Largest difference of a float."""
    relative: float = 0.0
    """The same as a share of the largest absolute value in its tensor."""
    bringup: list[Verdict] = dataclasses.field(default_factory=list)
    """The verdict at each set of shapes that came up; only for graphs of the exact path."""
    error: str | None = None
    """Why it could not be run; None: it could."""
    times: list[float] = dataclasses.field(default_factory=list)
    """Milliseconds of each run."""

    @property
    def ms(self) -> float:
        """Median time of one run; NaN if there was none."""
        return statistics.median(self.times) if self.times else math.nan

    @property
    def brought_up(self) -> bool | None:
        """Whether the bring-up passed at every shape; None: there is none for this stage."""
        return all(verdict.exact for verdict in self.bringup) if self.bringup else None

    @property
    def fails(self) -> bool:
        """Whether it should be exact and is not."""
        return self.exact and bool(self.differing or self.error or self.brought_up is False)

    def compare(self, reference: Array, found: Array) -> None:
        """Counts what differs between two arrays; another shape or type is noted as an error."""
        if found.shape != reference.shape or found.dtype != reference.dtype:
            self.error = (
                f"gave {found.dtype} {list(found.shape)}; the reference gave "
                f"{reference.dtype} {list(reference.shape)}"
            )
            return
        if reference.dtype.kind == "f":
            self.floats += reference.size
            self._compare_floats(reference, found)
        else:
            self.integers += reference.size
        if self.exact or reference.dtype.kind != "f":
            self.differing += int(np.count_nonzero(reference != found))

    def compare_symbols(self, reference: Array, found: Array, values: Array) -> None:
        """Counts symbols that differ, and those of them that are ties.

        Args:
            reference: int32 `[n]`.
            found: int32 `[n]`.
            values: What the reference's symbols were rounded from, float64 `[n]`, in steps.
        """
        self.integers += reference.size
        differ = reference != found
        self.differing += int(np.count_nonzero(differ))
        middle = np.abs(np.abs(values[differ] - np.trunc(values[differ])) - 0.5)
        self.ties += int(np.count_nonzero(middle < TIE))

    def _compare_floats(self, reference: Array, found: Array) -> None:
        with np.errstate(invalid="ignore"):
            difference = float(np.max(np.abs(reference.astype(np.float64) - found), initial=0))
        if math.isnan(difference):
            difference = math.inf
        largest = float(np.max(np.abs(reference), initial=0))
        self.absolute = max(self.absolute, difference)
        self.relative = max(self.relative, difference / largest if largest else difference)


class Stages:
    """All stages, in the order in which they first came up.

    Args:
        repeats: How often each runs on each picture, for its time; at least 1.
    """

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._stages: dict[tuple[str, Side, str], Stage] = {}

    def of(self, configuration: str, side: Side, step: str, *, exact: bool) -> Stage:
        """Returns the stage, a new one if it has not come up yet."""
        key = configuration, side, step
        return self._stages.setdefault(key, Stage(*key, exact))

    def timed(self, stage: Stage, call: Callable[[], _Result]) -> _Result:
        """Calls repeatedly, records the times in the stage, and returns the last result."""
        for _ in range(self._repeats):
            start = time.perf_counter()
            result = call()
            stage.times.append(1e3 * (time.perf_counter() - start))
        return result

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All findings."""

    reference: str
    """What everything was compared with, in words."""
    identities: Mapping[str, str]
    """The full identity of each configuration's runner, by the configuration's name."""
    stages: tuple[Stage, ...]

    @property
    def exact(self) -> bool:
        """Whether every stage that must be exact is."""
        return not any(stage.fails for stage in self.stages)
