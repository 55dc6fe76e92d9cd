"""What an ONNX operator is to the interpreter, and the table of all that it knows.

Where an operator's specification is unclear, ONNX's reference evaluator decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch

from ...errors import EngineError
from ...onnxgraph import BFLOAT16, Node

Tensor = Any
"""`torch.Tensor`; PyTorch's own types are not checked."""
Function = Callable[..., Any]
"""One operator of one graph: tensors in, one tensor out, or a sequence of them."""


def tensor_of(array: np.ndarray[Any, Any]) -> Tensor:
    """Copies a constant of a graph into a tensor of the same type."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array["bfloat16"].view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


class Site:
    """One node, while its graph is loaded: everything about it that no run changes.

    Args:
        node: The node.
        known: Each input's value, on the host, if it is constant; else None.
        kind: Maps a type that the graph declares to the type that is computed in.
        error: Makes an error that names graph and node.
    """

    def __init__(
        self,
        node: Node,
        known: Sequence[Tensor | None],
        kind: Callable[[Any], Any],
        error: Callable[[str], EngineError],
    ) -> None:
        self.node = node
        self.kind = kind
        self.error = error
        self._known = known
        self._asked: set[str] = set()

    def known(self, position: int) -> Tensor | None:
        """Returns an input's value, on the host; None if it is not constant, or left out."""
        return self._known[position] if position < len(self._known) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """Returns an attribute; one without a default must be present."""
        return cast(int, self._attribute(name, int, default))

    def number(self, name: str, default: float) -> float:
        """Returns an attribute."""
        return cast(float, self._attribute(name, float, default))

    def text(self, name: str, default: str) -> str:
        """Returns an attribute."""
        return cast(str, self._attribute(name, str, default))

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Returns an attribute."""
        value = cast("tuple[int, ...]", self._attribute(name, tuple, default))
        if not all(isinstance(item, int) for item in value):
            raise self.error(f"attribute {name!r} holds no integers")
        return value

    def array(self, name: str, default: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Returns an attribute."""
        return cast("np.ndarray[Any, Any]", self._attribute(name, np.ndarray, default))

    def only(self, name: str, value: int | str) -> None:
        """Refuses any other value of an attribute, which may be left out."""
        found = self._attribute(name, type(value), value)
        if found != value:
            raise self.error(f"attribute {name!r} is {found!r}; only {value!r} is taken")

    def ignore(self, *names: str) -> None:
        """Names attributes that have no effect on the result."""
        self._asked.update(names)

    def close(self) -> None:
        """Refuses attributes that were never asked for."""
        for name in self.node.attributes:
            if name not in self._asked:
                raise self.error(f"attribute {name!r} is not known")

    def _attribute(self, name: str, kind: type, default: Any) -> Any:
        self._asked.add(name)
        value = self.node.attributes.get(name, default)
        if not isinstance(value, kind):
            raise self.error(f"attribute {name!r} is missing or of the wrong kind")
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """How nodes of one kind are made ready to run."""

    make: Callable[[Site], Function]
    fewest: int
    """Least number of inputs."""
    most: int
    """Greatest number of inputs."""
    plain: frozenset[int]
    """Positions of inputs that the function takes as Python numbers and lists; their values depend
    on shapes only."""
    of_shape: bool
    """Whether it reads only the shape of its input."""
    several: bool
    """Whether its function returns a sequence of tensors."""


OPERATORS: dict[str, Operator] = {}

_MANY = 1 << 16


def operator(
    name: str,
    fewest: int,
    most: int = _MANY,
    *,
    plain: Sequence[int] = (),
    of_shape: bool = False,
    several: bool = False,
) -> Callable[[Callable[[Site], Function]], Callable[[Site], Function]]:
    """Registers the maker of an operator's functions; arguments as the fields of `Operator`."""

    def enter(make: Callable[[Site], Function]) -> Callable[[Site], Function]:
        OPERATORS[name] = Operator(make, fewest, most, frozenset(plain), of_shape, several)
        return make

    return enter


def simple(name: str, inputs: int, function: Function) -> None:
    """Registers an operator without attributes that is a single PyTorch function."""
    operator(name, inputs, inputs)(lambda site: function)
