"""From a network's floats to the integers that a schedule wants of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .deployment import Deployment
from .exact import IntegerNetwork

LARGEST_MEAN = 2.0**30
"""In units of the means' grid. Converting a float beyond the integers' range is not defined."""

LARGEST_INDEX = 2.0**15


class IntegerOutputs(nn.Module):
    """A network whose means and indexes are rounded, each to int32.

    Args:
        network: Returns one tensor or a tuple.
        scales: For each output its factor before rounding, and its largest magnitude afterwards;
            None: it stays as it is.
    """

    def __init__(self, network: nn.Module, scales: Sequence[tuple[float, float] | None]) -> None:
        super().__init__()
        self.network = network
        self.scales = tuple(scales)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Runs the network, and rounds half to even."""
        found = self.network(*inputs)
        outputs = (found,) if isinstance(found, Tensor) else found
        return tuple(
            output if scale is None else _integers(output, *scale)
            for output, scale in zip(outputs, self.scales, strict=True)
        )


def _integers(values: Tensor, scale: float, largest: float) -> Tensor:
    return torch.round(values * scale).clamp(-largest, largest).to(torch.int32)


def with_integers(deployment: Deployment) -> dict[str, nn.Module]:
    """Returns the networks by name, each with the integers that the schedule declares.

    An `IntegerNetwork` has them already, as floats.
    """
    scales: dict[str, tuple[float, float]] = {}
    for latent in deployment.latents.values():
        if latent.means is not None:
            scales[latent.means] = (2.0**deployment.mean_bits, LARGEST_MEAN)
        if latent.indexes is not None:
            scales[latent.indexes] = (1.0, LARGEST_INDEX)
    networks = {}
    for name, run in deployment.runs.items():
        network = deployment.networks[name]
        wanted = [scales.get(output) for output in run.outputs]
        if any(wanted) and not isinstance(network, IntegerNetwork):
            network = IntegerOutputs(network, wanted)
        networks[name] = network.eval()
    return networks
