"""The way CompressAI's models compress: PyTorch networks, and its coder fed with Python lists.

For codecs that are no CompressAI models: the same networks, latents and tables as the engine's, run
as `CompressionModel.compress` and `decompress` run theirs in version 1.2.8. What these do in each
call is done in each: tables become lists anew, and table indexes come from a comparison with every
table's bound (`GaussianConditional.build_indexes`). Its encoders also decode the string of z; that
is left out, since the symbols are at hand.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fcmrt.export.exact import IntegerNetwork
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import UNIT_STEP, tensor_size
from fcmrt.tables import PROB_BITS

from .coder_peers import compressai_extension

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from fcmrt.export.deployment import Deployment
    from fcmrt.schedule import Step
    from fcmrt.spec import LatentSpec, Size
    from fcmrt.tables import CdfTables

    Model = tuple[list[list[int]], list[int], list[int]]


class DeviceTables:
    """A table set as an `EntropyModel` keeps it: in tensors, on the device of the networks.

    Args:
        tables: The set.
        device: A name of PyTorch's.
    """

    def __init__(self, tables: CdfTables, device: str) -> None:
        # Its frequencies are in units of 2^-16; its last event is its escape, as ours.
        scale = (1 << 16) >> PROB_BITS
        cdfs = [
            torch.from_numpy(scale * tables.cum(t).astype("int32")) for t in range(tables.count)
        ]
        self._cdfs = nn.utils.rnn.pad_sequence(cdfs, batch_first=True).to(device)
        self._lengths = torch.tensor([len(cdf) for cdf in cdfs], dtype=torch.int32, device=device)
        self._offsets = torch.tensor(tables.offsets.tolist(), dtype=torch.int32, device=device)

    def lists(self) -> Model:
        """Copy them to the host, as lists."""
        return self._cdfs.tolist(), self._lengths.tolist(), self._offsets.tolist()


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
            name: network.eval().to(device) for name, network in deployment.networks.items()
        }
        self._ans = compressai_extension() if ans is None else ans
        self._tables = {
            name: DeviceTables(tables, device) for name, tables in deployment.tables.items()
        }
        # Of what networks give as means, in units of the latent; those of integers give integers.
        self._mean_units = {
            output: 2.0**-deployment.mean_bits
            for name, run in deployment.runs.items()
            if isinstance(deployment.networks[name], IntegerNetwork)
            for output in run.outputs
        }
        self.symbols: dict[str, Tensor] = {}
        """Those of the last picture, by latent: int32 `[n]`."""

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
        models = self._models()
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
                    model = models(latent.tables)
                    strings.append(coder.encode_with_indexes(symbols, indexes, *model))
                else:
                    joint.encode_with_indexes(symbols, indexes, *models(latent.tables))
            else:
                self._other(picture, step)
        return [*strings, joint.flush()]

    @torch.inference_mode()
    def decompress(self, strings: Sequence[bytes], d: int, padded: Size) -> list[Tensor]:
        """Decode what `compress` gave: features `[1, C, H, W]`, padded, finest first."""
        picture = self._picture({}, d, padded)
        models = self._models()
        joint = self._ans.RansDecoder()
        joint.set_stream(strings[-1])
        alone = iter(strings[:-1])
        for step in self._codec.decode:
            if isinstance(step, Code):
                latent = self._codec.latents[step.latent]
                indexes = picture.indexes(latent).tolist()
                model = models(latent.tables)
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
        picture = _Picture(self._codec, tensors, d, padded, self._device, self._mean_units)
        self.symbols = picture.symbols
        return picture

    def _models(self) -> Callable[[str], Model]:
        """Give the lists of table sets for one call, each made when it is first asked for."""
        return functools.cache(lambda name: self._tables[name].lists())

    def _other(self, picture: _Picture, step: Step) -> None:
        if isinstance(step, Run):
            picture.run(self.networks[step.graph], step)
        elif isinstance(step, Dequantize):
            picture.dequantize(step)


class _Picture:
    """The tensors and symbols of one picture on one side."""

    def __init__(
        self,
        codec: Deployment,
        tensors: Mapping[str, Tensor],
        d: int,
        padded: Size,
        device: str,
        mean_units: Mapping[str, float],
    ) -> None:
        self._device, self._mean_units = device, mean_units
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

    def _width(self) -> float:
        return self._codec.steps.width(self._d) / UNIT_STEP

    def _take(self, latent: LatentSpec, tensor: Tensor) -> Tensor:
        """The latent's elements of a tensor, `[n]`."""
        source = self._spec(latent.source)
        start, stop = latent.channel_range(source)
        own = tensor[0] if tensor.shape[1] == stop - start else tensor[0, start:stop]
        return (own if latent.parity is None else own[:, self._cells(latent)]).reshape(-1)

    def _cells(self, latent: LatentSpec) -> Tensor:
        rows, columns = tensor_size(self._spec(latent.source), self._padded)
        places = self._count(rows)[:, None] + self._count(columns)
        return places % 2 == (latent.parity == "odd")

    def _count(self, n: int) -> Tensor:
        return torch.arange(n, device=self._device)

    def _means(self, latent: LatentSpec) -> Tensor | None:
        if latent.means is None:
            return None
        means = self._take(latent, self.tensors[latent.means])
        unit = self._mean_units.get(latent.means)
        return means if unit is None else means * unit

    def quantize(self, name: str) -> None:
        latent = self._codec.latents[name]
        values = self._take(latent, self.tensors[latent.source])
        means = self._means(latent)
        if means is not None:
            values = values - means
        if latent.step:
            values = values / self._width()
        symbols = torch.round(values).int()
        if latent.skip:
            symbols[self.indexes(latent) < latent.skip] = 0
        self.symbols[name] = symbols

    def indexes(self, latent: LatentSpec) -> Tensor:
        """Tables of the latent's elements, int32 `[n]`; on the CPU if the channels decide them."""
        if latent.indexes is None:
            start, stop = latent.channel_range(self._spec(latent.source))
            rows, columns = tensor_size(self._spec(latent.source), self._padded)
            cells = rows * columns if latent.parity is None else int(self._cells(latent).sum())
            return torch.arange(stop - start).int()[:, None].repeat(1, cells).reshape(-1)
        scales = self._take(latent, self.tensors[latent.indexes])
        last = self._codec.tables[latent.tables].count - 1
        scales = (scales - self._d if latent.step else scales).clamp(min=0)
        indexes = scales.new_full(scales.size(), last).int()
        for bound in range(last):
            indexes -= (scales <= bound + 0.5).int()
        return indexes

    def dequantize(self, step: Dequantize) -> None:
        latent = self._codec.latents[step.latent]
        source = self._spec(latent.source)
        start, stop = latent.channel_range(source)
        size = tensor_size(source, self._padded)
        values = self.symbols[step.latent].float()
        if latent.step:
            values = values * self._width()
        means = self._means(latent)
        if means is not None:
            values = values + means
        if latent.parity is None and stop - start == source.channels:
            self.tensors[step.output] = values.reshape(1, source.channels, *size)
            return
        made = torch.zeros(1, source.channels, *size, device=self._device)
        if latent.parity is None:
            made[0, start:stop] = values.reshape(stop - start, *size)
        else:
            made[0, start:stop, self._cells(latent)] = values.reshape(stop - start, -1)
        self.tensors[step.output] = made
