"""Single pictures through x265 and back, by PyAV: all-intra, at a fixed QP."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import av
from av.codec.context import Flags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Preset = Literal["ultrafast", "medium", "slow"]
PixelFormat = Literal["gray10le", "yuv420p"]

THREADS = 2
# By default x265 codes intra pictures 3 below the QP that it is given (ipratio is 1.4).
# The last three only silence it: a key is sent with the picture that says how it was made (info),
# and warnings are given on pictures of few rows.
PARAMETERS = (
    f"ipratio=1:keyint=1:pools={THREADS}:frame-threads=1:info=0:lookahead-slices=0:log-level=0"
)


class Still(NamedTuple):
    """One coded picture."""

    data: bytes
    head: bytes
    """The parameter sets: the same for all pictures of one size and QP; sent once for a stream."""


def encode(frame: av.VideoFrame, preset: Preset, qp: int) -> Still:
    """Code one frame.

    Args:
        frame: In a format that x265 takes, of an even size where chroma is subsampled.
        preset: Of x265.
        qp: Quantiser of the picture, 0 to 51; rate control is off.
    """
    context: Any = av.CodecContext.create("libx265", "w")
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base, context.framerate = Fraction(1, 25), 25
    context.flags |= Flags.global_header
    context.options = {"preset": preset, "x265-params": f"qp={qp}:{PARAMETERS}"}
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    return Still(b"".join(bytes(packet) for packet in packets), bytes(context.extradata))


def decode(still: Still) -> av.VideoFrame:
    """Decode what `encode` returned."""
    context: Any = av.CodecContext.create("hevc", "r")
    context.extradata = still.head
    context.thread_count = 1
    frames: list[av.VideoFrame] = [
        *context.decode(av.Packet(still.data)),
        *context.decode(None),
    ]
    (frame,) = frames
    return frame


def encode_plane(plane: NDArray[np.uint16], preset: Preset, qp: int) -> Still:
    """Code a plane of 10-bit samples, uint16 `[H, W]`, as a picture without chroma."""
    return encode(av.VideoFrame.from_ndarray(plane, format="gray10le"), preset, qp)


def decode_plane(still: Still) -> NDArray[np.uint16]:
    """Decode what `encode_plane` returned: uint16 `[H, W]`."""
    plane: NDArray[np.uint16] = decode(still).to_ndarray(format="gray10le")
    return plane
