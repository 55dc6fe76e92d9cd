"""What of a task's results and outputs belongs to a region of the picture.

A picture's region is where the network finds something in the *uncompressed* picture: the sender
knows it before anything is coded. What decoded features lead to decides nothing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcmrt.tasks import agreement, movenet, movenet_agreement
from fcmrt.tasks.nanodet import cell_centres
from fcmrt.tasks.task import MOVENET, NANODET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fcmrt.tasks.task import Task

    from .evaluation import Reference

    Box = tuple[float, float, float, float]
    Bools = NDArray[np.bool_]
    Points = NDArray[np.floating[Any]]

LARGEST_REGION = 0.5  # of the input's area; with more there is little to take bytes from


class Case(NamedTuple):
    """A picture and what is of interest in it."""

    reference: Reference
    box: Box
    """Left, top, right, bottom in fractions of the network's input."""


def cases_of(task: Task, references: Sequence[Reference]) -> list[Case]:
    """Give the pictures in which something is found, with the best box, if it is not too large.

    Args:
        task: One of those in `RULES`.
        references: What the network makes of the uncompressed pictures.
    """
    found = []
    for reference in references:
        if (reference.found.scores > RULES[task.name].threshold).any():
            box = np.clip(reference.found.boxes[0] * reference.scale / task.input_size, 0, 1)
            left, top, right, bottom = map(float, box)
            if 0 < (right - left) * (bottom - top) <= LARGEST_REGION:
                found.append(Case(reference, (left, top, right, bottom)))
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class RegionRule:
    """Where the results and outputs of a task network lie."""

    threshold: float
    """Score from which something counts as found."""
    centres: Callable[[], Points]
    """float [cells, 2], x y of the outputs' cells in pixels of the input."""
    cell_axes: int
    """Over how many axes, behind the batch's, the cells are spread."""

    def results(self, found: Any, box: Points) -> Any:
        """Give the results with the middle of their box in a region.

        Args:
            found: `Detections` or `People`.
            box: Left, top, right, bottom, in pixels of the picture.
        """
        taken = _holds(box, (found.boxes[:, :2] + found.boxes[:, 2:]) / 2)
        return _each(found, lambda values: values[taken])

    def outputs(self, outputs: Any, box: Points) -> tuple[Any, Any]:
        """Give the outputs of the cells in a region, and those of all others.

        Args:
            outputs: `Outputs` of the task.
            box: Left, top, right, bottom, in pixels of the input.
        """
        inside = _holds(box, self.centres())
        return self._cells(outputs, inside), self._cells(outputs, ~inside)

    def _cells(self, outputs: Any, taken: Bools) -> Any:
        def part(values: NDArray[Any]) -> NDArray[Any]:
            shape = values.shape[0], len(taken), *values.shape[1 + self.cell_axes :]
            return values.reshape(shape)[:, taken]

        return _each(outputs, part)


def _movenet_centres() -> Points:
    rows, columns = np.divmod(np.arange(movenet.OUTPUT_SIDE**2), movenet.OUTPUT_SIDE)
    return (np.stack([columns, rows], 1) + 0.5) * movenet.OUTPUT_STRIDE


def _each(one: Any, part: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """A dataclass of arrays with a part of each."""
    values = {field.name: part(getattr(one, field.name)) for field in dataclasses.fields(one)}
    return type(one)(**values)


def _holds(box: Points, points: Points) -> Bools:
    return np.all((points >= box[:2]) & (points <= box[2:]), axis=1)


RULES = {
    NANODET.name: RegionRule(agreement.REFERENCE_THRESHOLD, lambda: cell_centres()[0], 1),
    MOVENET.name: RegionRule(movenet_agreement.REFERENCE_THRESHOLD, _movenet_centres, 2),
}
