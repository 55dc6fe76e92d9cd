"""What an ONNX operator is to the interpreter, and the table of all that it knows.

Where the text of an operator is not clear, ONNX's reference evaluator is followed.
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
"""`torch.Tensor`; the library's types are not followed."""
Function = Callable[..., Any]
"""One operator of one graph: tensors in, one tensor out, or a sequence of them."""


def tensor_of(array: np.ndarray[Any, Any]) -> Tensor:
    """Copies a constant of a graph into a tensor of the same type."""
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array["bfloat16"].view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


class Site:
    """One node when its graph is loaded: all that does not depend on the values.

    Args:
        node: The node.
        known: For each input its value, if that is known already, on the host.
        kind: Gives the type in which values run that the graph declares to be of a type.
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
        """Gives an input's value, on the host, if it is known; None also if it is not there."""
        return self._known[position] if position < len(self._known) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """Gives an attribute; without a default it has to be there."""
        return cast(int, self._attribute(name, int, default))

    def number(self, name: str, default: float) -> float:
        """Gives an attribute."""
        return cast(float, self._attribute(name, float, default))

    def text(self, name: str, default: str) -> str:
        """Gives an attribute."""
        return cast(str, self._attribute(name, str, default))

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Gives an attribute."""
        value = cast("tuple[int, ...]", self._attribute(name, tuple, default))
        if not all(isinstance(item, int) for item in value):
            raise self.error(f"attribute {name!r} holds no integers")
        return value

    def array(self, name: str, default: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Gives an attribute."""
        return cast("np.ndarray[Any, Any]", self._attribute(name, np.ndarray, default))

    def only(self, name: str, value: int | str) -> None:
        """Refuses any other value of an attribute, which may be left out."""
        found = self._attribute(name, type(value), value)
        if found != value:
            raise self.error(f"attribute {name!r} is {found!r}; only {value!r} is taken")

    def ignore(self, *names: str) -> None:
        """Names attributes that say nothing about the result."""
        self._asked.update(names)

    def close(self) -> None:
        """Refuses attributes that nobody has asked for."""
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
    """Inputs it has at the least."""
    most: int
    """And at the most."""
    plain: frozenset[int]
    """Inputs that the function takes as Python numbers and lists; they depend on shapes only."""
    of_shape: bool
    """It looks at its input's shape only."""
    several: bool
    """Its function gives a sequence of tensors."""


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
    """Enters the maker of an operator's functions into the table."""

    def enter(make: Callable[[Site], Function]) -> Callable[[Site], Function]:
        OPERATORS[name] = Operator(make, fewest, most, frozenset(plain), of_shape, several)
        return make

    return enter


def simple(name: str, inputs: int, function: Function) -> None:
    """Enters an operator without attributes that PyTorch has as it is."""
    operator(name, inputs, inputs)(lambda site: function)
