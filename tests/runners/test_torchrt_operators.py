"""PyTorch's operators against ONNX Runtime's: each kind of node, on random inputs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fcmrt.config import RuntimeOptions
from fcmrt.errors import EngineError
from fcmrt.runner import make_runner

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

Array = npt.NDArray[Any]


def floats(*shape: int, low: float = -3, high: float = 3) -> Array:
    return np.random.default_rng(sum(shape)).uniform(low, high, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def number(value: int) -> Array:
    return np.array(value, np.int64)


@dataclasses.dataclass(frozen=True)
class Case:
    """One node: inputs of the graph first, then what is stored in it."""

    op: str
    inputs: Sequence[Array]
    stored: Sequence[Array | None] = ()
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: int = 1
    opset: int = 18

    def __str__(self) -> str:
        shapes = "x".join(str(list(array.shape)) for array in self.inputs)
        return f"{self.op}{self.opset} {shapes} {' '.join(map(str, self.attributes.values()))}"

    def graph(self) -> bytes:
        names = [f"x{i}" for i in range(len(self.inputs))]
        stored = {f"c{i}": array for i, array in enumerate(self.stored) if array is not None}
        rest = ["" if array is None else f"c{i}" for i, array in enumerate(self.stored)]
        outputs = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, names + rest, outputs, **self.attributes)
        ports = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, self.inputs, strict=True)
        ]
        return model([node], ports, outputs, stored, self.opset)

    def feed(self) -> dict[str, Array]:
        return {f"x{i}": array for i, array in enumerate(self.inputs)}


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[str],
    stored: Mapping[str, Array],
    opset: int = 18,
) -> bytes:
    """Makes a graph whose outputs have the types that inference finds."""
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    bare = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, bare, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    onnx.checker.check_model(inferred)
    data: bytes = inferred.SerializeToString()
    return data


def run(graph: bytes, feed: Mapping[str, Array], outputs: int, **options: Any) -> list[Array]:
    runner = make_runner(RuntimeOptions(threads=1, **options))
    names = [f"y{i}" for i in range(outputs)]
    return runner.load("g", graph, exact=False).run(feed, names)


def check(graph: bytes, feed: Mapping[str, Array], outputs: int = 1) -> None:
    expected = run(graph, feed, outputs, optimise=False)
    for precision, optimise in itertools.product(("float32", "float64"), (True, False)):
        found = run(graph, feed, outputs, runner="torch", precision=precision, optimise=optimise)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert one.flags.c_contiguous
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


X = floats(1, 6, 8, 10)
POSITIVE = floats(1, 6, 8, 10, low=0.1)
HALVES = np.arange(-24, 24, dtype=np.float32).reshape(1, 6, 2, 4) / 2
INDEXES = np.arange(-12, 12, dtype=np.int32).reshape(1, 2, 3, 4)
CHANNEL = floats(6, 1, 1)

UNARY = [
    *(Case(op, [X]) for op in ("Abs", "Neg", "Exp", "Erf", "Sigmoid", "Tanh", "Relu", "Identity")),
    *(Case(op, [POSITIVE]) for op in ("Sqrt", "Log", "Reciprocal")),
    *(Case(op, [HALVES]) for op in ("Round", "Floor", "Ceil")),
    Case("Neg", [INDEXES]),
    Case("LeakyRelu", [X]),
    Case("LeakyRelu", [X], attributes={"alpha": 0.2}),
    Case("PRelu", [X], [CHANNEL]),
    Case("Gelu", [X], opset=20),
    Case("Gelu", [X], attributes={"approximate": "tanh"}, opset=20),
    Case("Softplus", [X]),
    Case("HardSwish", [X]),
    Case("Mish", [X], opset=18),
    Case("Clip", [X]),
    Case("Clip", [X], [np.float32(-1), np.float32(2)]),
    Case("Clip", [X], [None, np.float32(0.5)]),
    Case("Clip", [INDEXES], [np.int32(-3), np.int32(4)]),
    *(Case("Softmax", [X], attributes=a) for a in ({}, {"axis": 1}, {"axis": -2})),
    Case("Cast", [HALVES], attributes={"to": TensorProto.INT32}),
    Case("Cast", [HALVES], attributes={"to": TensorProto.INT64}),
    Case("Cast", [HALVES], attributes={"to": TensorProto.BOOL}),
    Case("Cast", [INDEXES], attributes={"to": TensorProto.FLOAT}),
]

BINARY = [
    *(Case(op, [X, floats(6, 1, 1)]) for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum")),
    *(Case(op, [X], [floats(1, 6, 1, 1)]) for op in ("Add", "Sub", "Mul", "Div")),
    *(Case(op, [X, floats(8, 10), CHANNEL]) for op in ("Min", "Max", "Sum")),
    Case("Div", [INDEXES, np.full((1,), 5, np.int32)]),
    Case("Mod", [INDEXES, np.full((1,), 5, np.int32)]),
    Case("Mod", [X, CHANNEL], attributes={"fmod": 1}),
    *(Case("Pow", [POSITIVE], [np.float32(e)]) for e in (2, 0.5, -1)),
    Case("Pow", [POSITIVE, CHANNEL]),
    *(Case(op, [HALVES, np.zeros((1, 6, 1, 1), np.float32)])
      for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")),
    *(Case(op, [HALVES > 1, HALVES < 5]) for op in ("And", "Or")),
    Case("Not", [HALVES > 1]),
    Case("Where", [X > 0, X, CHANNEL]),
    Case("MatMul", [floats(1, 6, 8, 10), floats(10, 4)]),
    Case("MatMul", [floats(1, 6, 8, 10), floats(1, 6, 10, 3)]),
    Case("Gemm", [floats(5, 7)], [floats(7, 4), floats(4)]),
    Case("Gemm", [floats(7, 5)], [floats(4, 7), floats(5, 4)],
         {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", [floats(5, 7), floats(7, 4)], attributes={"alpha": 2.0}),
    Case("LayerNormalization", [floats(2, 9, 12)], [floats(12), floats(11 + 1)]),
    Case("LayerNormalization", [floats(2, 9, 12)], [floats(9, 12)], {"axis": 1, "epsilon": 0.01}),
    Case("InstanceNormalization", [floats(2, 3, 20)], [floats(3), floats(2 + 1)]),
    Case("InstanceNormalization", [floats(2, 3, 4, 5)], [floats(3), floats(3)], {"epsilon": 0.01}),
    Case("InstanceNormalization", [floats(1, 3, 1, 1)], [floats(3), floats(2 + 1)]),
]  # fmt: skip


def weights(outs: int, ins: int, *kernel: int) -> Array:
    return floats(outs, ins, *kernel) / 4


CONVOLUTIONS = [
    Case("Conv", [X], [weights(4, 6, 3, 3)]),
    Case("Conv", [X], [weights(4, 6, 3, 3), floats(4)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("Conv", [X], [weights(4, 6, 5, 3), floats(4)],
         {"pads": [1, 0, 2, 3], "dilations": [1, 2]}),
    Case("Conv", [X], [weights(6, 1, 3, 3), floats(6)], {"group": 6, "pads": [1, 1, 1, 1]}),
    Case("Conv", [X], [weights(4, 3, 1, 1)], {"group": 2, "kernel_shape": [1, 1]}),
    Case("Conv", [X, weights(4, 6, 3, 3)], attributes={"kernel_shape": [3, 3]}),
    Case("Conv", [floats(1, 6, 20)], [weights(4, 6, 3), floats(4)], {"pads": [2, 0]}),
    Case("ConvTranspose", [X], [weights(6, 4, 3, 3), floats(4)], {"strides": [2, 2]}),
    Case("ConvTranspose", [X], [weights(6, 4, 5, 5), floats(4)],
         {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
    Case("ConvTranspose", [X], [weights(6, 2, 4, 4)],
         {"strides": [2, 2], "pads": [0, 1, 2, 1], "group": 2, "dilations": [1, 2]}),
    Case("DepthToSpace", [floats(1, 12, 4, 5)], attributes={"blocksize": 2}),
    Case("DepthToSpace", [floats(1, 18, 4, 5)], attributes={"blocksize": 3, "mode": "CRD"}),
    Case("SpaceToDepth", [X], attributes={"blocksize": 2}),
    *(Case("Resize", [X], [None, np.array([1, 1, 2, 3], np.float32)],
           {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor"}) for _ in range(1)),
    *(Case("Resize", [X], [None, None, ints(1, 6, 13, 17)],
           {"mode": "linear", "coordinate_transformation_mode": mode})
      for mode in ("half_pixel", "pytorch_half_pixel", "align_corners")),
    Case("GlobalAveragePool", [X]),
]  # fmt: skip

LAYOUT = [
    Case("Concat", [X, floats(1, 2, 8, 10)], attributes={"axis": 1}),
    Case("Concat", [X], [floats(1, 6, 8, 1)], attributes={"axis": -1}),
    Case("Split", [X], [ints(2, 4)], {"axis": 1}, outputs=2),
    Case("Split", [X], attributes={"axis": -1, "num_outputs": 3}, outputs=3),
    Case("Split", [X], attributes={"axis": 1}, outputs=2, opset=17),
    Case("Slice", [X], [ints(1), ints(5), ints(1)]),
    Case("Slice", [X], [ints(0, -4), ints(1 << 62, -1), ints(-2, 3), ints(2, 1)]),
    Case("Slice", [X], [ints(0, 2), ints(1, 100)]),
    Case("Slice", [X], [ints(-1, 0), ints(-(1 << 62), 4), ints(1, 2), ints(-1, 3)]),
    Case("Slice", [X], [ints(99, 3), ints(2, 0), ints(2, -1), ints(-2, -1)]),
    Case("Pad", [X], [ints(0, 0, 1, 2, 0, 1, 3, 0)]),
    Case("Pad", [X], [ints(0, 0, 1, 2, 0, 1, 3, 0), np.float32(2.5)]),
    Case("Pad", [X], [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "edge"}),
    Case("Pad", [X], [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    Case("Pad", [X], [ints(0, 0, -1, 2, 0, 0, 3, -2)]),
    Case("Pad", [X], [ints(1, 2), None, ints(-1)]),
    Case("Reshape", [X], [ints(1, -1, 20)]),
    Case("Reshape", [X], [ints(0, 0, -1)]),
    Case("Reshape", [np.zeros((0, 3), np.float32)], [ints(3, 0)], {"allowzero": 1}),
    Case("Transpose", [X]),
    Case("Transpose", [X], attributes={"perm": [0, 2, 3, 1]}),
    *(Case("Flatten", [X], attributes=a) for a in ({}, {"axis": 0}, {"axis": -1})),
    Case("Squeeze", [floats(1, 3, 1)]),
    Case("Squeeze", [floats(1, 3, 1)], [ints(-1)]),
    Case("Unsqueeze", [floats(3, 4)], [ints(-1, 0)]),
    Case("Expand", [CHANNEL], [ints(2, 1, 4, 3)]),
    Case("Expand", [X], [ints(1, 1)]),
    Case("Tile", [floats(2, 3)], [ints(2, 3)]),
    Case("Gather", [X], [number(2)], {"axis": 1}),
    Case("Gather", [X], [number(-1)], {"axis": -1}),
    Case("Gather", [X], [np.array([[0, -1], [3, 3]])], {"axis": 1}),
    Case("Gather", [X, np.array([5, -6])], attributes={"axis": 1}),
    Case("Shape", [X]),
    Case("Shape", [X], attributes={"start": 1, "end": -1}),
    *(Case(op, [X], attributes={"axes": [2, -1]}, opset=17)
      for op in ("ReduceMean", "ReduceMax", "ReduceMin")),
    *(Case(op, [X], [ints(1)], {"keepdims": 0}) for op in ("ReduceMean", "ReduceSum")),
    Case("ReduceMean", [X]),
    Case("ReduceMean", [X], attributes={"noop_with_empty_axes": 1}),
]  # fmt: skip


@pytest.mark.parametrize("case", [*UNARY, *BINARY, *CONVOLUTIONS, *LAYOUT], ids=str)
def test_it_computes_what_onnx_runtime_computes(case: Case) -> None:
    check(case.graph(), case.feed(), case.outputs)


class KernelsOnly(TorchDispatchMode):
    """Refuses what makes a tensor of the host's values, or a host's value of a tensor.

    On a GPU these are copies that are waited for, which cannot be recorded.
    """

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        assert function not in (
            torch.ops.aten.lift_fresh.default,
            torch.ops.aten.item.default,
            torch.ops.aten.nonzero.default,
        ), f"{function} waits"
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("case", [*UNARY, *BINARY, *CONVOLUTIONS, *LAYOUT], ids=str)
def test_what_can_be_recorded_leaves_the_host_alone(case: Case) -> None:
    network: Any = make_runner(RuntimeOptions(runner="torch", threads=1)).load(
        "g", case.graph(), exact=False
    )
    if network._program.reads_host:
        pytest.skip("is not recorded")
    tensors = {name: network._take(name, array) for name, array in case.feed().items()}
    with torch.inference_mode(), KernelsOnly():
        network._program.run(tensors)


def test_what_waits_for_the_host_is_noticed() -> None:
    """As when the places of a cut are copied to the device."""
    x = torch.zeros(3)
    for mistake in (
        lambda: x.index_select(0, torch.tensor([2, 1])),
        lambda: x[0].item(),
        lambda: x.nonzero(),
    ):
        with torch.inference_mode(), KernelsOnly(), pytest.raises(AssertionError, match="waits"):
            mistake()


def port(name: str, *dims: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def test_shapes_are_computed_with() -> None:
    """As exporters crop a map to a multiple of another's size, and tile a checkerboard over it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["rows"]),
        helper.make_node("Gather", ["shape", "three"], ["columns"]),
        helper.make_node("Div", ["rows", "two"], ["half"]),
        helper.make_node("Unsqueeze", ["half", "none"], ["end"]),
        helper.make_node("Slice", ["x", "none", "end", "twos"], ["cut"]),
        helper.make_node("Range", ["zero", "columns", "one"], ["places"]),
        helper.make_node("Mod", ["places", "two"], ["parity"]),
        helper.make_node("Equal", ["parity", "zero"], ["even"]),
        helper.make_node("Where", ["even", "cut", "nothing"], ["masked"]),
        helper.make_node("Cast", ["half"], ["scale"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["masked", "scale"], ["y0"]),
        helper.make_node("Concat", ["end", "shapeless"], ["size"], axis=0),
        helper.make_node("ConstantOfShape", ["size"], ["ones"],
                         value=numpy_helper.from_array(np.ones(1, np.float32))),
        helper.make_node("Reshape", ["ones", "flat"], ["y1"]),
    ]  # fmt: skip
    stored = {
        **{name: number(i) for i, name in enumerate(("zero", "one", "two", "three"))},
        "none": ints(0),
        "twos": ints(2),
        "shapeless": ints(3, 2),
        "flat": ints(-1, 6),
        "nothing": np.array(0, np.float32),
    }
    graph = model(nodes, [port("x", 1, 2, "h", "w")], ["y0", "y1"], stored)
    for rows, columns in ((6, 5), (9, 8)):
        check(graph, {"x": floats(1, 2, rows, columns)}, outputs=2)


def test_what_is_known_is_computed_once() -> None:
    """Half-precision weights are cast, and sums of constants summed, when the graph is loaded."""
    nodes = [
        helper.make_node("Cast", ["stored"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Split", ["pairs"], ["a", "b"], axis=0, num_outputs=2),
        helper.make_node("Add", ["a", "b"], ["bias"]),
        helper.make_node("Conv", ["x", "w", "bias"], ["y0"]),
    ]
    stored = {"stored": floats(4, 6, 1, 1).astype(np.float16), "pairs": floats(8)}
    graph = model(nodes, [port("x", *X.shape)], ["y0"], stored)
    check(graph, {"x": X})
    network = make_runner(RuntimeOptions(runner="torch")).load("g", graph, exact=False)
    assert len(network._program._calls) == 1


SCALE, SCALES = np.array(0.02, np.float32), floats(6, low=0.01, high=0.05)
QUANTISING = [
    (SCALE, np.array(0, np.int8), 1),
    (SCALE, np.array(100, np.uint8), 1),
    (SCALES, np.zeros(6, np.int8), 1),
    (SCALES, np.arange(6, dtype=np.uint8), -3),
]


@pytest.mark.parametrize(("scale", "zero", "axis"), QUANTISING)
def test_eight_bits_are_what_onnx_runtime_makes_of_them(
    scale: Array, zero: Array, axis: int
) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=axis),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y0"], axis=axis),
        helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["y1"], axis=axis),
    ]
    stored = np.random.default_rng(0).integers(-100, 100, X.shape).astype(zero.dtype)
    constants = {"scale": scale, "zero": zero, "stored": stored}
    graph = model(nodes, [port("x", *X.shape)], ["y0", "y1"], constants)
    check(graph, {"x": X}, outputs=2)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_of_the_graph_is_kept(kind: int) -> None:
    """Sums round as the type does, except in float64, where nothing is rounded to less."""
    dtype = torch.float16 if kind == TensorProto.FLOAT16 else torch.bfloat16
    wide = torch.from_numpy(floats(6, 1, 1))
    half = wide.to(dtype)
    raw = half.view(torch.int16).numpy().tobytes()
    stored = helper.make_tensor("half", kind, [6, 1, 1], raw, raw=True)
    nodes = [
        helper.make_node("Constant", [], ["half"], value=stored),
        helper.make_node("Cast", ["x"], ["a"], to=kind),
        helper.make_node("Add", ["a", "half"], ["b"]),
        helper.make_node("Cast", ["b"], ["y0"], to=TensorProto.FLOAT),
    ]
    graph = model(nodes, [port("x", *X.shape)], ["y0"], {})
    x = torch.from_numpy(X)
    (found,) = run(graph, {"x": X}, 1, runner="torch")
    np.testing.assert_array_equal(found, (x.to(dtype) + half).float().numpy())
    (found,) = run(graph, {"x": X}, 1, runner="torch", precision="float64")
    np.testing.assert_array_equal(found, (x.double() + half.double()).float().numpy())


def test_outputs_belong_to_the_caller() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["y0"]),
        helper.make_node("Identity", ["c"], ["y1"]),
        helper.make_node("Relu", ["x"], ["y2"]),
        helper.make_node("Reshape", ["y2", "flat"], ["y3"]),
    ]
    stored = {"c": floats(3), "flat": ints(-1)}
    graph = model(nodes, [port("x", *X.shape)], ["y0", "y1", "y2", "y3"], stored)
    network = make_runner(RuntimeOptions(runner="torch")).load("g", graph, exact=False)
    x = X.copy()
    first = network.run({"x": x}, ["y0", "y1", "y2", "y3"])
    for array in first:
        array[...] = 7
    np.testing.assert_array_equal(x, X)
    assert all(not np.shares_memory(a, b) for a, b in itertools.combinations(first, 2))
    again = network.run({"x": x}, ["y0", "y1", "y2"])
    for found, wanted in zip(again, (X, stored["c"], X.clip(0)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def refuse(nodes: Sequence[Any], message: str, opset: int = 18) -> None:
    outputs = [onnx.ValueInfoProto(name="y0")]
    outputs[0].type.tensor_type.elem_type = TensorProto.FLOAT
    tensors = [numpy_helper.from_array(array, name) for name, array in
               {"w": floats(4, 6, 3, 3), "i": number(3), "is": ints(3)}.items()]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [port("x", *X.shape)], outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with pytest.raises(EngineError, match=f"graph 'g': .*{message}"):
        make_runner(RuntimeOptions(runner="torch")).load("g", made.SerializeToString(), exact=False)


def node(op: str, *inputs: str, outputs: Sequence[str] = ("y0",), **attributes: Any) -> Any:
    return helper.make_node(op, inputs, outputs, **attributes)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (node("Einsum", "x", equation="nchw->nc"), r"node 'y0' \(Einsum\): .* not know"),
        (node("Relu", "x", slope=1.0), r"\(Relu\): attribute 'slope' is not known"),
        (node("Relu", "x", "x"), r"\(Relu\): it has 2 inputs"),
        (node("Concat", "x"), r"\(Concat\): attribute 'axis' is missing"),
        (node("Concat", "x", axis="one"), "attribute 'axis' is missing or of the wrong kind"),
        (node("Conv", "x", "w", auto_pad="SAME_UPPER"), "'auto_pad' is 'SAME_UPPER'; only"),
        (node("Conv", "x", "w", pads=[1, 1]), "strides, dilations and pads do not fit"),
        (node("Conv", "x", "w", pads=[1.0, 1.0, 1.0, 1.0]), "'pads' holds no integers"),
        (node("Conv", "x", "x"), "needs a kernel_shape"),
        (node("Cast", "x", to=TensorProto.DOUBLE), "only casts to float32"),
        (node("Pad", "x", "is", mode="wrap"), "'mode' is 'wrap'"),
        (node("DepthToSpace", "x", blocksize=2, mode="RGB"), "'mode' is 'RGB'"),
        (node("Gelu", "x", approximate="maybe"), "'approximate' is 'maybe'"),
        (node("Split", "x", num_outputs=3), "'num_outputs' is not"),
        (node("Resize", "x", "", "", "is", mode="cubic"), "interpolation cubic half_pixel"),
        (node("LayerNormalization", "x", "w", outputs=("y0", "m")), "only its first output"),
        (node("Gemm", "w", "w"), r"\(Gemm\): fails in PyTorch"),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)  # fmt: skip
def test_what_is_not_known_is_refused_when_it_is_loaded(refused: Any, message: str) -> None:
    refuse([refused], message)


def test_an_operator_that_fails_is_named_with_its_graph() -> None:
    nodes = [node("Split", "x", outputs=("y0", "a", "b", "c", "d"), axis=1, num_outputs=5)]
    graph = model(nodes, [port("x", 1, "c", 8, 10)], ["y0"], {})
    with pytest.raises(EngineError, match=r"graph 'g': node 'y0' \(Split\) fails in PyTorch"):
        run(graph, {"x": X[:, :3]}, 1, runner="torch")


def test_other_operator_sets_are_refused() -> None:
    refuse([node("Relu", "x")], "operator set 11; PyTorch runs 13 to 24", opset=11)


def test_shapes_that_depend_on_values_are_refused() -> None:
    cast = node("Cast", "x", outputs=("shape",), to=TensorProto.INT64)
    refuse([cast, node("Reshape", "x", "shape")], "'shape' decides a shape")
