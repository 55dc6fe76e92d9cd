"""From PyTorch modules to the graphs of an engine."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Sequence

import onnx
import torch
from torch import Tensor, nn

from .fp16 import store_weights_fp16

OPSET = 18


def export_graph(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    scalars: Collection[str | None] = (),
    half_weights: bool = True,
) -> bytes:
    """Traces a module to an ONNX graph with free height and width.

    Args:
        module: Called with the inputs in order; put into evaluation mode.
        inputs: Example inputs `[1, C, H, W]`, float32.
        input_names: Names of the tensors of the schedule that they are.
        output_names: Likewise of the outputs.
        scalars: Names of inputs whose height and width are always 1.
        half_weights: Store weights as float16; the arithmetic stays float32.

    Returns:
        The serialised model.
    """
    module = module.eval()
    sized = [name for name in (*input_names, *output_names) if name not in scalars]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracing exporter is deprecated, but the other one does not express that the sides of
        # the levels are multiples of each other and fixes them to those of the example.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs),
            buffer,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes={name: {2: f"{name}_h", 3: f"{name}_w"} for name in sized},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    model.producer_name, model.producer_version, model.doc_string = "fcmrt", "", ""
    if half_weights:
        model = store_weights_fp16(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
