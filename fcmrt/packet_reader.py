"""Untrusted packets and stream headers, checked against the engine that is to decode them."""

from __future__ import annotations

import dataclasses
from typing import Any

from .bitstream import (
    FeatureDType,
    PacketHead,
    ParsedPacket,
    StreamHeader,
    byte_view,
    is_self_contained,
    read_header,
    read_packet,
)
from .config import Limits
from .demand import demand_of
from .errors import (
    BitstreamError,
    EngineMismatchError,
    RunnerMismatchError,
)
from .executor import Executor
from .spec import Size
from .stream_header import RUNNER_NOTE, runner_digest

# The checksum matched, so the bytes are the encoder's; if the coder finds them wrong, the table
# indexes or means must differ (or somebody has computed the checksum anew).
DRIFT = (
    "the packet is intact, but decodes to other integers here than its encoder had: another "
    "device, library, version or thread count computed other means or table indexes. Decode it "
    "where it was made, or use an exact engine"
)
"""Text of a `DriftError`."""


@dataclasses.dataclass(frozen=True, slots=True)
class OpenedPacket:
    """A packet that the engine may decode, as far as its bytes and sizes show."""

    head: PacketHead
    segments: memoryview
    """A view into the packet, as `ParsedPacket` has it."""
    escapes: memoryview
    """A view into the packet."""
    sizes: tuple[Size, ...]
    """Sizes of the levels."""
    padded: Size
    """Size of the padded finest level."""
    dtype: FeatureDType
    """Element type in the stream header; float32 if there is none."""


class PacketReader:
    """Reads packets for one engine.

    Args:
        executor: The engine that is to decode them, ready to run.
        header: The stream header of packets that do not carry it; None: there is none, and they
            carry their sizes.
        limits: What packets may ask for.

    Raises:
        EngineMismatchError, RunnerMismatchError, BitstreamError: The header belongs to another
            engine, was made with another runner, or contradicts the engine.
    """

    def __init__(self, executor: Executor, header: StreamHeader | None, limits: Limits) -> None:
        self._engine = engine = executor.engine
        self._executor = executor
        self._limits = limits
        self._header = header
        self._features = engine.manifest.features
        self._strides = [f.stride for f in self._features]
        if header is not None:
            self._check_header(header)

    def read(self, packet: Any) -> OpenedPacket:
        """Reads one packet.

        Args:
            packet: Bytes-like, bare or with its stream header in front; borrowed by what is
                returned.

        Raises:
            BitstreamError: As `Decoder.decode`.
            DTypeError: Not bytes-like.
        """
        parsed, header = self._parse(packet)
        sizes, padded = self._level_sizes(parsed, header)
        head = parsed.head
        if head.step not in self._engine.manifest.step_numbers:
            raise BitstreamError(f"the packet's step {head.step} is not in the engine")
        dtype = header.levels[0].dtype if header else "float32"
        return OpenedPacket(head, parsed.segments, parsed.escapes, sizes, padded, dtype)

    def _check_header(self, header: StreamHeader) -> None:
        if header.engine_digest != self._engine.digest:
            raise EngineMismatchError(header.engine_digest.hex(), self._engine.digest.hex())
        profile = self._engine.manifest.profile
        if header.profile != profile:
            raise BitstreamError(
                f"the stream header has the profile {header.profile!r}, its engine {profile!r}"
            )
        self._check_runner(header)
        named = [(level.name, level.channels) for level in header.levels]
        if named != [(f.name, f.channels) for f in self._features]:
            raise BitstreamError("the levels of the stream header are not those of its engine")

    def _check_runner(self, header: StreamHeader) -> None:
        here = self._executor.identity
        if header.runner_digest is None or header.runner_digest == runner_digest(here):
            return
        note = dict(header.notes).get(RUNNER_NOTE, "")
        # The note is for people; it counts only if the digest was made from it.
        known = note.isprintable() and runner_digest(note) == header.runner_digest
        made = note if known else f"another runner (digest {header.runner_digest.hex()[:16]}...)"
        raise RunnerMismatchError(made, here)

    def _parse(self, packet: Any) -> tuple[ParsedPacket, StreamHeader | None]:
        data = byte_view(packet)
        header = self._header
        if is_self_contained(data):
            header, length = read_header(data, limits=self._limits)
            self._check_header(header)
            data = data[length:]
        parsed = read_packet(data, self._engine.digest, self._limits, levels=len(self._features))
        if parsed.head.lanes == 1 and self._engine.manifest.profile != "exact":
            raise BitstreamError(
                "a packet with one lane has too short a check for an engine that is not exact"
            )
        return parsed, header

    def _level_sizes(
        self, parsed: ParsedPacket, header: StreamHeader | None
    ) -> tuple[tuple[Size, ...], Size]:
        """Returns the sizes of the levels and of the padded finest one, within the limits."""
        if parsed.head.geometry is not None:
            sizes = parsed.head.geometry.level_sizes(self._strides)
        elif header is not None and header.sizes is not None:
            sizes = header.sizes
        else:
            raise BitstreamError(
                "the packet leaves its sizes to the stream header: give the decoder that header"
            )
        asked = demand_of(self._engine.manifest, sizes)
        require = self._limits.require
        require("max_side", asked.side, f"the packet asks for a side of {asked.side}")
        require("max_elements", asked.elements, f"the packet asks for {asked.elements} elements")
        return sizes, asked.padded
