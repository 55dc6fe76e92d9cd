"""Stores the weights of an ONNX graph as float16, to halve the file; arithmetic stays float32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_ELEMENTS = 64
_LARGEST = float(np.finfo(np.float16).max)
_LOSS = 2.0**-10
"""Largest loss, as a share of a tensor's length, at which it is stored as float16."""


def store_weights_fp16(
    model: onnx.ModelProto, *, lossless: bool = False, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Replaces large float32 initialisers by float16 ones, each followed by a Cast to float32.

    Tensors of fewer than 64 elements, integer ones and those whose values are beyond float16's
    range, or too small for it, stay as they are. onnxruntime folds the Casts when it loads the
    graph.

    Args:
        model: The graph; not changed.
        lossless: Leave tensors as they are that float16 does not hold exactly.
        keep: Names of further tensors that stay as they are.

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
    """Returns whether a float32 tensor is one of those that are stored as float16.

    Those are not that have a value beyond its range, or lose more by it than others do.
    """
    within = values.size >= MIN_ELEMENTS and bool(np.abs(values).max() <= _LARGEST)
    return within and loss_in_fp16(values) <= _LOSS


def loss_in_fp16(values: npt.NDArray[np.float32]) -> float:
    """Returns the share of a tensor's length that is lost when its values become float16.

    It is about 2^-12 if values are neither too large nor too small: below 6e-5 float16 has fewer
    and fewer digits, and below 3e-8 none. Infinities are kept, and do not count.
    """
    exact = np.where(np.isfinite(values), values, 0).astype(np.float64)
    rounded = np.clip(exact, -_LARGEST, _LARGEST).astype(np.float16)
    length = float(np.linalg.norm(exact))
    return float(np.linalg.norm(exact - rounded)) / length if length else 0.0
