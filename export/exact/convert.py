"""From a float network to integers carried in floats, calibrated on real inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fcmrt.errors import EngineError

from .converter import Converter
from .floatlayers import Input, evaluate
from .fold import fold_outputs
from .network import IntegerNetwork
from .precision import ExactInput, Precision
from .trace import trace


@torch.no_grad()
def convert(
    module: nn.Module,
    inputs: Mapping[str, ExactInput],
    outputs: Mapping[str, int],
    calibration: Sequence[Tensor],
    *,
    name: str = "network",
    precision: Precision | None = None,
) -> IntegerNetwork:
    """Converts a float network to its exact form.

    Every layer is converted on what the integer layers before it give, and its biases are corrected
    so that its mean error over the calibration inputs is 0.

    Args:
        module: The float network; returns one tensor or a tuple of them.
        inputs: Names of its inputs in order, and how they become integers.
        outputs: Names of its outputs in order, and the fractional bits of their grids.
        calibration: One tensor `[N, C, ...]` for each input: values as they occur in real use.
        name: Of the graph.
        precision: None: the default.

    Raises:
        EngineError: A layer has no exact form, or cannot keep its sums below 2^24; the text names
            it.
    """
    layers, returned = trace(module, [part[:1] for part in calibration], list(inputs))
    if len(returned) != len(outputs):
        raise EngineError(f"{name} returns {len(returned)} tensors, {len(outputs)} were named")
    given = dict(zip(inputs, (part.float() for part in calibration), strict=True))
    channels = {k: v.shape[1] for k, v in evaluate(layers, _first(given)).items()}
    tensors = dict(zip(outputs, returned, strict=True))
    grids = {output: 2.0**-bits for output, bits in outputs.items()}
    folded = fold_outputs(layers, tensors, grids, channels)
    converter = Converter(folded.layers, folded.units, given, inputs, precision or Precision())
    for layer in folded.layers:
        converter.convert(layer)
    for output, tensor in zip(outputs, folded.outputs, strict=True):
        converter.output(output, tensor)
    return IntegerNetwork(
        name,
        {layer.name: layer.channels for layer in layers if isinstance(layer, Input)},
        list(outputs),
        converter.steps,
        converter.operations,
        converter.limits,
    )


def _first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor[:1] for name, tensor in tensors.items()}
