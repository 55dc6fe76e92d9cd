"""Timed calls of the coder's benchmark as rows: coders, ratios to peers, gains of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import report
from .coder_timing import ProcessorClock, Samples, speed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from .coder_peers import Peer
    from .coder_sources import Source
    from .report import Row

DIRECTIONS = ("encode", "decode")
OURS, CLOCK = "fcmrt", "clock"
# Ratios are taken to the best setting of each of these groups.
GROUPS = {
    "compressai": ("compressai", ""),
    "constriction": ("constriction", ""),
    "constriction, a model a symbol": ("constriction", "a deviation a symbol"),
    "torch_ans": ("torch_ans", ""),
    "torch_ans, bytes": ("torch_ans", "bytes"),
}
COLUMNS = {
    "source": "",
    "coder": "",
    "implementation": "",
    "threads": "d",
    "encode_msym_s": ".0f",
    "encode_spread": ".2f",
    "decode_msym_s": ".0f",
    "decode_spread": ".2f",
    "plan_msym_s": ".0f",
    "encode_mb_s": ".0f",
    "decode_mb_s": ".0f",
    "encode_cycles": ".2f",
    "decode_cycles": ".2f",
    "bytes": "d",
    "over_percent": ".3f",
    "table_loss_percent": ".3f",
    "lanes": "d",
    "segments": "d",
}
RATIOS = {
    "source": "",
    "implementation": "",
    "direction": "",
    "peer": "",
    "setting": "",
    "ratio": ".1f",
    "spread": ".2f",
}
SIZES = {
    "source": "",
    "packet_bytes": "d",
    "packets": "d",
    "lanes": "d",
    "segments": "d",
    "over_percent": ".3f",
    "over_percent_with_sizes": ".3f",
}


def coder_row(
    source: Source, samples: Mapping[str, Samples], name: str, size: int, **more: Any
) -> Row:
    """Give the row of one coder.

    Args:
        source: What was coded.
        samples: Of all calls.
        name: Name of the coder's calls.
        size: Bytes that it wrote.
        **more: `coder`, `implementation` and `threads`; ours: `lanes` and `segments`.
    """
    row: Row = {"source": source.name, **more}
    row |= {"symbols": source.coded, "elements": sum(len(s.symbols) for s in source.steps)}
    for direction in DIRECTIONS:
        seconds = samples[f"{name} {direction}"].of(more["threads"])
        figures = speed(seconds, source.coded)
        row[f"{direction}_msym_s"] = figures["median"]
        row[f"{direction}_spread"] = figures["spread"]
        row[f"{direction}_mb_s"] = speed(seconds, size)["median"]
        if CLOCK in samples and more["threads"] == 1:
            hertz = ProcessorClock.cycles / samples[CLOCK].cpu
            row[f"{direction}_cycles"] = float(np.median(seconds * hertz)) / source.coded
    if f"{name} plan" in samples:
        plan = speed(samples[f"{name} plan"].of(more["threads"]), source.coded)
        row["plan_msym_s"] = plan["median"]
    ideal, loss = source.ideal_bytes, source.table_loss
    return {
        **row,
        "rounds": len(samples[f"{name} encode"].cpu),
        "bytes": size,
        "ideal_bytes": ideal,
        "over_percent": 100 * (size / ideal - 1),
        "table_loss_percent": None if loss is None else 100 * loss,
    }


def peer_rows(source: Source, peers: Iterable[Peer], samples: Mapping[str, Samples]) -> list[Row]:
    """Give the rows of peers whose calls were timed."""
    return [
        coder_row(
            source,
            samples,
            f"{peer.coder} {peer.setting}",
            peer.bytes,
            coder=peer.coder,
            implementation=peer.setting,
            threads=1,
        )
        for peer in peers
    ]


def in_group(row: Row, group: str) -> bool:
    """Tell whether a peer's row belongs to a group."""
    coder, ending = GROUPS[group]
    return bool(row["coder"] == coder and row["implementation"].endswith(ending))


def best_settings(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Name, as coder and setting, what is fastest in any group and direction."""
    best = set()
    for group in GROUPS:
        found = [row for row in rows if in_group(row, group)]
        for direction in DIRECTIONS if found else ():
            row = max(found, key=lambda row: row[f"{direction}_msym_s"])
            best.add((row["coder"], row["implementation"]))
    return best


def ratio_rows(source: Source, rows: Sequence[Row], samples: Mapping[str, Samples]) -> list[Row]:
    """Give how many times as fast ours is as the best setting of each peer, round by round."""
    found = []
    for ours in rows:
        if ours["coder"] != OURS or ours["threads"] != 1:
            continue
        for direction in DIRECTIONS:
            mine = samples[f"{OURS} {ours['implementation']} 1 {direction}"].cpu
            for group in GROUPS:
                theirs = [row for row in rows if in_group(row, group)]
                if not theirs:
                    continue
                best = max(theirs, key=lambda row: row[f"{direction}_msym_s"])
                name = f"{best['coder']} {best['implementation']} {direction}"
                figures = report.median_and_spread(samples[name].cpu / mine)
                found.append(
                    {
                        "source": source.name,
                        "implementation": ours["implementation"],
                        "direction": direction,
                        "peer": group,
                        "setting": best["implementation"],
                        "ratio": figures["median"],
                        "spread": figures["spread"],
                    }
                )
    return found


def thread_rows(
    source: Source, implementation: str, threads: int, samples: Mapping[str, Samples]
) -> Row:
    """Give how many times as fast more threads are as one, by the clock on the wall."""

    def wall(count: int, direction: str) -> NDArray[np.float64]:
        return samples[f"{OURS} {implementation} {count} {direction}"].wall

    row: Row = {"source": source.name, "implementation": implementation, "threads": threads}
    for direction in DIRECTIONS:
        figures = report.median_and_spread(wall(1, direction) / wall(threads, direction))
        row |= {direction: figures["median"], f"{direction}_spread": figures["spread"]}
    return row


def clock_row(source: Source, samples: Samples) -> Row:
    """Give the processor's clock while a source was coded, in GHz."""
    figures = report.median_and_spread(ProcessorClock.cycles / samples.cpu * 1e-9)
    return {"source": source.name, "ghz": figures["median"], "spread": figures["spread"]}
