"""All networks of a deployment's exact path, each calibrated on the exact outputs before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from fcmrt.arrays import FloatArray
from fcmrt.errors import EngineError
from fcmrt.observe import StageClock
from fcmrt.schedule import Dequantize, Run
from fcmrt.spec import padded_size
from fcmrt.walk import Walk

from ..deployment import Deployment
from ..reference import TorchReference
from .convert import convert
from .network import IntegerNetwork
from .precision import ExactInput, Precision, grid_for


@torch.no_grad()
def convert_path(
    deployment: Deployment,
    pictures: Iterable[Sequence[FloatArray]],
    *,
    precision: Precision | None = None,
) -> dict[str, IntegerNetwork]:
    """Converts the networks of a deployment's exact path, in the order of the schedule.

    The pictures go through the encoder's schedule together, at its qualities in turn. Each network
    is converted on what reaches it there, from exact networks and from integers that were
    quantised with their means, so that errors do not pile up; then all go on through the exact
    network.

    Args:
        deployment: With float networks on the exact path, on the CPU; borrowed.
        pictures: As they occur in use, never of those the codec is judged by; of each its levels,
            float32 `[1, C, H, W]`, finest first, all pictures of one size.
        precision: None: the default.

    Returns:
        The exact networks by graph, for `Deployment.with_networks`.

    Raises:
        EngineError: A network has no exact form, or there are no pictures, or they differ in size;
            the text names what.
    """
    conversion = _Conversion(deployment, precision or Precision())
    qualities = deployment.quality.levels
    walks = [
        conversion.walk(levels, qualities[k % len(qualities)]) for k, levels in enumerate(pictures)
    ]
    if len({walk.padded for walk in walks}) != 1:
        raise EngineError(f"{len(walks)} pictures to calibrate on; they must be of one size")
    for step in deployment.encode:
        if isinstance(step, Run) and step.graph in deployment.entropy_path:
            conversion.convert(step, walks)
        for walk in walks:
            walk.follow([step])
    return conversion.converted


class _Conversion(TorchReference):
    """Runs a deployment in PyTorch, with the exact networks as far as there are any."""

    def __init__(self, deployment: Deployment, precision: Precision) -> None:
        super().__init__(deployment)
        self.converted: dict[str, IntegerNetwork] = {}
        self._deployment = deployment
        self._precision = precision
        latents = deployment.latents
        self._sources = {
            step.output: latents[step.latent].source
            for step in deployment.encode
            if isinstance(step, Dequantize)
        }
        self._bits: dict[str, int] = {}
        for latent in latents.values():
            if latent.means is not None:
                self._bits[latent.means] = deployment.mean_bits
            if latent.indexes is not None:
                self._bits[latent.indexes] = 0

    def walk(self, levels: Sequence[FloatArray], d: int) -> Walk:
        """One picture at the start of the encoder's schedule."""
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        padded = padded_size(self.manifest.features, sizes, self.manifest.padding)
        walk = Walk(self, padded, d, StageClock(None))
        walk.take(levels)
        return walk

    def convert(self, step: Run, walks: Sequence[Walk]) -> None:
        """Converts the network that comes next in all walks, and runs it from now on."""
        given = {
            name: torch.cat([torch.from_numpy(walk.tensors[name]) for walk in walks])
            for name in step.inputs
        }
        self.converted[step.graph] = self._networks[step.graph] = convert(
            self._deployment.networks[step.graph],
            self._grids(given),
            {output: self._bits.get(output) for output in step.outputs},
            list(given.values()),
            name=step.graph,
            precision=self._precision,
        )

    def _grids(self, given: Mapping[str, Tensor]) -> dict[str, ExactInput]:
        """How inputs become integers; parts of one latent tensor are on one grid."""
        passed = {name: grid for net in self.converted.values() for name, grid in net.grids.items()}
        parts: dict[str, list[Tensor]] = {}
        for name, values in given.items():
            parts.setdefault(self._sources.get(name, name), []).append(values)
        return {
            name: passed.get(name)
            or grid_for(torch.cat(parts[self._sources.get(name, name)]), self._precision)
            for name in given
        }
