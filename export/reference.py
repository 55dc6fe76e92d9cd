"""Runs a deployment in PyTorch, for comparison with the engine made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fcmrt import kernels
from fcmrt.arrays import FloatArray
from fcmrt.kernels.api import PreparedTables
from fcmrt.observe import StageClock
from fcmrt.runner import Network
from fcmrt.spec import LatentSpec, padded_size
from fcmrt.walk import Walk

from .deployment import Deployment
from .integers import with_integers


class TorchReference:
    """Runs a deployment's networks as PyTorch modules, and everything else as the runtime does.

    Args:
        deployment: Its networks are used as they are, on the device where they are; borrowed.
        threads: Of the kernels; PyTorch has its own setting.
        instead: Networks that replace the deployment's own, by name of the graph, such as the
            integer networks of an exact engine.
    """

    def __init__(
        self,
        deployment: Deployment,
        threads: int = 1,
        instead: Mapping[str, Network] | None = None,
    ) -> None:
        self.manifest = deployment.manifest(name="reference", card={})
        self.kernels = kernels.get(threads=threads)
        self._networks = with_integers(deployment)
        self._instead = dict(instead or {})
        self._tables = {
            name: self.kernels.prepare(tables) for name, tables in deployment.tables.items()
        }

    @property
    def identity(self) -> str:
        """The library that computes it."""
        return f"torch {torch.__version__}, the networks that the engine was made of"

    def tables(self, latent: LatentSpec) -> PreparedTables:
        """Returns the prepared tables of a latent."""
        return self._tables[latent.tables]

    def run(
        self, name: str, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs a network once; see `fcmrt.runner.Network.run`."""
        if name in self._instead:
            return self._instead[name].run(inputs, outputs)
        network = self._networks[name]
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            found = network(*(torch.from_numpy(array).to(device) for array in inputs.values()))
        tensors = (found,) if isinstance(found, torch.Tensor) else found
        return [
            np.ascontiguousarray(tensor.cpu().numpy(), self._dtype(output))
            for output, tensor in zip(outputs, tensors, strict=True)
        ]

    def _dtype(self, output: str) -> npt.DTypeLike:
        return np.int32 if self.manifest.tensors[output].dtype == "int32" else np.float32

    def encode(self, levels: Sequence[FloatArray], d: int) -> Walk:
        """Takes one picture through the encoder's schedule.

        Args:
            levels: float32 `[1, C, H, W]`, finest first; borrowed.
            d: Number of the quality step.

        Returns:
            The walk, with all tensors and integers.
        """
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        padded = padded_size(self.manifest.features, sizes, self.manifest.padding)
        walk = Walk(self, padded, d, StageClock(None))
        walk.take(levels)
        walk.follow(self.manifest.encode)
        return walk

    def decode(self, encoding: Walk) -> Walk:
        """Takes a picture's integers through the decoder's schedule.

        Args:
            encoding: What `encode` gave, or a runtime's `Encoder.walk`; its integers are borrowed.

        Returns:
            The walk; the features are those of its tensors that `manifest.outputs` names, padded.
        """
        walk = Walk(self, encoding.padded, encoding.d, StageClock(None), encoding.importance)
        walk.integers = dict(encoding.integers)
        walk.follow(self.manifest.decode)
        return walk
