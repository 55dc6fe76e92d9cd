"""What the coder is meant to reach, and whether this run reached it."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from .coder_ours import EIGHT_THREADS, MEGABYTE, ONE_PAIR, SMALL_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .report import Row

AT_LEAST, AT_MOST, BELOW = ">=", "<=", "<"
_HOLDS = {AT_LEAST: operator.ge, AT_MOST: operator.le, BELOW: operator.lt}
SOURCE = "mid"  # that speeds are compared on
BARS = {"bar": "", "wanted": "", "measured": ".3g", "unit": "", "met": ""}


def bar(what: str, relation: str, limit: float, measured: float | None, unit: str) -> Row:
    """Give one row: what is wanted, what was measured, and `yes`, `no` or `not measured`."""
    verdict = "not measured"
    if measured is not None:
        verdict = "yes" if _HOLDS[relation](measured, limit) else "no"
    return {
        "bar": what,
        "wanted": f"{relation} {limit:g}",
        "measured": measured,
        "unit": unit,
        "met": verdict,
    }


def bars(report: Mapping[str, Any], rows: Sequence[Row]) -> list[Row]:
    """Check a run's figures against the bars.

    Args:
        report: The keys `ratios`, `threads`, `sizes` and `small_packet` of the run.
        rows: Its rows.
    """
    return [
        *_speeds(report["ratios"]),
        *_threads(report["threads"]),
        *_sizes(report["sizes"]),
        *_table_losses(rows),
        *_small_packet(report["small_packet"]),
    ]


def _one(rows: Iterable[Row], key: str, **wanted: object) -> float | None:
    """Give a figure of the row that has these values, None where there is no such row."""
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return float(row[key])
    return None


def _speeds(ratios: Sequence[Row]) -> list[Row]:
    fastest = ratios[0]["implementation"] if ratios else None
    lines = [
        ("decode", fastest, "compressai", 60),
        ("decode", fastest, "torch_ans", 12),
        ("encode", fastest, "compressai", 30),
        ("encode", fastest, "torch_ans", 5),
        ("decode", "avx2", "compressai", 20),
        ("decode", "scalar", "compressai", 8),
    ]
    return [
        bar(
            f"{direction}, {name or 'fastest'}, over the best of {peer}",
            AT_LEAST,
            limit,
            _one(
                ratios,
                "ratio",
                source=SOURCE,
                implementation=name,
                direction=direction,
                peer=peer,
            ),
            "x",
        )
        for direction, name, peer, limit in lines
    ]


def _threads(gains: Sequence[Row]) -> list[Row]:
    return [
        bar(
            f"{direction}, two threads over one",
            AT_LEAST,
            1.7,
            _one(gains, direction, source=SOURCE, threads=2),
            "x",
        )
        for direction in ("encode", "decode")
    ]


def _over(sizes: Sequence[Row], **wanted: object) -> float | None:
    """Give the bytes over ideal of all packets of all sources together, in percent.

    Sources weigh alike: each packet of a size has about the same ideal bytes.
    """
    found = [r for r in sizes if all(r[name] == value for name, value in wanted.items())]
    ideal = sum(row["ideal_bytes"] for row in found)
    return 100 * (sum(row["bytes"] for row in found) / ideal - 1) if found else None


def _sizes(sizes: Sequence[Row]) -> list[Row]:
    lines: list[tuple[str, float, dict[str, object]]] = [
        (f"1 MB, {ONE_PAIR} segments", 0.1, {"packet_bytes": MEGABYTE, "segments": ONE_PAIR}),
        (
            f"1 MB, {EIGHT_THREADS} segments",
            1.0,
            {"packet_bytes": MEGABYTE, "segments": EIGHT_THREADS},
        ),
        ("2 kB, lanes chosen", 0.7, {"packet_bytes": 2000, "chosen": True}),
        ("500 B, lanes chosen", 1.5, {"packet_bytes": 500, "chosen": True}),
    ]
    return [
        bar(f"bytes over ideal, {what}", AT_MOST, limit, _over(sizes, **wanted), "%")
        for what, limit, wanted in lines
    ]


def _table_losses(rows: Sequence[Row]) -> list[Row]:
    return [
        bar(
            f"table loss, {source}",
            AT_MOST,
            0.1,
            _one(rows, "table_loss_percent", source=source, coder="fcmrt"),
            "%",
        )
        for source in ("mid", "dense")
    ]


def _small_packet(rows: Sequence[Row]) -> list[Row]:
    return [
        bar(
            f"{direction}, a packet of {SMALL_SYMBOLS} symbols",
            AT_MOST,
            30,
            rows[0][f"{direction}_us"] if rows else None,
            "us",
        )
        for direction in ("encode", "decode")
    ]
