"""Store the weights of an ONNX graph as float16, to halve the file; the arithmetic stays fp32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_ELEMENTS = 64
_LARGEST = float(np.finfo(np.float16).max)
_LOSS = 2.0**-10
"""Of a tensor's length, what rounding may take. Where values are not too small it is 2^-12."""


def store_weights_fp16(
    model: onnx.ModelProto, *, lossless: bool = False, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Replace large float32 initialisers by float16 ones, each followed by a Cast to float32.

    Tensors of fewer than 64 elements, integer ones and those whose values are beyond float16's
    range, or too small for it, stay as they are. onnxruntime folds the Casts when it loads the
    graph.

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
        if not is_stored_fp16(values):
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


def is_stored_fp16(values: npt.NDArray[np.float32]) -> bool:
    """Tells whether a float32 tensor is one of those that are stored as float16.

    Below 6e-5 float16 has ever fewer digits, and from 3e-8 on none: a tensor that is small
    throughout would lose more than others do.
    """
    exact = values.astype(np.float64)
    if values.size < MIN_ELEMENTS or not np.abs(exact).max() <= _LARGEST:
        return False
    lost = np.linalg.norm(exact - values.astype(np.float16))
    return bool(lost <= _LOSS * np.linalg.norm(exact))
