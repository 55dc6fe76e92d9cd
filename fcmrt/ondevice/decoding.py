"""Decodes packets to features in a device's memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import BitstreamError, ConfigError, DriftError
from ..kernels.checks import Status
from ..kernels.cuda.batch_decoder import BatchDecoder, Payload
from ..kernels.cuda.device import DeviceArray
from ..kernels.cuda.planes import place_planes
from ..packet_reader import DRIFT, OpenedPacket
from ..picture_encoder import code_order
from ..schedule import Code, Dequantize, Run, Step
from ..spec import Size, margins, tensor_size
from ..step_maps import StepMaps
from .graph_run import GraphRun, Tensors
from .latent_rows import LatentRows
from .machine import DeviceMachine
from .placement import Place
from .sequence import Launches, count_latents, pictures_at_once, shares
from .steps import BatchSteps, PictureStep, StepsKey, steps_key

_SEGMENTS = (16, 256)
_LEAST_ROOM = 4096

Targets = Mapping[str, DeviceArray]
"""Arrays for a packet's features: by level, float32 or float16 `[C, H, W]`, without padding."""


class SteppedPacket(NamedTuple):
    """A packet, and its quantiser steps."""

    packet: OpenedPacket
    step: PictureStep


class DecodeKey(NamedTuple):
    """What the launches that decode a batch depend on."""

    padded: Size
    packets: int
    steps: StepsKey
    most_segments: int
    payload_bytes: int
    escape_bytes: int


class DecodeSequence:
    """Buffers and launches that decode batches of one size.

    Args:
        machine: The engine, ready to run.
        key: What the batches have in common.

    Raises:
        InexactRunnerError: A network is not exact at this size.
        EngineError: A graph does not give what the manifest says.
    """

    def __init__(self, machine: DeviceMachine, key: DecodeKey) -> None:
        manifest, self._device = machine.manifest, machine.device
        self._manifest = manifest
        self._padded, packets = key.padded, key.packets
        self.steps = BatchSteps(machine, key.padded, packets, key.steps)
        self._tensors: Tensors = {}
        if self.steps.position is not None and manifest.quality.input is not None:
            self._tensors[manifest.quality.input] = self.steps.position
        self._latents = {
            name: LatentRows(machine, name, self._tensors, key.padded, packets, self.steps)
            for name in manifest.latents
        }
        self._runs: dict[Run, GraphRun] = {}
        for step in manifest.decode:
            if isinstance(step, Run):
                self._runs[step] = GraphRun(machine, step, self._tensors, key.padded, packets)
            elif isinstance(step, Dequantize):
                source = manifest.tensors[manifest.latents[step.latent].source]
                shape = (packets, source.channels, *tensor_size(source, key.padded))
                self._tensors[step.output] = self._device.zeros(shape, np.float32)
        self._checks = self._device.zeros((packets,), np.uint32)
        self.decoder = BatchDecoder(
            self._device, packets, key.most_segments, key.payload_bytes, key.escape_bytes
        )
        last = max(n for n, step in enumerate(manifest.decode) if isinstance(step, Code)) + 1
        self._to_integers = self._part(machine, manifest.decode[:last], self._integers)
        self._to_features = self._part(machine, manifest.decode[last:], self._follow)

    def _part(
        self,
        machine: DeviceMachine,
        steps: Sequence[Step],
        make: Callable[[Sequence[Step]], None],
    ) -> Launches:
        runs = [self._runs[step] for step in steps if isinstance(step, Run)]
        return Launches(machine, lambda: make(steps), all(run.capturable for run in runs))

    def launch_integers(self) -> None:
        """Decodes the payloads in the buffers to integers, and sets each packet's status."""
        self._to_integers.launch()

    def launch_features(self) -> None:
        """Computes the padded features from the integers; those of failed packets mean nothing."""
        self._to_features.launch()

    def _integers(self, steps: Sequence[Step]) -> None:
        self.decoder.open()
        self._device.write(self._checks, 0)
        self._follow(steps)
        self.decoder.close()
        for k, name in enumerate(code_order(self._manifest)):
            self._latents[name].add_checks(k, self._checks)
        self.decoder.compare(self._checks)

    def _follow(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Run):
                self._runs[step].launch()
            elif isinstance(step, Dequantize):
                self._latents[step.latent].dequantize(self._tensors[step.output])
            elif isinstance(step, Code):
                self._latents[step.latent].decode(self.decoder)

    def crop(self, n: int, targets: Targets) -> None:
        """Crops the features of a packet to their true sizes."""
        for feature in self._manifest.features:
            full = self._tensors[self._manifest.outputs[feature.name]][n]
            target = targets[feature.name]
            size = (target.shape[1], target.shape[2])
            sides = margins(size, (full.shape[1], full.shape[2]), self._manifest.padding)
            place_planes(self._device, full, target, top=-sides[0], left=-sides[2])


class DeviceDecoder:
    """Decodes batches of packets on a device; any thread may use it.

    Args:
        machine: The engine, ready to run.
    """

    def __init__(self, machine: DeviceMachine) -> None:
        self._machine = machine
        self._manifest = machine.manifest
        self.device = machine.device

    def with_step(self, packet: OpenedPacket) -> SteppedPacket:
        """Finds the steps of a packet; BitstreamError if they do not go with the engine."""
        head = packet.head
        if not head.importance:
            return SteppedPacket(packet, PictureStep(head.step, None))
        try:
            maps = StepMaps(self._manifest, head.step, head.importance, packet.padded)
        except ConfigError as error:
            raise BitstreamError(f"the packet does not go with its engine: {error}") from error
        return SteppedPacket(packet, PictureStep(head.step, maps))

    def decode_placed(
        self,
        packets: Sequence[SteppedPacket],
        targets: Sequence[Targets],
        on_host: Callable[[], None],
    ) -> None:
        """Decodes packets on the device or on the host (`DeviceMachine.quicker`).

        Args:
            packets: As for `decode`.
            targets: As for `decode`.
            on_host: Decodes them on the host instead, and puts the features where they go.

        Raises:
            FcmrtError: As `decode`.
        """
        if packets:
            total = sum(count_latents(self._manifest, packet.padded) for packet, _ in packets)
            ways: dict[Place, Callable[[], None]] = {
                "cuda": lambda: self.decode(packets, targets),
                "cpu": on_host,
            }
            self._machine.quicker("decode", len(packets), total // len(packets), ways)

    def decode(self, packets: Sequence[SteppedPacket], targets: Sequence[Targets]) -> None:
        """Decodes packets of any sizes; those of the same size and steps as one batch.

        Launches everything, and then waits for the integers. The features are valid in the order of
        the current stream.

        Args:
            packets: Borrowed until the call returns.
            targets: Where to write the features of each packet.

        Raises:
            DriftError: A packet decodes to other integers than its encoder's; `packet_index` is
                the first such packet's.
            ConfigError: The runner's networks cannot read the device's memory.
            InexactRunnerError: The runner is not exact at a packet's size.
        """
        with self._machine.turn():
            batches = [
                (numbers, self._sequence([packets[n] for n in numbers]))
                for numbers in self._batches(packets)
            ]
            waits = []
            for numbers, sequence in batches:
                sequence.steps.load([packets[n].step for n in numbers])
                sequence.decoder.put([_payload(packets[n].packet) for n in numbers])
                sequence.launch_integers()
                statuses = self._machine.device.fetch(sequence.decoder.segments.status)
                sequence.launch_features()
                for row, n in enumerate(numbers):
                    sequence.crop(row, targets[n])
                waits.append((numbers, statuses))
        failed = [
            n
            for numbers, statuses in waits
            for n, status in zip(numbers, statuses()[0], strict=True)
            if status != Status.OK
        ]
        if failed:
            error = DriftError(DRIFT)
            error.packet_index = min(failed)
            raise error

    def _batches(self, packets: Sequence[SteppedPacket]) -> list[list[int]]:
        """Returns the numbers of the packets of each batch."""
        alike: dict[tuple[Size, StepsKey], list[int]] = defaultdict(list)
        for n, (packet, step) in enumerate(packets):
            alike[packet.padded, steps_key(self._manifest, step)].append(n)
        return [
            [numbers[i] for i in share]
            for (padded, _), numbers in alike.items()
            for share in shares(len(numbers), pictures_at_once(self._manifest, padded))
        ]

    def _sequence(self, batch: Sequence[SteppedPacket]) -> DecodeSequence:
        manifest, packets = self._manifest, [packet for packet, _ in batch]
        padded = packets[0].padded
        elements = len(packets) * count_latents(manifest, padded)
        segments = max(len(packet.head.words) for packet in packets)
        key = DecodeKey(
            padded,
            len(packets),
            steps_key(manifest, batch[0].step),
            next(most for most in _SEGMENTS if segments <= most),
            _room(sum(len(p.segments) + len(p.segments) % 2 for p in packets), elements // 2),
            _room(sum(len(p.escapes) for p in packets), elements // 16),
        )
        return self._machine.kept(key, lambda: DecodeSequence(self._machine, key))


def _room(needed: int, usual: int) -> int:
    """Returns a buffer's size: a power of two, so large that one sequence serves most batches."""
    return 1 << max(needed, usual, _LEAST_ROOM - 1).bit_length()


def _payload(packet: OpenedPacket) -> Payload:
    return Payload(packet.segments, packet.head.words, packet.escapes, packet.head.lanes)
