"""From a float network to integers carried in floats, calibrated on real inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fcmrt.errors import EngineError

from .converter import Converter
from .floatlayers import Input, evaluate
from .fold import fold
from .network import IntegerNetwork
from .precision import ExactInput, Precision, grid_for
from .trace import trace


@torch.no_grad()
def convert(
    module: nn.Module,
    inputs: Mapping[str, ExactInput],
    outputs: Mapping[str, int | None],
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
        outputs: Names of its outputs in order, and the fractional bits of their grids; None: the
            output is float32, for another exact network, on a grid that calibration chooses
            (`IntegerNetwork.grids`).
        calibration: One tensor `[N, C, ...]` for each input: values as they occur in real use.
        name: Of the graph.
        precision: None: the default.

    Raises:
        EngineError: A layer has no exact form, or cannot keep its sums below 2^24; the text names
            it.
    """
    layers, returned = trace(module, [part[:1] for part in calibration], list(inputs), outputs)
    if len(returned) != len(outputs):
        raise EngineError(f"{name} returns {len(returned)} tensors, {len(outputs)} were named")
    given = dict(zip(inputs, (part.float() for part in calibration), strict=True))
    precision = precision or Precision()
    floats = evaluate(layers, given)
    grids = {
        output: grid_for(floats[tensor], precision)
        for (output, bits), tensor in zip(outputs.items(), returned, strict=True)
        if bits is None
    }
    channels = {tensor: values.shape[1] for tensor, values in floats.items()}
    units = [
        (grids.get(output) or ExactInput(bits or 0)).units(channels[tensor])
        for (output, bits), tensor in zip(outputs.items(), returned, strict=True)
    ]
    folded = fold(layers, list(zip(returned, units, strict=True)), channels)
    converter = Converter(folded.layers, folded.units, given, inputs, precision)
    for layer in folded.layers:
        converter.convert(layer)
    for output, tensor, unit in zip(outputs, folded.outputs, units, strict=True):
        converter.output(output, tensor, unit, on_grid=output in grids)
    return IntegerNetwork(
        name,
        {layer.name: layer.channels for layer in layers if isinstance(layer, Input)},
        {output: grids.get(output) for output in outputs},
        converter.steps,
        converter.operations,
        converter.limits,
    )
