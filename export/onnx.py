"""From PyTorch modules to the graphs of an engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from torch import Tensor, nn

from .calibration import Feeds
from .cleaning import clean, finish
from .float_graph import FloatGraph
from .fp16 import store_weights_fp16
from .int8 import with_int8
from .phases import split_transposed
from .precision import with_precision
from .sensitive import sensitive_constants
from .tracing import trace

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
        scalars: Names of inputs that are always `[1, 1, 1, 1]`, even beside a batch of others.
        half_weights: With "fp32", store weights as float16, except `sensitive_constants`; the
            arithmetic stays float32.
        precision: Of the arithmetic; must be "fp32" for networks on the exact path.
        calibration: Inputs by name, for "int8".

    Returns:
        The serialised model; in any precision its inputs and outputs have the module's types.

    Raises:
        EngineError: The network cannot have the precision (`with_precision`, `with_int8`).
        ExportError: A trace cannot express what the network computes (`trace`).
    """
    model = split_transposed(trace(module.eval(), inputs, input_names, output_names, scalars))
    model.producer_name, model.producer_version, model.doc_string = "fcmrt", "", ""
    if precision == "int8":
        return with_int8(model.SerializeToString(), calibration)
    if precision != "fp32":
        return with_precision(model.SerializeToString(), precision)
    model = clean(model)
    if half_weights:
        model = store_weights_fp16(model, keep=sensitive_constants(FloatGraph(model)))
    return finish(model)
