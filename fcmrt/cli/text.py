"""How the command line writes numbers and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def count(value: int) -> str:
    """Groups digits by thousands: `1 817 088`."""
    return f"{value:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """Counts things: `1 packet`, `2 packets`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def size(value: int) -> str:
    """Writes a size in bytes for the eye: `512 B`, `5.3 kB`, `13.2 MB`."""
    if value < 1000:
        return f"{value} B"
    for unit, scale in (("kB", 1e3), ("MB", 1e6)):
        if value < 1000 * scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value / 1e9:.2f} GB"


def printable(text: str) -> str:
    """Escapes what a terminal would obey rather than show; names and notes are untrusted."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(rows: Iterable[Sequence[str]], *, indent: int = 0, right: Sequence[int] = ()) -> str:
    """Aligns rows in columns.

    Args:
        rows: Cells, the same number in every row; made `printable`.
        indent: Spaces before every line.
        right: Columns that are set flush right (numbers).
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(" " * indent + "  ".join(padded).rstrip())
    return "\n".join(lines)


def print_json(value: Any) -> None:
    """Prints one JSON object, readable, and nothing else."""
    # A character that the encoding of standard output lacks would be replaced by what is not JSON.
    plain = getattr(sys.stdout, "encoding", "utf-8").lower() not in ("utf-8", "utf8")
    print(json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False))
