"""Transposed convolutions as plain ones: one for each phase of the output's grid.

A transposed convolution of stride s computes output cell s·i + a from input cells around i, with
every s-th weight only. So each of the s² phases is a plain convolution of the input with a smaller
kernel, and depth-to-space interleaves the phases. The products are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

MIN_CHANNELS = 16
"""Fewest output channels of a convolution that is split; CPU kernels take so many at a time."""


class Phase(NamedTuple):
    """The weights that meet, along one axis, in the output cells of one remainder."""

    weights: tuple[int, ...]
    """Positions in the transposed kernel, in the order of the plain one."""
    before: int
    after: int
    """Cells of padding."""


def split_transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites transposed convolutions that multiply sides exactly by the stride as plain ones.

    Those of stride 1, of several groups, with dilation, with fewer than `MIN_CHANNELS` outputs, and
    those whose weights are not constant stay as they are.

    Args:
        model: Not changed.

    Returns:
        A new model that computes the same values, up to the order of sums.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        form = _form(node, constants)
        if form is None:
            nodes.append(node)
            continue
        weights = numpy_helper.to_array(constants[node.input[1]])
        convolutions, tensors = _convolutions(node, weights, *form)
        outputs = [convolution.output[0] for convolution in convolutions]
        phases = f"{node.output[0]}.phases"
        nodes += [
            *convolutions,
            helper.make_node("Concat", outputs, [phases], f"{node.name}/phases", axis=1),
            helper.make_node(
                "DepthToSpace", [phases], node.output, node.name, blocksize=len(form[0]), mode="DCR"
            ),
        ]
        graph.initializer.extend(tensors)
    del graph.node[:]
    graph.node.extend(nodes)
    read = set(itertools.chain.from_iterable(node.input for node in nodes))
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result


def phases_of(kernel: int, stride: int, begin: int, end: int, extra: int) -> list[Phase] | None:
    """Returns the plain convolutions along one axis, remainder by remainder.

    Args:
        kernel: Size of the transposed kernel.
        stride: Its stride.
        begin: Padding at the beginning.
        end: Padding at the end.
        extra: Output padding.

    Returns:
        `stride` of them; None if the output is not exactly `stride` times as long, or a remainder
        would read cells on one side only.
    """
    if kernel + extra - begin - end != stride:
        return None
    result = []
    for remainder in range(stride):
        # Output cell stride·i + remainder meets input cell i + t with weight number k(t).
        last = (remainder + begin) // stride
        first = -((kernel - 1 - remainder - begin) // stride)
        if first > 0 or last < 0:
            return None
        weights = tuple(remainder + begin - stride * t for t in range(first, last + 1))
        result.append(Phase(weights, -first, last))
    return result


def _form(
    node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> tuple[list[Phase], list[Phase]] | None:
    """Returns the phases along rows and columns of a node; None if it cannot be split."""
    if node.op_type != "ConvTranspose" or not {*node.input[1:]} <= constants.keys():
        return None
    attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    dims = constants[node.input[1]].dims
    strides = attributes.get("strides", [1, 1])
    plain = attributes.get("group", 1) == 1 and set(attributes.get("dilations", [1])) == {1}
    padded = attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and "output_shape" not in attributes
    square = len(dims) == 4 and strides[0] == strides[-1] > 1
    if not (plain and padded and square) or dims[1] < MIN_CHANNELS:
        return None
    pads = attributes.get("pads", [0] * 4)
    extra = attributes.get("output_padding", [0, 0])
    rows, columns = (
        phases_of(dims[2 + i], strides[i], pads[i], pads[2 + i], extra[i]) for i in range(2)
    )
    return None if rows is None or columns is None else (rows, columns)


def _convolutions(
    node: onnx.NodeProto, weights: npt.NDArray[Any], rows: list[Phase], columns: list[Phase]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The plain convolutions, row by row, and their weights."""
    nodes, tensors = [], []
    for name, row, column in _named(rows, columns):
        kernel = weights[:, :, row.weights][:, :, :, column.weights].swapaxes(0, 1)
        stored = f"{node.output[0]}.{name}.weight"
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(kernel), stored))
        nodes.append(
            helper.make_node(
                "Conv",
                [node.input[0], stored, *node.input[2:]],
                [f"{node.output[0]}.{name}"],
                f"{node.name}/{name}",
                kernel_shape=kernel.shape[2:],
                pads=[row.before, column.before, row.after, column.after],
            )
        )
    return nodes, tensors


def _named(rows: list[Phase], columns: list[Phase]) -> Iterator[tuple[str, Phase, Phase]]:
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        yield f"phase_{i}_{j}", row, column
