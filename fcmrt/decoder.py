"""Packets to features."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .arguments import instance, method, word
from .arrays import Framework, as_outputs, check_framework, from_numpy
from .bitstream import FEATURE_DTYPES, StreamHeader
from .config import Limits, RuntimeOptions
from .engine import Engine
from .errors import BitstreamError, FcmrtError, ShapeError
from .executor import executor_for
from .observe import Recorder, StageClock
from .ondevice import Delivery, DeviceDecoder, SteppedPacket, machine_for
from .packet_reader import OpenedPacket, PacketReader
from .picture_decoder import PictureDecoder
from .walk import Integers


class Decoder:
    """Decodes packets to features.

    One decoder may be used by several threads at once; pickled, with its engine, it goes to other
    processes.

    Args:
        engine: The codec; the same engine file as the encoder's.
        header: The stream header, for packets that leave their sizes to it; None: packets carry
            their sizes, or bring their header along.
        options: How the work is done.
        limits: What packets may ask for.
        output: Kind of the returned arrays. "torch" tensors are on the GPU if the coder is there,
            "cupy" arrays always.
        dtype: Element type of the returned features; None: that in the header, float32 without a
            header.
        recorder: Receives the duration of each stage.

    Raises:
        EngineMismatchError: The header is of another engine.
        RunnerMismatchError: The header is of a same-engine codec whose encoder had another runner.
        BitstreamError: The header contradicts its engine.
        ConfigError: The header's levels are not the engine's, or an unknown option.
        BackendUnavailableError: A library that the options ask for is not installed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        header: StreamHeader | None = None,
        options: RuntimeOptions | None = None,
        limits: Limits | None = None,
        output: Framework = "numpy",
        dtype: Literal["float32", "float16"] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        instance(engine, Engine, "engine", "load it: Engine.load(path)")
        self.engine = engine
        self.limits = Limits() if limits is None else limits
        instance(self.limits, Limits, "limits")
        options = RuntimeOptions() if options is None else options
        instance(options, RuntimeOptions, "options")
        if header is not None:
            instance(header, StreamHeader, "header")
        if dtype is not None:
            word(dtype, "dtype", FEATURE_DTYPES)
        if recorder is not None:
            method(recorder, "record", "recorder")
        self._options = options
        self._executor = executor_for(engine, options)
        machine = machine_for(self._executor, options)
        check_framework(output, machine is not None)
        self._on_device = None if machine is None else DeviceDecoder(machine)
        self._pictures = PictureDecoder(self._executor)
        self._features = engine.manifest.features
        self._output: Framework = output
        self._dtype = dtype
        self._recorder = recorder
        self.header = header
        self._reader = PacketReader(self._executor, header, self.limits)

    def __reduce__(self) -> tuple[Any, ...]:
        made = functools.partial(
            type(self),
            self.engine,
            header=self.header,
            options=self._options,
            limits=self.limits,
            output=self._output,
            dtype=self._dtype,
            recorder=self._recorder,
        )
        return made, ()

    def decode(self, packet: Any, *, out: Any = None) -> Any:
        """Decodes one packet, or several.

        Args:
            packet: A `Packet`, or any bytes-like object, bare or with its stream header in front;
                untrusted. A list or tuple of packets is decoded on as many threads as the options
                say.
            out: Where to write the features: a mapping of level names to arrays `[C, H, W]` of the
                true sizes, float32 or float16, in the CPU's memory, or in the GPU's if the coder
                is there; for several packets a sequence of such mappings. Borrowed; after an error
                their contents are undefined.

        Returns:
            A dict of level names to arrays `[C, H, W]`, owned by the caller, of the true sizes, or
            `out`'s own; for several packets a list of them, in order.

        Raises:
            ChecksumError: The packet is damaged, or was made with another engine.
            DriftError: The packet is intact, but this machine computed other integers than the
                encoder, so the features would be wrong.
            LimitExceededError: It asks for more than the limits allow.
            EngineMismatchError: It brings a stream header of another engine.
            RunnerMismatchError: It brings the stream header of a same-engine codec whose encoder
                had another runner.
            NonFiniteError: NaN or infinity came out of the networks here, as from features too
                large for the floating point that they run in. (Values that only become infinite by
                being asked for as float16 are returned as infinity.)
            InexactRunnerError: The runner here is not exact at the packet's size.
            BitstreamError: It is malformed in another way.
            DTypeError: Not bytes-like; or an array of `out` is not as described here.
            ShapeError: `out` has other levels or sizes than the packet, or another length.

        With the coder on a GPU, launches go to CuPy's current stream, and features there are valid
        in the order of that stream: the call waits for the integers, not for the features. Packets
        of one canonical size form one batch.

        Determinism: The integers are the encoder's own, or the call fails. The features are those
            of this machine's synthesis network, which is floating point.
        """
        if isinstance(packet, list | tuple):
            if out is not None and not isinstance(out, Sequence):
                raise ShapeError("out must be a sequence of mappings, one for each packet")
            outs = [None] * len(packet) if out is None else list(out)
            if len(outs) != len(packet):
                raise ShapeError(f"out has {len(outs)} mappings for {len(packet)} packets")
            if self._on_device is not None:
                return self._decode_on_device(self._on_device, packet, outs)
            return self._decode_batch(packet, outs)
        if self._on_device is None:
            features, clock = self._decode_picture(packet, out)
            clock.report()
            return features
        try:
            return self._decode_on_device(self._on_device, [packet], [out])[0]
        except BitstreamError as error:
            error.packet_index = None
            raise

    def _decode_picture(self, packet: Any, out: Any) -> tuple[dict[str, Any], StageClock]:
        clock = StageClock(self._recorder)
        opened = self._reader.read(packet)
        clock.lap("parse")
        features = self._pictures.features(opened, clock)
        given = None if out is None else as_outputs(out, self._shapes(opened))
        outputs = {}
        for name, array in features.items():
            with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity
                if given is not None:
                    np.copyto(given[name], array, casting="same_kind")
                    outputs[name] = out[name]
                else:
                    array = np.ascontiguousarray(array, dtype=self._dtype or opened.dtype)
                    outputs[name] = from_numpy(array, self._output)
        clock.lap("finish")
        clock.stop()
        return outputs, clock

    def _shapes(self, opened: OpenedPacket) -> dict[str, tuple[int, ...]]:
        return {
            spec.name: (spec.channels, *size)
            for spec, size in zip(self._features, opened.sizes, strict=True)
        }

    def _decode_batch(self, packets: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        def decode_item(n: int) -> tuple[dict[str, Any], StageClock]:
            try:
                return self._decode_picture(packets[n], outs[n])
            except BitstreamError as error:
                error.packet_index = n
                raise

        batch = []
        for features, clock in self._executor.map(decode_item, range(len(packets))):
            clock.report()
            batch.append(features)
        return batch

    def _decode_on_device(
        self, on_device: DeviceDecoder, packets: Sequence[Any], outs: Sequence[Any]
    ) -> list[Any]:
        clock = StageClock(self._recorder)
        opened: list[SteppedPacket] = []
        failure: FcmrtError | None = None
        for n, packet in enumerate(packets):
            try:
                opened.append(on_device.with_step(self._reader.read(packet)))
            except FcmrtError as error:  # after those that the packets before it may raise
                if isinstance(error, BitstreamError):
                    error.packet_index = n
                failure = error
                break
        clock.lap("parse")
        deliveries = [
            Delivery(
                on_device.device,
                self._shapes(packet),
                out,
                self._dtype or packet.dtype,
                self._output,
            )
            for (packet, _), out in zip(opened, outs, strict=False)
        ]

        def on_host() -> None:
            for n, delivery in enumerate(deliveries):
                try:
                    features = self._pictures.features(opened[n].packet, StageClock(None))
                    delivery.put(features)
                except BitstreamError as error:
                    error.packet_index = n
                    raise

        on_device.decode_placed(opened, [d.targets for d in deliveries], on_host)
        if failure is not None:
            raise failure
        handed_out = [delivery.handed_out() for delivery in deliveries]
        found = []
        for n, get in enumerate(handed_out):
            try:
                found.append(get())
            except BitstreamError as error:
                error.packet_index = n
                raise
        clock.lap("device")
        clock.stop()
        clock.report()
        return found

    def integers(self, packet: Any) -> dict[str, Integers]:
        """Decodes a packet as far as its integers, without the networks that come after them.

        Args:
            packet: As for `decode`, one packet.

        Returns:
            The integers of every latent, in the order in which they are coded.

        Raises:
            BitstreamError: As `decode`.
        """
        return self._pictures.integers(self._reader.read(packet))
