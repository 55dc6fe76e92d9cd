"""Removes from a graph what a deployed network does not need, and checks that nothing is left.

onnxscript's optimiser folds, fuses and deduplicates; `leftovers` is the independent check.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import onnx
import onnx_ir
from onnx import TensorProto, shape_inference, version_converter
from onnx_ir.passes.common import DeduplicateInitializersPass, IdentityEliminationPass
from onnxscript import optimizer

from fcmrt.errors import EngineError

OPSET = 18
BFLOAT16_OPSET = 22
"""The first operator set whose convolutions take bfloat16."""

BATCH = "batch"
"""Name of the first dimension of a graph's inputs and outputs, which may be any number."""

_ROUNDS = 4  # of folding and fusing; a folded constant may reveal the next thing to fuse
_ANY_SIZE = 1 << 40
_DOMAINS = ("", "ai.onnx")
_IDLE = frozenset({"Identity", "Dropout"})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
# Casts that change no value, from and to; a cast that follows one may read its input instead.
_LOSSLESS = frozenset(
    {
        (TensorProto.FLOAT16, TensorProto.FLOAT),
        (TensorProto.FLOAT16, TensorProto.DOUBLE),
        (TensorProto.BFLOAT16, TensorProto.FLOAT),
        (TensorProto.BFLOAT16, TensorProto.DOUBLE),
        (TensorProto.FLOAT, TensorProto.DOUBLE),
        (TensorProto.INT32, TensorProto.INT64),
    }
)
# Operators that expand weights stored in a smaller form, and the types of that form.
_EXPANSIONS = {"Cast": (TensorProto.FLOAT16,), "DequantizeLinear": (TensorProto.INT8,)}


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Folds constants, fuses batch normalisation, and removes what has no effect.

    Args:
        model: A model of ONNX's own operators, of one operator set, which may be older than 18; not
            changed.

    Returns:
        A new model with the same inputs and outputs. A node has the name of the one that computed
        the same value before, else that of its first output. All values have their types stated.

    Raises:
        onnx.shape_inference.InferenceError: The graph does not type-check.
    """
    if model.opset_import[0].version < OPSET:
        model = version_converter.convert_version(model, OPSET)
    typed = with_types(model)
    _skip_casts(typed.graph)
    optimizer.fold_constants(typed, should_fold=_fills)
    # Without limits of size: the bounds on a GDN's weights must be folded at any width.
    result = optimizer.optimize(
        typed, _ROUNDS, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE
    )
    names = {node.output[0]: node.name for node in model.graph.node if node.name}
    for node in result.graph.node:
        node.name = names.get(node.output[0], node.output[0])
        node.ClearField("metadata_props")
        node.doc_string = ""
    return with_types(result)


def _fills(node: onnx_ir.Node) -> bool | None:
    """Has ConstantOfShape folded, which onnxscript would keep; it makes the zeros of paddings."""
    return True if node.op_type == "ConstantOfShape" else None


def _skip_casts(graph: onnx.GraphProto) -> None:
    """Lets casts skip a lossless cast before them; onnxscript knows few such chains."""
    types = _types(graph)
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        while node.op_type == "Cast" and _is_lossless(producers.get(node.input[0]), types):
            node.input[0] = producers[node.input[0]].input[0]


def _is_lossless(node: onnx.NodeProto | None, types: dict[str, int]) -> bool:
    """Returns whether a node is a cast that changes no value."""
    if node is None or node.op_type != "Cast":
        return False
    before, after = types.get(node.input[0]), types.get(node.output[0])
    return before == after or (before, after) in _LOSSLESS


def finish(model: onnx.ModelProto) -> bytes:
    """Serialises a model that was changed after `clean`, or has nothing to clean.

    Args:
        model: Not changed.

    Returns:
        The serialised model, with all types, no constant twice and no Identity; equal models give
        equal bytes.

    Raises:
        onnx.checker.ValidationError: It is not a valid model.
        onnx.shape_inference.InferenceError: An operator is given a type that it does not take.
    """
    merged = onnx_ir.serde.deserialize_model(model)
    for change in (IdentityEliminationPass(), DeduplicateInitializersPass(_ANY_SIZE)):
        merged = change(merged).model
    result = with_types(onnx_ir.serde.serialize_model(merged))
    onnx.checker.check_model(result, full_check=True)
    return result.SerializeToString(deterministic=True)


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy that states the type and, where known, the shape of every value.

    Args:
        model: Not changed; what it states of values other than inputs and outputs is inferred anew.

    Raises:
        onnx.shape_inference.InferenceError: An operator is given a type that it does not take.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.value_info[:]
    return shape_inference.infer_shapes(result, check_type=True, strict_mode=True)


def assert_clean(model: onnx.ModelProto) -> None:
    """Refuses a graph with `leftovers`.

    Raises:
        EngineError: It has some; the text lists them.
    """
    found = leftovers(model)
    if found:
        raise EngineError(f"graph {model.graph.name!r} is not clean: {'; '.join(found)}")


def leftovers(model: onnx.ModelProto) -> list[str]:
    """Lists what should not be in a deployed graph, in words; empty for a clean one.

    Listed are other domains, functions and operator sets; nodes without effect, without a name, in
    training mode or with subgraphs; batch normalisation that a convolution could hold; casts to the
    same type or after a lossless cast; nodes whose inputs are all constant, except those that
    expand weights stored as float16 or int8; values that nothing reads; constants that are stored
    twice or outside the file; and values without a stated type.
    """
    found = [f"function {function.name!r}" for function in model.functions]
    opsets = [(entry.domain, entry.version) for entry in model.opset_import]
    if opsets not in ([("", OPSET)], [("", BFLOAT16_OPSET)]):
        found.append(f"operator sets {opsets}")
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    readers = Counter(itertools.chain.from_iterable(node.input for node in graph.node))
    readers.update(port.name for port in graph.output)
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    types = _types(graph)
    for node in graph.node:
        problems = _node_problems(node, producers, readers, stored, types)
        found += [f"node {node.name!r} ({node.op_type}): {problem}" for problem in problems]
    names = Counter(node.name for node in graph.node)
    found += [f"{count} nodes are named {name!r}" for name, count in names.items() if count > 1]
    found += _initializer_problems(graph.initializer, readers, {port.name for port in graph.input})
    return found


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """Returns the element type of every value whose type is stated."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for port in itertools.chain(graph.input, graph.output, graph.value_info):
        types[port.name] = port.type.tensor_type.elem_type
    return types


def _node_problems(
    node: onnx.NodeProto,
    producers: dict[str, onnx.NodeProto],
    readers: Counter[str],
    stored: dict[str, int],
    types: dict[str, int],
) -> Iterator[str]:
    if node.domain not in _DOMAINS:
        yield f"domain {node.domain!r}"
    if not node.name:
        yield "has no name"
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        yield "has a subgraph"
    if node.op_type in _IDLE:
        yield "has no effect"
    for attribute in node.attribute:
        if attribute.name == "training_mode" and attribute.i:
            yield "is in training mode"
    first = node.input[0] if node.input else ""
    before = producers.get(first)
    alone = before is not None and before.op_type in _CONVOLUTIONS and readers[first] == 1
    if node.op_type == "BatchNormalization" and alone:
        yield "could be folded into the convolution before it"
    if node.op_type == "Cast" and first not in stored and _is_lossless(before, types):
        yield "casts what was just cast"
    if node.op_type == "Cast" and types.get(first) == types.get(node.output[0]):
        yield "casts to the same type"
    expands = stored.get(first) in _EXPANSIONS.get(node.op_type, ())
    if not expands and all(name in stored for name in node.input if name):
        yield "all its inputs are constant"
    if not any(readers[name] for name in node.output):
        yield "nothing reads it"
    for name in filter(None, node.output):
        if not types.get(name):
            yield f"the type of {name!r} is not stated"


def _initializer_problems(
    tensors: Sequence[TensorProto], readers: Counter[str], inputs: set[str]
) -> Iterator[str]:
    seen: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    for tensor in tensors:
        who = f"constant {tensor.name!r}"
        if tensor.data_location == TensorProto.EXTERNAL:
            yield f"{who} is stored outside the file"
            continue
        if not readers[tensor.name]:
            yield f"{who} is not used"
        if tensor.name in inputs:
            yield f"{who} is an input as well"
        values = onnx.numpy_helper.to_array(tensor).tobytes()
        other = seen.setdefault((tensor.data_type, tuple(tensor.dims), values), tensor.name)
        if other != tensor.name:
            yield f"{who} is stored as {other!r} as well"
