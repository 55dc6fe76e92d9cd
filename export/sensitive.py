"""Finds the nodes of a float graph that half precision would harm, by what they compute."""

from __future__ import annotations

import onnx
from onnx import TensorProto, defs, numpy_helper

from .float_graph import FloatGraph, reached
from .fp16 import loss_in_fp16

# Statistics, and functions that turn a small error or a small range into a large one.
_STATISTICS = frozenset(
    {"Softmax", "LogSoftmax", "LayerNormalization", "GroupNormalization", "InstanceNormalization"}
    | {"ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"}
    | {"ReduceLogSum", "ReduceLogSumExp", "GlobalAveragePool", "CumSum", "BatchNormalization"}
)
_STEEP = frozenset({"Pow", "Sqrt", "Reciprocal", "Exp", "Log"})
_PRODUCTS = frozenset({"Mul", "Div", "Conv", "ConvTranspose", "MatMul", "Gemm"})
_AFFINE = frozenset({"Add", "Sub", "Mul", "Div"})
_LOSS = 2.0**-7  # of a tensor's length
# Operators that ONNX defines for a type but libraries that build plans refuse (docs/plans.md).
_REFUSED = {
    TensorProto.FLOAT16: frozenset[str](),
    TensorProto.BFLOAT16: frozenset({"ConvTranspose"}),
}
_TYPE_NAMES = {
    TensorProto.FLOAT16: "tensor(float16)",
    TensorProto.BFLOAT16: "tensor(bfloat16)",
}


def float32_nodes(graph: FloatGraph, dtype: int) -> set[str]:
    """Returns the names of nodes that stay in float32.

    These are statistics (of LayerNorm, Softmax and other large reductions), powers, roots and
    exponentials; what lies between a square and a root, as in GDN, where float16 would overflow;
    sums and products with constants right after the inputs and right before the outputs, which
    carry the features' own offsets and scales; products with weights that are too large or too
    small for float16; and operators that do not take the type, in ONNX or in a library that builds
    plans.

    Args:
        graph: The graph.
        dtype: FLOAT16 or BFLOAT16 of TensorProto.
    """
    nodes = graph.nodes.values()
    wide = _STATISTICS | _STEEP | _REFUSED[dtype]
    kept = {node.name for node in nodes if node.op_type in wide}
    kept |= {node.name for node in nodes if not _gives(graph.model, node, dtype)}
    kept |= _from_squares_to_roots(graph)
    if dtype == TensorProto.FLOAT16:
        kept |= {node.name for node in nodes if _multiplies_by_what_is_lost(graph, node)}

    def affine(node: onnx.NodeProto) -> bool:
        return _is_affine(graph, node)

    return kept | graph.heads(affine) | graph.tails(affine)


def sensitive_constants(graph: FloatGraph) -> set[str]:
    """Returns the names of constants that are read by nodes that stay in float32."""
    nodes = (graph.nodes[name] for name in float32_nodes(graph, TensorProto.FLOAT16))
    return {name for node in nodes for name in node.input if name in graph.constants}


def takes(model: onnx.ModelProto, node: onnx.NodeProto, position: int, dtype: int) -> bool:
    """Returns whether an operator takes a type at an input, as ONNX defines it."""
    formal = _schema(model, node).inputs
    return _TYPE_NAMES[dtype] in formal[min(position, len(formal) - 1)].types


def _gives(model: onnx.ModelProto, node: onnx.NodeProto, dtype: int) -> bool:
    return _TYPE_NAMES[dtype] in _schema(model, node).outputs[0].types


def _schema(model: onnx.ModelProto, node: onnx.NodeProto) -> defs.OpSchema:
    return defs.get_schema(node.op_type, model.opset_import[0].version, "")


def _exponent(graph: FloatGraph, node: onnx.NodeProto) -> float:
    """Returns the power to which a node raises its input; 1 if it does not raise it."""
    if node.op_type == "Sqrt":
        return 0.5
    if node.op_type == "Mul":
        return 2.0 if node.input[0] == node.input[1] else 1.0
    if node.op_type != "Pow" or node.input[1] not in graph.constants:
        return 1.0
    return float(numpy_helper.to_array(graph.constants[node.input[1]]).max())


def _from_squares_to_roots(graph: FloatGraph) -> set[str]:
    """Returns the nodes on the way from squares to roots, both included."""
    exponents = {name: _exponent(graph, node) for name, node in graph.nodes.items()}
    squares = [node for name, node in graph.nodes.items() if exponents[name] > 1]
    roots = [node for name, node in graph.nodes.items() if exponents[name] < 1]
    ahead = reached(squares, lambda n: () if exponents[n.name] < 1 else graph.after(n))
    back = reached(roots, lambda n: () if exponents[n.name] > 1 else graph.before(n))
    return ahead & back


def _multiplies_by_what_is_lost(graph: FloatGraph, node: onnx.NodeProto) -> bool:
    """Returns whether a node multiplies by constants of which float16 loses too much."""
    if node.op_type not in _PRODUCTS:
        return False
    weights = (graph.constants[name] for name in node.input if name in graph.constants)
    floats = (tensor for tensor in weights if tensor.data_type == TensorProto.FLOAT)
    return any(loss_in_fp16(numpy_helper.to_array(tensor)) > _LOSS for tensor in floats)


def _is_affine(graph: FloatGraph, node: onnx.NodeProto) -> bool:
    """Returns whether a node adds, subtracts, multiplies or divides a value and a constant."""
    constants = [name in graph.constants for name in node.input]
    return node.op_type in _AFFINE and sum(constants) == 1
