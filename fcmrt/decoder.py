"""Packets to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from .arrays import Framework, as_outputs, check_framework, from_numpy
from .bitstream import (
    PacketHead,
    ParsedPacket,
    StreamHeader,
    byte_view,
    is_self_contained,
    read_header,
    read_packet,
)
from .config import Limits, RuntimeOptions
from .engine import Engine
from .errors import (
    BitstreamError,
    ConfigError,
    DriftError,
    EngineMismatchError,
    LimitExceededError,
    RunnerMismatchError,
    ShapeError,
)
from .executor import RUNNER_NOTE, Integers, Walk, executor_for, runner_digest
from .kernels.api import StepDecoder
from .observe import Recorder, StageClock
from .schedule import Code, Dequantize, Run
from .spec import Size, count_elements, margins, padded_size, tensor_size

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
        self._strides = [f.stride for f in self._features]
        self._output: Framework = output
        self._dtype = dtype
        self._recorder = recorder
        self.header = header
        if header is not None:
            self._check_header(header)

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
        walk, sizes, padded, dtype = self._decode_integers(packet, clock, stop_early=False)
        shapes = {
            spec.name: (spec.channels, *size)
            for spec, size in zip(self._features, sizes, strict=True)
        }
        given = None if out is None else as_outputs(out, shapes)
        outputs = {}
        for spec, size in zip(self._features, sizes, strict=True):
            array = walk.tensors[self.engine.manifest.outputs[spec.name]]
            full = tensor_size(spec.tensor, padded)
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
        return self._decode_integers(packet, StageClock(None), stop_early=True)[0].integers

    def _check_header(self, header: StreamHeader) -> None:
        if header.engine_digest != self.engine.digest:
            raise EngineMismatchError(header.engine_digest.hex(), self.engine.digest.hex())
        profile = self.engine.manifest.profile
        if header.profile != profile:
            raise BitstreamError(
                f"the stream header is of profile {header.profile!r}, but its engine of {profile!r}"
            )
        self._check_runner(header)
        told = [(level.name, level.channels) for level in header.levels]
        if told != [(f.name, f.channels) for f in self._features]:
            raise BitstreamError("the levels of the stream header are not those of its engine")

    def _check_runner(self, header: StreamHeader) -> None:
        here = self._executor.identity
        if header.runner_digest is None or header.runner_digest == runner_digest(here):
            return
        told = dict(header.notes).get(RUNNER_NOTE, "")
        # The note is for people; it counts only if it is what the digest was made from.
        known = told.isprintable() and runner_digest(told) == header.runner_digest
        made = told if known else f"another runner (digest {header.runner_digest.hex()[:16]}...)"
        raise RunnerMismatchError(made, here)

    def _parse(self, packet: Any) -> tuple[ParsedPacket, StreamHeader | None]:
        data = byte_view(packet)
        header = self.header
        if is_self_contained(data):
            header, length = read_header(data, limits=self.limits)
            self._check_header(header)
            data = data[length:]
        parsed = read_packet(data, self.engine.digest, self.limits, levels=len(self._features))
        if parsed.head.lanes == 1 and self.engine.manifest.profile != "exact":
            raise BitstreamError(
                "a packet with one lane has too short a check for an engine that is not exact"
            )
        return parsed, header

    def _level_sizes(
        self, parsed: ParsedPacket, header: StreamHeader | None
    ) -> tuple[tuple[Size, ...], Size]:
        """Returns the sizes of the levels and of the padded finest one, within the limits."""
        manifest = self.engine.manifest
        if parsed.head.geometry is not None:
            sizes = parsed.head.geometry.level_sizes(self._strides)
        elif header is not None and header.sizes is not None:
            sizes = header.sizes
        else:
            raise BitstreamError(
                "the packet leaves its sizes to the stream header: give the decoder that header"
            )
        padded = padded_size(self._features, sizes, manifest.padding)
        total = sum(
            spec.channels * rows * columns
            for spec in self._features
            for rows, columns in [tensor_size(spec.tensor, padded)]
        )
        for latent in manifest.latents.values():
            total += count_elements(latent, manifest.tensors[latent.source], padded)
        if max(padded) > self.limits.max_side or total > self.limits.max_elements:
            raise LimitExceededError(
                f"the packet asks for {total} elements with sides up to {max(padded)}; the limits "
                f"allow {self.limits.max_elements} and {self.limits.max_side}"
            )
        return sizes, padded

    def _walk(self, head: PacketHead, padded: Size, clock: StageClock) -> Walk:
        try:
            return Walk(self._executor, padded, head.step, clock, head.importance)
        except ConfigError as error:
            raise BitstreamError(f"the packet does not go with its engine: {error}") from error

    def _decode_integers(
        self, packet: Any, clock: StageClock, *, stop_early: bool
    ) -> tuple[Walk, tuple[Size, ...], Size, str]:
        manifest = self.engine.manifest
        parsed, header = self._parse(packet)
        sizes, padded = self._level_sizes(parsed, header)
        if parsed.head.step not in manifest.step_numbers:
            raise BitstreamError(f"the packet's step {parsed.head.step} is not in the engine")
        walk = self._walk(parsed.head, padded, clock)
        dtype = self._dtype or (header.levels[0].dtype if header else "float32")
        decoder = self._executor.kernels.decoder(
            parsed.segments, parsed.head.words, parsed.escapes, parsed.head.lanes
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
                self._check_integers(walk, decoder, parsed.head.lanes)
                clock.lap("code")
                if stop_early:
                    break
        return walk, sizes, padded, dtype

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
