"""From PyTorch modules to the graphs of an engine."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Sequence
from typing import Literal

import onnx
import torch
from torch import Tensor, nn

from .calibration import Feeds
from .cleaning import BATCH, OPSET, clean, finish
from .float_graph import FloatGraph
from .fp16 import store_weights_fp16
from .int8 import with_int8
from .phases import split_transposed
from .precision import with_precision
from .sensitive import sensitive_constants

Precision = Literal["fp32", "fp16", "bf16", "int8"]


def export_graph(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    scalars: Collection[str | None] = (),
    half_weights: bool = True,
    precision: Precision = "fp32",
    calibration: Feeds = (),
) -> bytes:
    """Traces a module to a clean ONNX graph (`fcmrt.export.cleaning`) for any batch and size.

    Args:
        module: Called with the inputs in order; put into evaluation mode.
        inputs: Example inputs `[1, C, H, W]`, float32.
        input_names: Names of the tensors of the schedule that they are.
        output_names: Likewise of the outputs.
        scalars: Names of inputs that are `[1, 1, 1, 1]` always, also beside a batch of others.
        half_weights: Store weights of "fp32" as float16, but for those of `sensitive_constants`;
            the arithmetic stays float32.
        precision: Of the arithmetic; other than "fp32" for networks off the exact path only.
        calibration: Inputs by name, for "int8".

    Returns:
        The serialised model; its inputs and outputs are what the module's are in any precision.

    Raises:
        EngineError: The network takes no other precision (`with_precision`, `with_int8`).
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
            dynamic_axes={name: {0: BATCH, 2: f"{name}_h", 3: f"{name}_w"} for name in sized},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    model = split_transposed(onnx.load_from_string(buffer.getvalue()))
    model.producer_name, model.producer_version, model.doc_string = "fcmrt", "", ""
    if precision == "int8":
        return with_int8(model.SerializeToString(), calibration)
    if precision != "fp32":
        return with_precision(model.SerializeToString(), precision)
    model = clean(model)
    if half_weights:
        model = store_weights_fp16(model, keep=sensitive_constants(FloatGraph(model)))
    return finish(model)
