"""Launch shapes: numbers of blocks and threads, and how much each takes."""

from __future__ import annotations

MAX_PACKETS = 65535
"""Packets of a batch, which are the grid's second dimension."""

WARP = 32

THREADS = 256
"""Threads of a block that goes over elements, or codes segments."""

SEATING_THREADS = 1024
"""Threads of the one block that seats all segments."""

_TILE = 4 * THREADS  # as elements.cuh has it
_CHUNK = 4 * _TILE
_MOST_CHUNKS = 4096


def chunk_size(capacity: int) -> int:
    """Returns the elements of a chunk in rows of `capacity` elements.

    It grows with the row, so that a block need not add up too many counts of earlier chunks.
    """
    tiles = -(-capacity // (_MOST_CHUNKS * _TILE))
    return max(_CHUNK, tiles * _TILE)


def chunks(capacity: int) -> int:
    """Returns the number of chunks in a row of `capacity` elements; at least one."""
    return max(1, -(-capacity // chunk_size(capacity)))


def warp_blocks(warps: int) -> int:
    """Returns how many blocks of `THREADS` hold `warps` warps; at least one."""
    return max(1, -(-warps * WARP // THREADS))
