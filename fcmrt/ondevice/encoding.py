"""Encodes features to packets in a device's memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import overflowed, require_float
from ..bitstream import Importance, packet_front
from ..config import CodingParams
from ..errors import DTypeError
from ..intake import Level
from ..kernels.checks import Status, steps_error
from ..kernels.cuda.batch_encoder import BatchEncoder, Layout, most_segments
from ..kernels.cuda.device import DeviceArray
from ..kernels.cuda.packet_writer import PacketWriter
from ..kernels.cuda.planes import place_planes
from ..observe import StageClock
from ..packet import Packet
from ..picture_encoder import code_order, count_values, least_lanes, packet_geometry
from ..schedule import Dequantize, Quantize, Run
from ..spec import Size, edge_mode, margins, padded_size, tensor_size
from ..step_maps import StepMaps
from .graph_run import GraphRun, Tensors
from .latent_rows import LatentRows
from .machine import DeviceMachine
from .placement import Place
from .sequence import Launches, count_latents, pictures_at_once, shares
from .steps import BatchSteps, PictureStep, StepsKey, steps_key

_LEAST_FRONT = 64


class EncodeKey(NamedTuple):
    """What the launches that encode a batch depend on."""

    padded: Size
    packets: int
    steps: StepsKey
    front_bytes: int


class EncodeSequence:
    """Buffers and launches that encode batches of one size.

    Args:
        machine: The engine, ready to run.
        key: What the batches have in common.
        layout: How lanes and segments are chosen.

    Raises:
        InexactRunnerError: A network is not exact at this size.
        EngineError: A graph does not give what the manifest says.
    """

    def __init__(self, machine: DeviceMachine, key: EncodeKey, layout: Layout) -> None:
        manifest, self._device = machine.manifest, machine.device
        self._manifest = manifest
        self._padded, packets = key.padded, key.packets
        self._layout = layout
        self.steps = BatchSteps(machine, key.padded, packets, key.steps)
        self._tensors: Tensors = {}
        for feature in manifest.features:
            size = tensor_size(feature.tensor, key.padded)
            shape = (packets, feature.channels, *size)
            self._tensors[feature.name] = self._device.zeros(shape, np.float32)
        # A row for each feature level, and then one for each latent.
        rows = len(manifest.features) + len(manifest.latents)
        self.findings = self._device.zeros((rows, packets), np.int32)
        if self.steps.position is not None and manifest.quality.input is not None:
            self._tensors[manifest.quality.input] = self.steps.position
        self._latents = {
            name: LatentRows(
                machine, name, self._tensors, key.padded, packets, self.steps, self.findings[n]
            )
            for n, name in enumerate(manifest.latents, len(manifest.features))
        }
        self._coded = [self._latents[name] for name in code_order(manifest)]
        self._runs: dict[Run, GraphRun] = {}
        for step in manifest.encode:
            if isinstance(step, Run):
                self._runs[step] = GraphRun(machine, step, self._tensors, key.padded, packets)
            elif isinstance(step, Dequantize):
                shape = self._tensors[manifest.latents[step.latent].source].shape
                self._tensors[step.output] = self._device.zeros(shape, np.float32)
        self._checks = self._device.zeros((packets,), np.uint32)
        capacities = [latent.capacity for latent in self._coded]
        most = most_segments(capacities, layout.overhead_permille)
        self.encoder = BatchEncoder(self._device, packets, most, capacities)
        self.writer = PacketWriter(
            self._device, self.encoder, machine.executor.engine.digest, key.front_bytes
        )
        capturable = all(run.capturable for run in self._runs.values())
        self._launches = Launches(machine, self._launch, capturable)

    def take(self, levels: Sequence[DeviceArray]) -> None:
        """Pads features into the buffers.

        Args:
            levels: float32 or float16 `[packets, C, H, W]`, in the engine's order.
        """
        self._device.write(self.findings, 0)
        padding = self._manifest.padding
        for n, (feature, level) in enumerate(zip(self._manifest.features, levels, strict=True)):
            target = self._tensors[feature.name]
            size = (level.shape[2], level.shape[3])
            sides = margins(size, (target.shape[2], target.shape[3]), padding)
            place_planes(
                self._device,
                level,
                target,
                top=sides[0],
                left=sides[2],
                edge=edge_mode(padding, size, sides),
                findings=self.findings[n],
            )

    def launch(self) -> None:
        """Encodes the features in the buffers to packets in `writer.out`."""
        self._launches.launch()

    def _launch(self) -> None:
        for step in self._manifest.encode:
            if isinstance(step, Run):
                self._runs[step].launch()
            elif isinstance(step, Quantize):
                self._latents[step.latent].quantize()
            elif isinstance(step, Dequantize):
                self._latents[step.latent].dequantize(self._tensors[step.output])
        self._device.write(self._checks, 0)
        for k, latent in enumerate(self._coded):
            latent.add_checks(k, self._checks)
        coded = [latent.coded() for latent in self._coded]
        self.encoder.encode(coded, self._layout, self._checks)
        self.writer.write()


class DeviceEncoder:
    """Encodes batches of pictures on a device; any thread may use it.

    Args:
        machine: The engine, ready to run.
        params: Parameters of the entropy coder.
        sizes: Of the levels, in the engine's order, that packets need not carry; None: all carry
            their sizes.
    """

    def __init__(
        self, machine: DeviceMachine, params: CodingParams, sizes: Sequence[Size] | None
    ) -> None:
        self._machine = machine
        self._manifest = machine.manifest
        self._sizes = sizes
        self._layout = Layout(params.overhead_permille, least_lanes(machine.manifest, params))

    def encode_placed(
        self,
        levels: Sequence[Level],
        d: int,
        importance: Importance,
        pts: int | None,
        clock: StageClock,
        on_host: Callable[[], list[Packet]],
    ) -> list[Packet]:
        """Encodes a batch on the device or on the host (`DeviceMachine.quicker`).

        Args:
            levels: As for `encode`.
            d: As for `encode`.
            importance: As for `encode`.
            pts: Presentation time of the first picture; the others count up from there.
            clock: Receives the stages, and reports them.
            on_host: Encodes the batch on the host instead.

        Raises:
            FcmrtError: As `encode`.
        """
        manifest = self._manifest
        sizes = [level.size for level in levels]
        values = count_values(manifest, sizes)

        def on_device() -> list[Packet]:
            coded = self.encode(levels, d, importance)
            clock.lap("device")
            clock.stop()
            clock.report()
            return [
                Packet(data, pts=None if pts is None else pts + n, elements=values)
                for n, data in enumerate(coded)
            ]

        elements = count_latents(manifest, padded_size(manifest.features, sizes, manifest.padding))
        ways: dict[Place, Callable[[], list[Packet]]] = {"cuda": on_device, "cpu": on_host}
        return self._machine.quicker("encode", len(levels[0].array), elements, ways)

    def encode(self, levels: Sequence[Level], d: int, importance: Importance) -> list[bytes]:
        """Encodes a batch; waits only at the end, for the packets.

        Args:
            levels: `[N, C, H, W]`, in the engine's order; those on the host are copied.
            d: Number of the quality step.
            importance: Where the step differs from `d`.

        Raises:
            DTypeError: Not float32 or float16, or NaN or infinity among the features.
            ConfigError: The engine has no such step, the importance does not go with it, or the
                runner's networks cannot read the device's memory.
            InexactRunnerError: The runner is not exact at this size.
        """
        manifest = self._manifest
        sizes = [level.size for level in levels]
        padded = padded_size(manifest.features, sizes, manifest.padding)
        manifest.step_width(d)
        maps = StepMaps(manifest, d, importance, padded) if importance else None
        step = PictureStep(d, maps)
        front = packet_front(d, packet_geometry(manifest, sizes, self._sizes), importance)
        room = max(_LEAST_FRONT, 1 << (len(front) - 1).bit_length())
        arrays = [self._on_device(level) for level in levels]
        packets: list[bytes] = []
        for part in shares(len(arrays[0]), pictures_at_once(manifest, padded)):
            key = EncodeKey(padded, len(part), steps_key(manifest, step), room)
            with self._machine.turn():
                make = functools.partial(EncodeSequence, self._machine, key, self._layout)
                sequence = self._machine.kept((key, self._layout), make)
                sequence.steps.load([step] * len(part))
                sequence.writer.load([front] * len(part))
                sequence.take([array[part.start : part.stop] for array in arrays])
                sequence.launch()
                packets += self._fetch(sequence)
        return packets

    def _on_device(self, level: Level) -> DeviceArray:
        require_float(level.array, level.name)
        if level.on_device:
            return level.array
        return self._machine.device.upload(np.ascontiguousarray(level.array))

    def _fetch(self, sequence: EncodeSequence) -> list[bytes]:
        fetch, encoder = self._machine.device.fetch, sequence.encoder
        status = encoder.segments.status
        sizes, statuses, findings = fetch(encoder.sizes, status, sequence.findings)()
        levels = len(self._manifest.features)
        for feature, found in zip(self._manifest.features, findings[:levels], strict=True):
            if found.any():
                raise DTypeError(f"{feature.name} holds NaN or infinity, which no codec can take")
        for name, found in zip(self._manifest.latents, findings[levels:], strict=True):
            if found.any():
                raise overflowed(name)
        for failed in statuses[statuses != Status.OK]:
            raise steps_error(Status(int(failed)))
        rows = fetch(*(sequence.writer.out[n, : int(size)] for n, size in enumerate(sizes)))()
        return [row.tobytes() for row in rows]
