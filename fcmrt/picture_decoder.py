"""Decodes one packet to its integers and features, with the host's kernels."""

from __future__ import annotations

import numpy as np

from .arrays import FloatArray, all_finite, require_finite
from .bitstream import PacketHead
from .errors import BitstreamError, ConfigError, DriftError
from .executor import Executor
from .kernels.api import StepDecoder
from .observe import StageClock
from .packet_reader import DRIFT, OpenedPacket
from .schedule import Code, Dequantize, Run
from .spec import Size, margins, tensor_size
from .walk import Integers, Walk


class PictureDecoder:
    """Decodes packets of one engine, one by one; any thread may use it.

    Args:
        executor: The engine, ready to run.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._manifest = executor.manifest

    def features(self, opened: OpenedPacket, clock: StageClock) -> dict[str, FloatArray]:
        """Decodes a packet.

        Args:
            opened: Borrowed until the call returns.
            clock: Receives the stages.

        Returns:
            By level, `[C, H, W]` without padding; views.

        Raises:
            BitstreamError, NonFiniteError, InexactRunnerError: As `Decoder.decode`.
        """
        walk = self._walk_integers(opened, clock, stop_early=False)
        features = {}
        for spec, size in zip(self._manifest.features, opened.sizes, strict=True):
            array = walk.tensors[self._manifest.outputs[spec.name]]
            full = tensor_size(spec.tensor, opened.padded)
            top, _, left, _ = margins(size, full, self._manifest.padding)
            level = array[0, :, top : top + size[0], left : left + size[1]]
            # The whole array first: it is contiguous, and its padding is hardly ever worse.
            if not all_finite(array):
                require_finite(level, spec.name)
            features[spec.name] = level
        return features

    def integers(self, opened: OpenedPacket) -> dict[str, Integers]:
        """Decodes a packet as far as its integers; arguments and errors as for `features`."""
        return self._walk_integers(opened, StageClock(None), stop_early=True).integers

    def _walk(self, head: PacketHead, padded: Size, clock: StageClock) -> Walk:
        try:
            return Walk(self._executor, padded, head.step, clock, head.importance)
        except ConfigError as error:
            raise BitstreamError(f"the packet does not go with its engine: {error}") from error

    def _walk_integers(self, opened: OpenedPacket, clock: StageClock, *, stop_early: bool) -> Walk:
        manifest, head = self._manifest, opened.head
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
        latent = self._manifest.latents[name]
        tables = self._executor.tables(latent)
        means, prior, shift = walk.prior(name)
        indexes = self._executor.kernels.shift_indexes(prior, shift, tables.count)
        symbols = np.empty(len(indexes), np.int32)
        try:
            decoder.step(indexes, tables, latent.skip, out=symbols)
        except BitstreamError as error:
            raise DriftError(DRIFT) from error
        walk.integers[name] = Integers(latent.tables, latent.skip, indexes, symbols, means)

    def _check_integers(self, walk: Walk, decoder: StepDecoder, lanes: int) -> None:
        try:
            found = decoder.finish()
        except BitstreamError as error:
            raise DriftError(DRIFT) from error
        order = [s.latent for s in self._manifest.decode if isinstance(s, Code)]
        check = walk.check(order)
        if lanes == 1:
            check = (check ^ check >> 16) & 0xFFFF
        if found != check:
            raise DriftError(DRIFT)
