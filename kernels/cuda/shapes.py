"""Launch shapes: how many blocks of how many threads take how much."""

from __future__ import annotations

MAX_PACKETS = 65535
"""Of a batch; the grid's second dimension."""

WARP = 32

THREADS = 256
"""Of a block that goes over elements, or codes segments."""

SEATING_THREADS = 1024
"""Of the one block that seats all segments."""

_TILE = 4 * THREADS  # as elements.cuh has it
_CHUNK = 4 * _TILE
_MOST_CHUNKS = 4096


def chunk_size(capacity: int) -> int:
    """Elements to a block, for rows of so many: so few that a block can add up the others."""
    tiles = -(-capacity // (_MOST_CHUNKS * _TILE))
    return max(_CHUNK, tiles * _TILE)


def chunks(capacity: int) -> int:
    """Blocks for a row of so many elements; one at least."""
    return max(1, -(-capacity // chunk_size(capacity)))


def warp_blocks(warps: int) -> int:
    """Blocks of `THREADS` for so many warps."""
    return max(1, -(-warps * WARP // THREADS))
