"""Store the weights of an ONNX graph as float16, to halve the file; the arithmetic stays fp32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_ELEMENTS = 64
_LARGEST = float(np.finfo(np.float16).max)


def store_weights_fp16(
    model: onnx.ModelProto, *, lossless: bool = False, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Replace large float32 initialisers by float16 ones, each followed by a Cast to float32.

    Tensors of fewer than 64 elements, integer ones and those with a value beyond float16's range
    stay as they are. onnxruntime folds the Casts when it loads the graph.

    Args:
        model: The graph; not changed.
        lossless: Leave those as they are that float16 does not hold exactly.
        keep: Names of further ones that stay as they are.

    Returns:
        A new model with the same inputs, outputs and node names.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in keep:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < MIN_ELEMENTS or not np.abs(values).max() <= _LARGEST:
            continue
        if lossless and (values.astype(np.float16) != values).any():
            continue
        name, stored = tensor.name, f"{tensor.name}.fp16"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], f"{name}.fp32", to=1))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return result
