"""Traces modules to ONNX, and refuses those that a trace cannot express.

A trace records what a network did once. If the network branched on values of its input, or its
Python code computed with sizes, other inputs get wrong results, and PyTorch only warns.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from fcmrt.errors import ExportError

from .cleaning import BATCH, OPSET

_TOLERANCE = 1e-3
"""Share of the largest value that another order of sums may change in a deep network."""


def trace(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    scalars: Collection[str | None] = (),
) -> onnx.ModelProto:
    """Traces a module for any batch and size.

    Args:
        module: In evaluation mode, called with the inputs in order.
        inputs: Example inputs `[1, C, H, W]`, float32.
        input_names: Their names.
        output_names: Names of its outputs.
        scalars: Names of inputs that are always `[1, 1, 1, 1]`.

    Returns:
        The model; all but scalars have free batch, height and width.

    Raises:
        ExportError: The trace would be wrong for other inputs: the module branches on their values,
            or is fixed to the size of the examples; the text says where.
    """
    # PyTorch refuses names that are numbers, as those of torchvision's feature levels are.
    names = {name: f"level.{name}" for name in (*input_names, *output_names) if name.isdigit()}
    sized = [name for name in (*input_names, *output_names) if name not in scalars]
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        # The tracing exporter is deprecated, but the new one cannot express that the sides of the
        # levels are multiples of each other, and fixes them to the example's.
        warnings.simplefilter("always")
        torch.onnx.export(
            module,
            tuple(inputs),
            buffer,
            input_names=[names.get(name, name) for name in input_names],
            output_names=[names.get(name, name) for name in output_names],
            dynamic_axes={
                names.get(name, name): {0: BATCH, 2: f"{name}_h", 3: f"{name}_w"} for name in sized
            },
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    _rename(model.graph, {made: name for name, made in names.items()})
    doubts = [one for one in caught if issubclass(one.category, torch.jit.TracerWarning)]
    if doubts:
        where = f"{doubts[0].filename}:{doubts[0].lineno}"
        fixed = {name for name in input_names if name in scalars}
        _check_values(module, inputs, where)
        _check_sizes(module, model, dict(zip(input_names, inputs, strict=True)), fixed, where)
    return model


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames values of a graph, by their present names."""
    for port in (*graph.input, *graph.output, *graph.value_info):
        port.name = names.get(port.name, port.name)
    for node in graph.node:
        for values in node.input, node.output:
            values[:] = [names.get(name, name) for name in values]


def _check_values(module: nn.Module, inputs: Sequence[Tensor], where: str) -> None:
    """Refuses a module whose Python code reads values, by running it on tensors without any."""
    module = copy.deepcopy(module)  # it may keep what it computes
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
            module(*(mode.from_tensor(one) for one in inputs))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise ExportError(
            f"it decides by the values of its input, at {where} or after it; a graph would do for "
            "every picture what it did for the example. Compute with tensors throughout, without "
            ".item(), float(), tolist() or if, such as by torch.where"
        ) from error
    except Exception:
        return  # not all code takes such tensors; `_check_sizes` looks at its outputs instead


def _check_sizes(
    module: nn.Module,
    model: onnx.ModelProto,
    inputs: dict[str, Tensor],
    fixed: Collection[str],
    where: str,
) -> None:
    """Refuses a trace that differs from the module at other sizes and values."""
    generator = torch.Generator().manual_seed(0)
    others = {
        name: one
        if name in fixed
        else torch.randn(1, one.shape[1], 2 * one.shape[2], 3 * one.shape[3], generator=generator)
        for name, one in inputs.items()
    }
    with torch.no_grad():
        found = module(*others.values())
    wanted = [found] if isinstance(found, Tensor) else list(found)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures become errors below
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        read = {port.name for port in session.get_inputs()}
        given = {name: one.numpy() for name, one in others.items() if name in read}
        made = [np.asarray(one) for one in session.run(None, given)]
    except Exception as error:  # onnxruntime's own classes have no other base
        raise ExportError(_fixed_to(where)) from error
    if not all(_alike(a.numpy(), b) for a, b in zip(wanted, made, strict=True)):
        raise ExportError(_fixed_to(where))


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    # Integers may be rounded to either side of a tie.
    slack = _TOLERANCE * float(np.abs(a).max(initial=0)) + (a.dtype.kind == "i")
    return bool(np.all(np.abs(a.astype(np.float64) - b) <= slack))


def _fixed_to(where: str) -> str:
    return (
        "the graph made of it computes something else at other sizes than the example's, by what "
        f"is made a Python number at {where} or after it. Leave sizes as the shape gives them, "
        "without int(), float() or len(), and statistics to layers in evaluation mode"
    )
