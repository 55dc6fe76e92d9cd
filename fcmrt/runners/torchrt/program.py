"""A graph as a list of PyTorch calls; whatever can be done once is done when the list is made.

Every value is in a numbered register. Arithmetic on shapes stays on the host, so that a device
never waits for it; everything else is on the device. What the graph has in float32 is computed in
the floating-point type that was asked for. What it has in float16 or bfloat16 stays that, unless
float64 was asked for, which then holds everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...errors import EngineError
from ...onnxgraph import Graph, Node
from . import arithmetic, layers, layout, quantization  # noqa: F401  (they fill the table)
from .operator import OPERATORS, Function, Operator, Site, Tensor, tensor_of

_OPSETS = range(13, 25)
_NOTHING = 0
"""Register of inputs that are left out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where and in which type a graph runs."""

    device: Any
    """`torch.device`."""
    floats: Any
    """`torch.dtype` of what the graph has in float32."""
    channels_last: bool
    """Whether feature maps have their channels innermost in memory, for faster convolutions."""

    def kind(self, dtype: Any) -> Any:
        """Maps a type that the graph declares to the type that is computed in."""
        if not dtype.is_floating_point:
            return dtype
        half = dtype in (torch.float16, torch.bfloat16)
        return dtype if half and self.floats != torch.float64 else self.floats

    def put(self, value: Tensor) -> Tensor:
        """Moves a tensor there; returns the same one if there is nothing to do."""
        value = value.to(self.device, self.kind(value.dtype))
        if self.channels_last and value.ndim == 4:
            return value.contiguous(memory_format=torch.channels_last)
        return value


@dataclasses.dataclass(slots=True)
class _Call:
    who: str
    function: Function
    reads: tuple[int, ...]
    writes: int | tuple[int, ...]
    """One register for a function that returns a tensor; several for one that returns several."""
    drops: tuple[int, ...] = ()
    """Registers that nothing reads any more."""


class Program:
    """A graph ready to run.

    `inputs` and `outputs` have the registers of the graph's ports; `constants` the addresses of
    memory that no caller may be given; `reads_host` says whether a run copies values from the host,
    such as a shape, into tensors on the device.

    Args:
        graph: The graph.
        placement: Where it runs.
        place: What it is, for messages.

    Raises:
        EngineError: An operator, attribute or type is not known, or a shape depends on values.
    """

    def __init__(self, graph: Graph, placement: Placement, place: str) -> None:
        self.place = place
        self._calls: list[_Call] = []
        builder = _Builder(graph, placement, place, self._calls)
        self.inputs = {port.name: builder.input(port.name) for port in graph.inputs}
        self.outputs = {port.name: builder.output(port.name) for port in graph.outputs}
        self.reads_host = builder.reads_host
        self._registers = builder.registers
        self.constants = frozenset(
            value.untyped_storage().data_ptr()
            for value in self._registers
            if isinstance(value, torch.Tensor)
        )
        self._drop_early()

    def _drop_early(self) -> None:
        """Clears every register after its last use, so that its memory can be reused."""
        kept = {i for i, value in enumerate(self._registers) if value is not None}
        kept |= {_NOTHING, *self.outputs.values()}
        for call in reversed(self._calls):
            writes = (call.writes,) if isinstance(call.writes, int) else call.writes
            call.drops = tuple({*call.reads, *writes} - kept)
            kept.update(call.drops)

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """Runs the graph.

        Args:
            inputs: By name, as `Placement.put` returns them.

        Returns:
            The registers; `outputs` says which of them hold the graph's outputs.

        Raises:
            EngineError: A node fails.
        """
        registers = self._registers.copy()
        for name, slot in self.inputs.items():
            registers[slot] = inputs[name]
        for call in self._calls:
            try:
                result = call.function(*[registers[slot] for slot in call.reads])
                if isinstance(call.writes, int):
                    registers[call.writes] = result
                else:
                    for slot, value in zip(call.writes, result, strict=True):
                        registers[slot] = value
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # PyTorch raises whatever it likes
                raise EngineError(f"{self.place}: {call.who} fails in PyTorch: {error}") from error
            for slot in call.drops:
                registers[slot] = None
        return registers


class _Builder:
    def __init__(self, graph: Graph, placement: Placement, place: str, calls: list[_Call]) -> None:
        if graph.opset not in _OPSETS:
            raise EngineError(
                f"{place}: operator set {graph.opset}; PyTorch runs {_OPSETS.start} to "
                f"{_OPSETS.stop - 1}"
            )
        self.registers: list[Any] = [None]
        self._placement = placement
        self._place = place
        self._calls = calls
        # Constants are folded on the host, in float32 unless float64 was asked for.
        folding = torch.float64 if placement.floats == torch.float64 else torch.float32
        self._host = Placement(torch.device("cpu"), folding, channels_last=False)
        self._known = {
            name: self._host.put(tensor_of(array)) for name, array in graph.constants.items()
        }
        self._on_device = {port.name: self._register() for port in graph.inputs}
        self._on_host: dict[str, int] = {}
        # Registers of copies: of constants and host values on the device, and as Python numbers.
        self._moved: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self.reads_host = False
        for node in graph.nodes:
            self._node(node)

    def _register(self, value: Any = None) -> int:
        self.registers.append(value)
        return len(self.registers) - 1

    def _node(self, node: Node) -> None:
        def error(message: str) -> EngineError:
            return EngineError(f"{self._place}: node {node.name!r} ({node.op}): {message}")

        operator = OPERATORS.get(node.op)
        if operator is None:
            raise error("the PyTorch runner does not know this operator")
        if not operator.fewest <= len(node.inputs) <= operator.most:
            raise error(f"it has {len(node.inputs)} inputs")
        if len(node.outputs) > 1 and not operator.several:
            raise error("only its first output is supported")
        named = [(i, name) for i, name in enumerate(node.inputs) if name]
        known = [self._known.get(name) for name in node.inputs]
        values = [name for i, name in named if i not in operator.plain]
        on_host = not any(name in self._on_device for name in values)
        kind = self._host.kind if on_host else self._placement.kind
        site = Site(node, known, kind, error)
        function = operator.make(site)
        site.close()
        if all(name in self._known for _, name in named):
            self._fold(node, operator, function, error)
            return
        for i, name in named:
            if i in operator.plain and name in self._on_device:
                raise error(f"{name!r} decides a shape, but depends on values")
        at_home = on_host or operator.of_shape
        reads = tuple(
            self._plain(name) if i in operator.plain else self._tensor(name, at_home)
            for i, name in enumerate(node.inputs)
        )
        writes = tuple(self._register() for _ in node.outputs)
        (self._on_host if at_home else self._on_device).update(
            (name, slot) for name, slot in zip(node.outputs, writes, strict=True) if name
        )
        who = f"node {node.name!r} ({node.op})"
        self._calls.append(_Call(who, function, reads, writes if operator.several else writes[0]))

    def _fold(
        self,
        node: Node,
        operator: Operator,
        function: Function,
        error: Callable[[str], EngineError],
    ) -> None:
        values = [
            self._known[name].tolist() if name and i in operator.plain else self._known.get(name)
            for i, name in enumerate(node.inputs)
        ]
        try:
            with torch.inference_mode():
                result = function(*values)
            results = result if operator.several else [result]
            for name, value in zip(node.outputs, results, strict=True):
                self._known[name] = self._host.put(value)
        except Exception as problem:  # PyTorch raises whatever it likes
            raise error(f"fails in PyTorch: {problem}") from problem

    def _plain(self, name: str) -> int:
        """Returns the register that holds a value as Python numbers."""
        if not name:
            return _NOTHING
        if name not in self._numbers:
            if name in self._known:
                self._numbers[name] = self._register(self._known[name].tolist())
            else:
                self._numbers[name] = self._register()
                self._add(torch.Tensor.tolist, self._on_host[name], self._numbers[name])
        return self._numbers[name]

    def _tensor(self, name: str, at_home: bool) -> int:
        """Returns the register that holds a value as a tensor, on the host or on the device."""
        if not name:
            return _NOTHING
        if name in self._on_device:
            return self._on_device[name]
        if at_home:
            if name not in self._on_host:
                self._on_host[name] = self._register(self._known[name])
            return self._on_host[name]
        if name not in self._moved:
            if name in self._known:
                self._moved[name] = self._register(self._placement.put(self._known[name]))
            else:
                self._moved[name] = self._register()
                self.reads_host = True
                self._add(self._placement.put, self._on_host[name], self._moved[name])
        return self._moved[name]

    def _add(self, function: Function, read: int, write: int) -> None:
        self._calls.append(_Call("a move", function, (read,), write))

    def input(self, name: str) -> int:
        """Returns the register in which an input of the graph is expected."""
        return self._on_device[name]

    def output(self, name: str) -> int:
        """Returns the register that holds an output of the graph."""
        self.reads_host |= name in self._on_host
        return self._tensor(name, at_home=name in self._on_host)
