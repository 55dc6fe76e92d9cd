"""Packets to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .arrays import Framework, as_outputs, check_framework, from_numpy
from .bitstream import PacketHead, StreamHeader
from .config import Limits, RuntimeOptions
from .engine import Engine
from .errors import BitstreamError, ConfigError, DriftError, ShapeError
from .executor import executor_for
from .kernels.api import StepDecoder
from .observe import Recorder, StageClock
from .packet_reader import OpenedPacket, PacketReader
from .schedule import Code, Dequantize, Run
from .spec import Size, margins, tensor_size
from .walk import Integers, Walk

# The checksum matched, so the bytes are the encoder's; what the coder finds wrong with them can
# only come from other table indexes or means (or from somebody who computed the checksum anew).
_DRIFT = (
    "the packet is intact, but decodes to other integers here than its encoder had: another "
    "device, library, version or thread count computed other means or table indexes. Decode it "
    "where it was made, or use an exact engine"
)


class Decoder:
    """Decodes packets to features.

    One decoder may be used by several threads at once.

    Args:
        engine: The codec; the same engine file as the encoder's.
        header: The stream header, for packets that leave their sizes to it; None: packets tell
            their sizes, or bring their header along.
        options: How the work is done.
        limits: What packets may ask for.
        output: Kind of the arrays given back.
        dtype: Element type of the features given back; None: what the header says the encoder
            was given, float32 without a header.
        recorder: Is told how long each stage takes.

    Raises:
        EngineMismatchError: The header is of another engine.
        RunnerMismatchError: The header is of a same-engine codec that ran on something else.
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
        check_framework(output)
        if dtype not in (None, "float32", "float16"):
            raise ConfigError(f"dtype {dtype!r} is not known; there are 'float32' and 'float16'")
        self.engine = engine
        self.limits = limits or Limits()
        self._executor = executor_for(engine, options or RuntimeOptions())
        self._features = engine.manifest.features
        self._output: Framework = output
        self._dtype = dtype
        self._recorder = recorder
        self.header = header
        self._reader = PacketReader(self._executor, header, self.limits)

    def decode(self, packet: Any, *, out: Any = None) -> Any:
        """Decodes one packet, or several.

        Args:
            packet: A `Packet`, or any bytes-like object, bare or with its stream header in front;
                untrusted. A list or tuple of packets is decoded on as many threads as the options
                say.
            out: Where to write the features: a mapping of level names to arrays `[C, H, W]` of the
                true sizes, float32 or float16, in the CPU's memory; for several packets a sequence
                of such mappings. Borrowed; after an error nothing is known of what they hold.

        Returns:
            A dict of level names to arrays `[C, H, W]`, owned by the caller, of the true sizes, or
            `out`'s own; for several packets a list of them, in order.

        Raises:
            ChecksumError: The packet is damaged, or was made with another engine.
            DriftError: The packet is intact, but this machine came to other integers than the
                encoder's; the features would be wrong.
            LimitExceededError: It asks for more than the limits allow.
            EngineMismatchError: It brings a stream header of another engine.
            RunnerMismatchError: It brings the stream header of a same-engine codec that ran on
                something else.
            InexactRunnerError: The runner here is not exact at the packet's size.
            BitstreamError: It is malformed in another way.
            DTypeError: Not bytes-like; or an array of `out` is not as said here.
            ShapeError: `out` has other levels or sizes than the packet, or another length.

        Determinism: The integers are the encoder's own, or the call fails. The features are those
            of this machine's synthesis network, which is floating point.
        """
        if isinstance(packet, list | tuple):
            return self._decode_batch(packet, out)
        features, clock = self._decode_picture(packet, out)
        clock.report()
        return features

    def _decode_picture(self, packet: Any, out: Any) -> tuple[dict[str, Any], StageClock]:
        clock = StageClock(self._recorder)
        opened = self._reader.read(packet)
        walk = self._decode_integers(opened, clock, stop_early=False)
        sizes, dtype = opened.sizes, self._dtype or opened.dtype
        shapes = {
            spec.name: (spec.channels, *size)
            for spec, size in zip(self._features, sizes, strict=True)
        }
        given = None if out is None else as_outputs(out, shapes)
        outputs = {}
        for spec, size in zip(self._features, sizes, strict=True):
            array = walk.tensors[self.engine.manifest.outputs[spec.name]]
            full = tensor_size(spec.tensor, opened.padded)
            top, _, left, _ = margins(size, full, self.engine.manifest.padding)
            array = array[0, :, top : top + size[0], left : left + size[1]]
            with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity
                if given is not None:
                    np.copyto(given[spec.name], array, casting="same_kind")
                    outputs[spec.name] = out[spec.name]
                else:
                    array = np.ascontiguousarray(array, dtype=dtype)
                    outputs[spec.name] = from_numpy(array, self._output)
        clock.lap("finish")
        clock.stop()
        return outputs, clock

    def _decode_batch(self, packets: Sequence[Any], out: Any) -> list[Any]:
        outs = [None] * len(packets) if out is None else list(out)
        if len(outs) != len(packets):
            raise ShapeError(f"out has {len(outs)} mappings for {len(packets)} packets")

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

    def integers(self, packet: Any) -> dict[str, Integers]:
        """Decodes a packet as far as its integers, without the networks that come after them.

        Args:
            packet: As for `decode`, one packet.

        Returns:
            The integers of every latent, in the order in which they are coded.

        Raises:
            BitstreamError: As `decode`.
        """
        opened = self._reader.read(packet)
        return self._decode_integers(opened, StageClock(None), stop_early=True).integers

    def _walk(self, head: PacketHead, padded: Size, clock: StageClock) -> Walk:
        try:
            return Walk(self._executor, padded, head.step, clock, head.importance)
        except ConfigError as error:
            raise BitstreamError(f"the packet does not go with its engine: {error}") from error

    def _decode_integers(
        self, opened: OpenedPacket, clock: StageClock, *, stop_early: bool
    ) -> Walk:
        manifest, head = self.engine.manifest, opened.head
        walk = self._walk(head, opened.padded, clock)
        decoder = self._executor.kernels.decoder(
            opened.segments, head.words, opened.escapes, head.lanes
        )
        clock.lap("parse")

        last_code = max(n for n, s in enumerate(manifest.decode) if isinstance(s, Code))
        for n, step in enumerate(manifest.decode):
            if isinstance(step, Run):
                walk.run(step)
            elif isinstance(step, Dequantize):
                walk.dequantize(step)
            elif isinstance(step, Code):
                self._decode_latent(walk, step.latent, decoder)
                clock.lap("code")
            if n == last_code:
                # Before the most expensive network, which would turn wrong integers into features.
                self._check_integers(walk, decoder, head.lanes)
                clock.lap("code")
                if stop_early:
                    break
        return walk

    def _decode_latent(self, walk: Walk, name: str, decoder: StepDecoder) -> None:
        latent = self.engine.manifest.latents[name]
        tables = self._executor.tables(latent)
        means, prior, shift = walk.prior(name)
        indexes = self._executor.kernels.shift_indexes(prior, shift, tables.count)
        symbols = np.empty(len(indexes), np.int32)
        try:
            decoder.step(indexes, tables, latent.skip, out=symbols)
        except BitstreamError as error:
            raise DriftError(_DRIFT) from error
        walk.integers[name] = Integers(latent.tables, latent.skip, indexes, symbols, means)

    def _check_integers(self, walk: Walk, decoder: StepDecoder, lanes: int) -> None:
        try:
            found = decoder.finish()
        except BitstreamError as error:
            raise DriftError(_DRIFT) from error
        order = [s.latent for s in self.engine.manifest.decode if isinstance(s, Code)]
        check = walk.check(order)
        if lanes == 1:
            check = (check ^ check >> 16) & 0xFFFF
        if found != check:
            raise DriftError(_DRIFT)
