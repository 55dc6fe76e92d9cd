"""Encodes one picture to its packet, with the host's kernels."""

from __future__ import annotations

from collections.abc import Sequence

from .arrays import FloatArray
from .bitstream import Geometry, Importance, PacketHead, write_packet, write_packet_into
from .config import CodingParams
from .executor import Executor
from .kernels.api import CodedPayload
from .manifest import Manifest
from .observe import Recorder, StageClock
from .packet import Packet
from .schedule import Code
from .spec import Size, padded_size
from .walk import Walk
from .wish import Wish


class PictureEncoder:
    """Encodes pictures of one engine, one by one; any thread may use it.

    Args:
        executor: The engine, ready to run.
        params: Parameters of the entropy coder.
        sizes: Of the levels, in the engine's order, that packets need not carry; None: all carry
            their sizes.
    """

    def __init__(
        self, executor: Executor, params: CodingParams, sizes: Sequence[Size] | None
    ) -> None:
        self._executor = executor
        self._manifest = executor.manifest
        self._digest = executor.engine.digest
        self._params = params
        self._sizes = sizes
        self._least_lanes = least_lanes(self._manifest, params)
        self._code_order = code_order(self._manifest)

    def walk(self, levels: list[FloatArray], d: int, wish: Wish, clock: StageClock) -> Walk:
        """Takes one picture as far as its integers.

        Args:
            levels: `[1, C, H, W]` by level; borrowed as `Walk.take` says.
            d: Number of the quality step.
            wish: What else the call asks for.
            clock: Receives the stages.

        Raises:
            FcmrtError: As `Encoder.encode`.
        """
        walk = self.begun(levels, *wish.first_steps(d), clock)
        walk.follow(self._manifest.encode)
        return wish.granted(walk, d, self._size)

    def begun(
        self, levels: list[FloatArray], d: int, importance: Importance, clock: StageClock
    ) -> Walk:
        """Starts a walk with one picture's features, padded; arguments as for `walk`."""
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        padded = padded_size(self._manifest.features, sizes, self._manifest.padding)
        walk = Walk(self._executor, padded, d, clock, importance)
        walk.take(levels)
        clock.lap("prepare")
        return walk

    def encode(
        self, levels: list[FloatArray], d: int, wish: Wish, pts: int | None, clock: StageClock
    ) -> Packet:
        """Encodes one picture; `pts` is its time, other arguments and errors as for `walk`."""
        packet = self.packet(self.walk(levels, d, wish, clock), pts, clock)
        clock.stop()
        return packet

    def encode_batch(
        self,
        levels: list[FloatArray],
        d: int,
        wish: Wish,
        pts: int | None,
        clock: StageClock,
        recorder: Recorder | None,
    ) -> list[Packet]:
        """Encodes a batch, several pictures at a time.

        Args:
            levels: `[N, C, H, W]` by level, borrowed.
            d: As for `walk`.
            wish: As for `walk`.
            pts: Presentation time of the first picture; the others count up from there.
            clock: Receives the stages of the first picture.
            recorder: Receives the stages of all pictures.

        Raises:
            FcmrtError: As `Encoder.encode`.
        """

        def encode_item(n: int) -> tuple[Packet, StageClock]:
            item_clock = StageClock(recorder) if n else clock
            item_pts = None if pts is None else pts + n
            item = [level[n : n + 1] for level in levels]
            return self.encode(item, d, wish, item_pts, item_clock), item_clock

        packets = []
        for packet, item_clock in self._executor.map(encode_item, range(len(levels[0]))):
            item_clock.report()
            packets.append(packet)
        return packets

    def encode_into(
        self,
        buffer: memoryview,
        levels: list[FloatArray],
        d: int,
        wish: Wish,
        clock: StageClock,
    ) -> int:
        """Encodes one picture to the beginning of a buffer; returns the packet's length.

        Arguments and errors as for `walk`, and ShapeError where the buffer is too small.
        """
        head, payload = self._code(self.walk(levels, d, wish, clock), clock)
        size = write_packet_into(buffer, head, payload.segments, payload.escapes, self._digest)
        clock.lap("pack")
        clock.stop()
        return size

    def packet(self, walk: Walk, pts: int | None, clock: StageClock) -> Packet:
        """Codes the integers of a walk to a packet; ConfigError if the tables cannot code them."""
        packet = Packet(
            self._bytes(walk, clock), pts=pts, elements=count_values(self._manifest, walk.sizes)
        )
        clock.lap("pack")
        return packet

    def _size(self, walk: Walk) -> int:
        return len(self._bytes(walk, StageClock(None)))

    def _bytes(self, walk: Walk, clock: StageClock) -> bytes:
        head, payload = self._code(walk, clock)
        return write_packet(head, payload.segments, payload.escapes, self._digest)

    def _code(self, walk: Walk, clock: StageClock) -> tuple[PacketHead, CodedPayload]:
        """Codes the integers of a walk; returns the packet's fields and payload."""
        lanes, payload = self._executor.kernels.pack(
            walk.code_steps(self._code_order),
            self._params.overhead_permille,
            self._least_lanes,
            walk.check(self._code_order),
        )
        clock.lap("code")
        head = PacketHead(
            lanes=lanes,
            step=walk.d,
            geometry=packet_geometry(self._manifest, walk.sizes, self._sizes),
            words=payload.words,
            escape_bytes=len(payload.escapes),
            importance=walk.importance,
        )
        return head, payload


def least_lanes(manifest: Manifest, params: CodingParams) -> int:
    """Returns the fewest lanes of a packet: with one its check has 16 bits, with more 32."""
    return 1 if manifest.profile == "exact" and params.check_bits == 16 else 2


def code_order(manifest: Manifest) -> list[str]:
    """Returns the names of the latents in the order in which they are coded."""
    return [step.latent for step in manifest.encode if isinstance(step, Code)]


def packet_geometry(
    manifest: Manifest, sizes: Sequence[Size], known: Sequence[Size] | None
) -> Geometry | None:
    """Returns the sizes that a packet has to carry; None: they are those of the stream header."""
    if known is not None and tuple(sizes) == tuple(known):
        return None
    return Geometry.of_levels(sizes, [f.stride for f in manifest.features])


def count_values(manifest: Manifest, sizes: Sequence[Size]) -> int:
    """Returns the number of values in a picture's features."""
    return sum(
        spec.channels * rows * columns
        for spec, (rows, columns) in zip(manifest.features, sizes, strict=True)
    )
