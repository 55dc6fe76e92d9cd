"""From a PyTorch module to a list of layers, by `torch.fx`; unknown layers are refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from fcmrt.errors import EngineError

from ..layers import GDN
from ..scale_index import ScaleIndex
from .floatlayers import (
    Add,
    Affine,
    Channels,
    Concat,
    Crop,
    Input,
    Layer,
    Leaky,
    Limit,
    Lookup,
    Shuffle,
    refused,
)
from .weights import SUMS, read_sum

_LEAVES = (*SUMS, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.PReLU, nn.PixelShuffle)
_WHOLE = (*_LEAVES, ScaleIndex, GDN)
_NOTHING = (nn.Identity, nn.Dropout)
_INFINITE = float("inf")


class _Tracer(fx.Tracer):
    """Keeps layers whole, also those of classes derived from PyTorch's, and opens all else.

    Args:
        inputs: How many the network takes; its `forward` may have `*inputs`.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self._inputs = inputs

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        names = [f"input{k}" for k in range(self._inputs)]
        return root_fn, [self.root, *(self.create_proxy("placeholder", n, (), {}) for n in names)]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _WHOLE) or super().is_leaf_module(m, module_qualified_name)


def trace(
    module: nn.Module,
    examples: Sequence[Tensor],
    names: Sequence[str],
    outputs: Collection[str] = (),
) -> tuple[list[Layer], list[str]]:
    """Lists the layers of a module in an order in which they can run.

    Args:
        module: The float network; what it computes may not depend on the values of its inputs.
        examples: One tensor for each input; only shapes matter.
        names: Names of the inputs.
        outputs: Names that no layer may have.

    Returns:
        The layers, inputs first, and the names of the tensors that the module returns.

    Raises:
        EngineError: A layer or function that the exact form does not know; the text names it.
    """
    module = module.eval()
    if isinstance(module, _WHOLE):
        module = nn.Sequential(module)  # the tracer always opens the outermost module
    try:
        graph = fx.GraphModule(module, _Tracer(len(names)).trace(module))
    except (fx.proxy.TraceError, TypeError) as error:
        raise EngineError(f"{type(module).__name__} cannot be traced: {error}") from error
    with torch.no_grad():
        ShapeProp(graph).propagate(*examples)
    reader = _Reader(graph, list(names), {*names, *outputs})
    for node in graph.graph.nodes:
        reader.read(node)
    return reader.layers, reader.outputs


class _Reader:
    """Turns the nodes of an fx graph to layers, one by one."""

    def __init__(self, graph: fx.GraphModule, inputs: list[str], taken: set[str]) -> None:
        self.layers: list[Layer] = []
        self.outputs: list[str] = []
        self._graph = graph
        self._inputs = inputs
        self._taken = taken
        self._names: dict[fx.Node, str] = {}  # the tensor that holds a node's value
        self._constants: dict[fx.Node, Tensor] = {}

    def read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            name = self._inputs[len(self._names)]
            self._put(node, Input(name, (), _shape(node)[1]))
        elif node.op == "output":
            returned = node.args[0]
            nodes = returned if isinstance(returned, (tuple, list)) else (returned,)
            self.outputs = [self._names[cast("fx.Node", part)] for part in nodes]
        elif node.op == "call_module":
            self._module(node)
        elif node.op == "get_attr":
            self._constants[node] = operator.attrgetter(str(node.target))(self._graph)
        elif node.all_input_nodes and all(n in self._constants for n in node.all_input_nodes):
            self._constants[node] = self._computed(node)
        else:
            self._function(node)

    def _put(self, node: fx.Node, layer: Layer) -> None:
        if layer.name in self._taken and not isinstance(layer, Input):
            layer = replace(layer, name=f"{layer.name}/layer")
        self.layers.append(layer)
        self._names[node] = layer.name

    def _computed(self, node: fx.Node) -> Tensor:
        """Evaluates a node that depends on constants alone."""
        args, options = fx.node.map_arg((node.args, node.kwargs), self._constants.__getitem__)
        if callable(node.target):
            return cast("Tensor", node.target(*args, **options))
        return cast("Tensor", getattr(args[0], node.target)(*args[1:], **options))

    def _module(self, node: fx.Node) -> None:
        name = cast("str", node.target)
        if any(layer.name == name for layer in self.layers):
            name = f"{name}/{node.name}"  # a module that is called twice
        module = self._graph.get_submodule(cast("str", node.target))
        source = cast("fx.Node", node.args[0])
        sources = (self._names[source],)
        if isinstance(module, _NOTHING):
            self._names[node] = sources[0]
        elif isinstance(module, SUMS):
            self._put(node, read_sum(name, sources, module, len(_shape(source))))
        elif isinstance(module, nn.ReLU):
            self._put(node, Limit(name, sources, 0.0, _INFINITE))
        elif isinstance(module, nn.Hardtanh):  # ReLU6 too
            self._put(node, Limit(name, sources, float(module.min_val), float(module.max_val)))
        elif isinstance(module, nn.LeakyReLU):
            slope = torch.tensor([module.negative_slope], dtype=torch.float64)
            self._put(node, Leaky(name, sources, slope.repeat(_shape(node)[1])))
        elif isinstance(module, nn.PReLU):
            slope = module.weight.detach().double()
            self._put(node, Leaky(name, sources, slope.expand(_shape(node)[1]).clone()))
        elif isinstance(module, nn.PixelShuffle):
            self._put(node, Shuffle(name, sources, module.upscale_factor))
        elif isinstance(module, ScaleIndex):
            self._put(node, Lookup(name, sources, module))
        else:
            raise refused(name, type(module).__name__)

    def _function(self, node: fx.Node) -> None:
        target = node.target
        key = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if key == "getitem":
            self._item(node)
            return
        if key in ("chunk", "split"):
            return  # their parts are read where they are taken
        if key in ("float", "contiguous"):
            self._names[node] = self._names[cast("fx.Node", node.args[0])]
            return
        make = _FUNCTIONS.get(key)
        if make is None:
            raise refused(node.name, key)
        self._put(node, make(self, node))

    def _item(self, node: fx.Node) -> None:
        source, key = cast("fx.Node", node.args[0]), node.args[1]
        whole = source.args[0] if source.target in _PARTING else source
        sources = (self._names[cast("fx.Node", whole)],)
        if isinstance(key, int) and source.target in _PARTING:
            sizes = [part.shape[1] for part in source.meta["tensor_meta"]]
            if sum(sizes) != _shape(cast("fx.Node", whole))[1]:
                raise refused(source.name, "a split of rows or columns")
            start = sum(sizes[:key])
            self._put(node, Channels(node.name, sources, start, start + sizes[key]))
            return
        keys = list(key) if isinstance(key, tuple) else [key]
        axes = len(_shape(source))
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (axes - len(keys) + 1)
        keys += [slice(None)] * (axes - len(keys))
        if not all(isinstance(k, slice) and _constant(k) for k in keys) or keys[0] != slice(None):
            raise refused(node.name, f"the index {key!r}")
        slices = cast("list[slice]", keys)
        if slices[1] != slice(None) and all(k == slice(None) for k in slices[2:]):
            start, stop, _ = slices[1].indices(_shape(source)[1])
            self._put(node, Channels(node.name, sources, start, stop))
        elif slices[1] == slice(None) and axes == 4:
            starts = (slices[2].start or 0, slices[3].start or 0)
            stops = tuple(_FAR if k.stop is None else k.stop for k in slices[2:])
            self._put(node, Crop(node.name, sources, starts, cast("tuple[int, int]", stops)))
        else:
            raise refused(node.name, f"the index {key!r}")

    def sources(self, nodes: Sequence[Any]) -> tuple[str, ...]:
        return tuple(self._names[node] for node in nodes)

    def concat(self, node: fx.Node) -> Layer:
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if axis not in (1, 1 - len(_shape(node))):
            raise refused(node.name, f"a concatenation along axis {axis}")
        return Concat(node.name, self.sources(cast("Sequence[Any]", node.args[0])))

    def arithmetic(self, node: fx.Node) -> Layer:
        key = getattr(node.target, "__name__", str(node.target))
        first, second = (self._constants.get(part, part) for part in node.args[:2])
        if isinstance(first, fx.Node) and isinstance(second, fx.Node):
            if key == "add" and _shape(first) == _shape(second):
                return Add(node.name, self.sources((first, second)))
            raise refused(node.name, f"{key} of two tensors, unless they are of one shape, added")
        if isinstance(first, fx.Node):
            number, sources = _per_channel(node, second), self.sources((first,))
            factor, offset = {
                "add": (1.0, number),
                "sub": (1.0, -number),
                "mul": (number, 0.0),
                "truediv": (1.0 / number, 0.0),
            }[key]
        else:
            number, sources = _per_channel(node, first), self.sources((second,))
            if key == "truediv":
                raise refused(node.name, "a division by a tensor")
            factor, offset = {
                "add": (1.0, number),
                "sub": (-1.0, number),
                "mul": (number, 0.0),
            }[key]
        zeros = torch.zeros(_shape(node)[1], dtype=torch.float64)
        return Affine(node.name, sources, zeros + factor, zeros + offset)


_FAR = 2**31 - 1  # an end beyond any row
_PARTING = (torch.chunk, torch.split, "chunk", "split")


def _argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)


def _limit(low: float, high: float) -> Callable[[_Reader, fx.Node], Layer]:
    return lambda reader, node: Limit(node.name, reader.sources(node.args[:1]), low, high)


def _clamp(low: str, high: str) -> Callable[[_Reader, fx.Node], Layer]:
    def make(reader: _Reader, node: fx.Node) -> Layer:
        least, most = _argument(node, 1, low, None), _argument(node, 2, high, None)
        return Limit(
            node.name,
            reader.sources(node.args[:1]),
            -_INFINITE if least is None else float(least),
            _INFINITE if most is None else float(most),
        )

    return make


def _leaky(reader: _Reader, node: fx.Node) -> Layer:
    slope = torch.tensor([float(_argument(node, 1, "negative_slope", 0.01))], dtype=torch.float64)
    return Leaky(node.name, reader.sources(node.args[:1]), slope.repeat(_shape(node)[1]))


def _shuffle(reader: _Reader, node: fx.Node) -> Layer:
    factor = int(_argument(node, 1, "upscale_factor", 0))
    return Shuffle(node.name, reader.sources(node.args[:1]), factor)


_FUNCTIONS: dict[str, Callable[[_Reader, fx.Node], Layer]] = {
    "cat": _Reader.concat,
    "concat": _Reader.concat,
    "relu": _limit(0.0, _INFINITE),
    "relu6": _limit(0.0, 6.0),
    "clamp": _clamp("min", "max"),
    "clip": _clamp("min", "max"),
    "hardtanh": lambda reader, node: Limit(
        node.name,
        reader.sources(node.args[:1]),
        float(_argument(node, 1, "min_val", -1.0)),
        float(_argument(node, 2, "max_val", 1.0)),
    ),
    "leaky_relu": _leaky,
    "pixel_shuffle": _shuffle,
    **dict.fromkeys(("add", "sub", "mul", "truediv"), _Reader.arithmetic),
}


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _per_channel(node: fx.Node, value: Any) -> Tensor:
    """A number, or a constant that is the same in all of a channel: float64 `[1]` or `[C]`."""
    constant = torch.as_tensor(value, dtype=torch.float64).detach()
    shape = (1,) * (len(_shape(node)) - constant.ndim) + tuple(constant.shape)
    if len(shape) != len(_shape(node)) or any(side != 1 for side in (*shape[:1], *shape[2:])):
        raise refused(node.name, f"a constant of shape {list(constant.shape)}, not per channel")
    return constant.reshape(-1)


def _constant(key: Any) -> bool:
    ends = (key.start, key.stop)
    return key.step in (None, 1) and all(end is None or isinstance(end, int) for end in ends)
