"""The way CompressAI's models compress: PyTorch networks, and its coder fed with Python lists.

For codecs that are no CompressAI models: the same networks, latents and tables as the engine's, run
as `CompressionModel.compress` and `decompress` run theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fcmrt.export.integers import with_integers
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import UNIT_STEP, tensor_size
from fcmrt.tables import PROB_BITS

from .coder_peers import compressai_extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from fcmrt.export.deployment import Deployment
    from fcmrt.schedule import Step
    from fcmrt.spec import LatentSpec, Size
    from fcmrt.tables import CdfTables

    Model = tuple[list[list[int]], list[int], list[int]]


class CompressAiPath:
    """One codec.

    Latents with a table per channel get a string each, as an `EntropyBottleneck` gives; all others
    share one, as a `BufferedRansEncoder` gives.

    Args:
        deployment: The codec; borrowed.
        device: Where networks and tensors are, by PyTorch's name; the coder is on the CPU.
        ans: What looks like `compressai.ans`; None: that itself.

    Raises:
        PeerMissingError: CompressAI is not installed.
    """

    def __init__(self, deployment: Deployment, device: str = "cpu", ans: Any = None) -> None:
        self._codec = deployment
        self._device = device
        self.networks: dict[str, nn.Module] = {
            name: network.to(device) for name, network in with_integers(deployment).items()
        }
        self._ans = compressai_extension() if ans is None else ans
        self._models = {name: _model(tables) for name, tables in deployment.tables.items()}

    @torch.inference_mode()
    def compress(self, levels: Sequence[Tensor], d: int, padded: Size) -> list[bytes]:
        """Encode one picture.

        Args:
            levels: float32 `[1, C, H, W]`, padded already, finest first.
            d: Number of the quality step.
            padded: Size of the finest level.
        """
        features = zip(self._codec.features, levels, strict=True)
        picture = self._picture({f.name: level for f, level in features}, d, padded)
        joint, strings = self._ans.BufferedRansEncoder(), []
        for step in self._codec.encode:
            if isinstance(step, Quantize):
                picture.quantize(step.latent)
            elif isinstance(step, Code):
                latent = self._codec.latents[step.latent]
                symbols = picture.symbols[step.latent].tolist()
                indexes = picture.indexes(latent).tolist()
                if latent.indexes is None:
                    coder = self._ans.RansEncoder()
                    model = self._models[latent.tables]
                    strings.append(coder.encode_with_indexes(symbols, indexes, *model))
                else:
                    joint.encode_with_indexes(symbols, indexes, *self._models[latent.tables])
            else:
                self._other(picture, step)
        return [*strings, joint.flush()]

    @torch.inference_mode()
    def decompress(self, strings: Sequence[bytes], d: int, padded: Size) -> list[Tensor]:
        """Decode what `compress` gave: features `[1, C, H, W]`, padded, finest first."""
        picture = self._picture({}, d, padded)
        joint = self._ans.RansDecoder()
        joint.set_stream(strings[-1])
        alone = iter(strings[:-1])
        for step in self._codec.decode:
            if isinstance(step, Code):
                latent = self._codec.latents[step.latent]
                model = self._models[latent.tables]
                indexes = picture.indexes(latent).tolist()
                if latent.indexes is None:
                    coder = self._ans.RansDecoder()
                    symbols = coder.decode_with_indexes(next(alone), indexes, *model)
                else:
                    symbols = joint.decode_stream(indexes, *model)
                picture.symbols[step.latent] = torch.tensor(
                    symbols, dtype=torch.int32, device=self._device
                )
            else:
                self._other(picture, step)
        outputs = self._codec.outputs
        return [picture.tensors[outputs[feature.name]] for feature in self._codec.features]

    def _picture(self, tensors: Mapping[str, Tensor], d: int, padded: Size) -> _Picture:
        return _Picture(self._codec, tensors, d, padded, self._device)

    def _other(self, picture: _Picture, step: Step) -> None:
        if isinstance(step, Run):
            picture.run(self.networks[step.graph], step)
        elif isinstance(step, Dequantize):
            picture.dequantize(step)


def _model(tables: CdfTables) -> Model:
    # Its frequencies are in units of 2^-16; its last event is its escape, as ours.
    scale = (1 << 16) >> PROB_BITS
    cdfs = [(scale * tables.cum(t)).tolist() for t in range(tables.count)]
    return cdfs, [len(cdf) for cdf in cdfs], tables.offsets.tolist()


class _Picture:
    """The tensors and symbols of one picture on one side."""

    def __init__(
        self,
        codec: Deployment,
        tensors: Mapping[str, Tensor],
        d: int,
        padded: Size,
        device: str,
    ) -> None:
        self._device = device
        self.tensors = dict(tensors)
        self.symbols: dict[str, Tensor] = {}
        self._codec, self._d, self._padded = codec, d, padded

    def run(self, network: Any, step: Run) -> None:
        found = network(*(self.tensors[name] for name in step.inputs))
        outputs = found if isinstance(found, tuple) else (found,)
        for name, output in zip(step.outputs, outputs, strict=True):
            rows, columns = tensor_size(self._spec(name), self._padded)
            self.tensors[name] = output[:, :, :rows, :columns]

    def _spec(self, name: str) -> Any:
        by_feature = {feature.name: feature.tensor for feature in self._codec.features}
        return self._codec.tensors.get(name) or by_feature[name]

    def _width(self, latent: LatentSpec) -> float:
        return self._codec.steps.width(self._d) / UNIT_STEP if latent.step else 1.0

    def _take(self, latent: LatentSpec, tensor: Tensor) -> Tensor:
        """The latent's elements of a tensor, `[n]`."""
        source = self._spec(latent.source)
        start, stop = latent.channel_range(source)
        own = tensor[0] if tensor.shape[1] == stop - start else tensor[0, start:stop]
        return own[:, self._cells(latent)].reshape(-1)

    def _cells(self, latent: LatentSpec) -> Tensor:
        rows, columns = tensor_size(self._spec(latent.source), self._padded)
        places = self._count(rows)[:, None] + self._count(columns)
        if latent.parity is None:
            return torch.ones_like(places, dtype=torch.bool)
        return places % 2 == (latent.parity == "odd")

    def _count(self, n: int) -> Tensor:
        return torch.arange(n, device=self._device)

    def _means(self, latent: LatentSpec) -> Tensor:
        if latent.means is None:
            return torch.zeros((), device=self._device)
        return self._take(latent, self.tensors[latent.means]) * 2.0**-self._codec.mean_bits

    def quantize(self, name: str) -> None:
        latent = self._codec.latents[name]
        values = self._take(latent, self.tensors[latent.source]) - self._means(latent)
        symbols = torch.round(values / self._width(latent)).int()
        if latent.skip:
            symbols[self.indexes(latent) < latent.skip] = 0
        self.symbols[name] = symbols

    def indexes(self, latent: LatentSpec) -> Tensor:
        if latent.indexes is None:
            cells = int(self._cells(latent).sum())
            start, stop = latent.channel_range(self._spec(latent.source))
            return self._count(stop - start).repeat_interleave(cells)
        shift = self._d if latent.step else 0
        count = self._codec.tables[latent.tables].count
        return (self._take(latent, self.tensors[latent.indexes]) - shift).clamp(0, count - 1)

    def dequantize(self, step: Dequantize) -> None:
        latent = self._codec.latents[step.latent]
        source = self._spec(latent.source)
        start, stop = latent.channel_range(source)
        size = tensor_size(source, self._padded)
        made = torch.zeros(1, source.channels, *size, device=self._device)
        values = self.symbols[step.latent] * self._width(latent) + self._means(latent)
        made[0, start:stop, self._cells(latent)] = values.reshape(stop - start, -1)
        self.tensors[step.output] = made
