"""Writes the coder's golden files: packets' payloads and what they decode to.

    python tests/golden/make_coder.py

A golden file stays as it is for as long as its format version is read: this script adds what is
missing and refuses to change what is there. `tests/kernels/test_golden.py` decodes them all.

NAME.json holds lanes, words, check, the length of the segments, and for each code step the table
set (a file beside it), skip, indexes and symbols. NAME.bin holds the segments, then the escapes.
Where "error" is not null, decoding must raise an error of that name. SHA256SUMS is what
`sha256sum` writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fcmrt import kernels
from fcmrt.kernels.api import CodedPayload, CodeStep, index_dtype
from fcmrt.tables import CdfTables

FOLDER = Path(__file__).parent / "coder"

# Offset and frequencies, the escape's last.
NARROW = [(-1, [2000, 12000, 2000, 384]), (0, [16383, 1]), (-2, [1, 5000, 6382, 5000, 1])]
MIXED = [
    *NARROW,
    (0, [16384]),
    (-8, [100, 200, 400, 800, 1600, 2400, 3000, 3600, 2000, 1200, 600, 300, 100, 50, 25, 8, 1]),
    (1000, [4096, 4096, 4096, 4096]),
]


def tables(rows: list[tuple[int, list[int]]]) -> CdfTables:
    return CdfTables(
        np.array([offset for offset, _ in rows], np.int32),
        np.array([len(freqs) - 1 for _, freqs in rows], np.int32),
        np.concatenate([freqs for _, freqs in rows]).astype(np.uint16),
    )


# Far off, nearly certain, as wide as can be.
EDGES = [
    (-(1 << 24), [16383, 1]),
    ((1 << 24) - 2, [8000, 8383, 1]),
    (0, [16384]),
    (7, [1] * 4095 + [12289]),
    (-8193, [1, 16382, 1]),
]
MANY = [(t - 150, [5000 + t, 11000 - t, 384]) for t in range(300)]

SETS = {
    "narrow": tables(NARROW),
    "mixed": tables(MIXED),
    "edges": tables(EDGES),
    "many": tables(MANY),
}


def step(rng: random.Random, name: str, n: int, skip: int, escapes: float) -> dict[str, Any]:
    """A code step with this share of escapes beside those that cannot be avoided."""
    of = SETS[name]
    indexes = [rng.randrange(of.count) for _ in range(n)]
    symbols = []
    for t in indexes:
        begin, size = int(of.offsets[t]), int(of.sizes[t])
        if t < skip:
            symbols.append(0)
        elif size == 0 or rng.random() < escapes:
            near = rng.choice([begin - 1, begin + size, begin - 70, begin + size + 9000])
            symbols.append(rng.choice([near, near, -(1 << 31), (1 << 31) - 1]))
        else:
            k = rng.choices(range(size), of.table(t)[:-1].tolist())[0]
            symbols.append(begin + k)
    return {"tables": name, "skip": skip, "indexes": indexes, "symbols": symbols}


def listed(name: str, skip: int, indexes: list[int], symbols: list[int]) -> dict[str, Any]:
    return {"tables": name, "skip": skip, "indexes": indexes, "symbols": symbols}


def every_event(name: str) -> dict[str, Any]:
    """A code step with every symbol of every table, and escapes to both sides of each."""
    of = SETS[name]
    elements = [
        (t, symbol)
        for t in range(of.count)
        for symbol in range(int(of.offsets[t]) - 1, int(of.offsets[t] + of.sizes[t]) + 1)
    ]
    return listed(name, 0, [t for t, _ in elements], [symbol for _, symbol in elements])


def write(path: Path, data: bytes) -> None:
    if path.exists():
        assert path.read_bytes() == data, f"{path.name} would change"
        return
    path.write_bytes(data)


def write_case(
    name: str, steps: list[dict[str, Any]], lanes: int, coded: CodedPayload, **more: Any
) -> None:
    case = {
        "lanes": lanes,
        "words": coded.words,
        "segment_bytes": len(coded.segments),
        "check": None,
        "error": None,
        "steps": steps,
    }
    write(FOLDER / f"{name}.json", (json.dumps(case | more) + "\n").encode())
    write(FOLDER / f"{name}.bin", coded.segments + coded.escapes)


def encode(steps: list[dict[str, Any]], lanes: int, segments: int, check: int) -> CodedPayload:
    reference = kernels.get("reference")
    coded = [
        CodeStep(
            np.array(s["symbols"], np.int32),
            np.array(s["indexes"], index_dtype(SETS[s["tables"]].count)),
            reference.prepare(SETS[s["tables"]]),
            s["skip"],
        )
        for s in steps
    ]
    return reference.encode(coded, lanes, segments, check)


def good(
    rng: random.Random, name: str, steps: list[dict[str, Any]], lanes: int, segments: int = 1
) -> None:
    check = rng.getrandbits(32)
    write_case(name, steps, lanes, encode(steps, lanes, segments, check), check=check)


@dataclasses.dataclass
class Broken:
    """Writes cases of a packet that was changed for the worse."""

    steps: list[dict[str, Any]]
    lanes: int
    whole: CodedPayload

    def fails(self, name: str, error: str, **changes: Any) -> None:
        coded = self.whole._replace(**changes)
        write_case(f"fails-{name}", self.steps, self.lanes, coded, error=error)


def common_cases() -> None:
    """Numbers of steps, lanes and segments, and the failures that a decoder looks for."""
    rng = random.Random(20250101)

    good(rng, "one-step", [step(rng, "narrow", 150, 0, 0.0)], 1)
    good(rng, "one-step-escapes", [step(rng, "mixed", 90, 0, 0.3)], 4)
    good(rng, "two-steps", [step(rng, "narrow", 40, 0, 0.02), step(rng, "mixed", 200, 2, 0.02)], 2)
    six = [step(rng, rng.choice(["narrow", "mixed"]), 70, i % 3, 0.05) for i in range(6)]
    good(rng, "six-steps-segments", six, 32, 3)
    eleven = [step(rng, "mixed", n, 0, 0.01) for n in (64, 0, 1, 33, 95, 7, 32, 31, 2, 128, 5)]
    good(rng, "eleven-steps-segments", eleven, 8, 2)
    good(rng, "all-skipped", [step(rng, "mixed", 20, 6, 0.0)], 16)

    base = [step(rng, "narrow", 60, 0, 0.0), step(rng, "mixed", 60, 0, 0.1)]
    whole = encode(base, 2, 1, 0x01020304)
    words = whole.words[0]
    packet = Broken(base, 2, whole)

    packet.fails(
        "words-missing", "TruncatedError", segments=whole.segments[: 8 + 2 * 20], words=(20,)
    )
    packet.fails(
        "words-left", "BitstreamError", segments=whole.segments + b"\0\0", words=(words + 1,)
    )
    packet.fails("small-state", "BitstreamError", segments=b"\xff\xff\0\0" + whole.segments[4:])
    packet.fails("escapes-missing", "TruncatedError", escapes=whole.escapes[:-1])
    packet.fails("escapes-left", "BitstreamError", escapes=whole.escapes + b"\0")
    packet.fails("escape-too-long", "BitstreamError", escapes=b"\x80\0" + whole.escapes[1:])
    packet.fails(
        "escape-too-large", "BitstreamError", escapes=b"\xff\xff\xff\xff\x7f" + whole.escapes
    )
    wrong = bytes([whole.segments[0] ^ 1]) + whole.segments[1:]
    packet.fails("wrong-state", "BitstreamError", segments=wrong)


def hard_cases() -> None:
    """What is rare: every event, certain ones, extremes, the edges of segments, empty packets."""
    rng = random.Random(20250102)

    good(rng, "no-steps", [], 4)
    good(rng, "no-elements", [step(rng, "mixed", 0, 0, 0.0)] * 2, 1, 2)
    good(rng, "one-symbol", [step(rng, "narrow", 1, 0, 0.0)], 32, 2)
    good(rng, "all-escapes", [step(rng, "mixed", 300, 0, 1.0)], 16, 2)
    good(rng, "every-event", [every_event("mixed"), every_event("narrow")], 8)
    good(rng, "every-table", [every_event("many")], 32)
    good(rng, "widest-table", [every_event("edges")], 16)
    good(rng, "certain-symbol", [listed("narrow", 0, [1] * 1500, [0] * 1500)], 32, 2)
    good(rng, "certain-escape", [listed("edges", 0, [2] * 70, [*range(-35, 35)])], 8)
    extremes = [-(1 << 31), (1 << 31) - 1, -(1 << 31) + 1, (1 << 31) - 2, -1, 0, 1 << 24]
    indexes = [t for t in range(len(EDGES)) for _ in extremes]
    good(rng, "extreme-symbols", [listed("edges", 0, indexes, extremes * len(EDGES))], 2)
    edges = [step(rng, "mixed", n, 0, 0.02) for n in (127, 128, 129, 159, 160, 161, 31, 32, 33)]
    good(rng, "segment-edges-lanes-32", edges, 32, 5)
    good(rng, "segment-edges-lanes-16", edges, 16, 4)
    good(rng, "most-segments", [step(rng, "mixed", 300, 2, 0.02)], 2, 256)
    good(
        rng, "skips-in-between", [step(rng, "mixed", 333, skip, 0.02) for skip in (1, 3, 5, 7)], 32
    )


def hard_failures() -> None:
    """Borders of lengths, escapes and indexes; words and seeds where vectors of lanes see them."""
    rng = random.Random(20250103)

    base = [step(rng, "mixed", 50, 0, 0.1)]
    whole = encode(base, 4, 1, 0x01020304)
    packet = Broken(base, 4, whole)
    packet.fails("segments-cut", "TruncatedError", segments=whole.segments[:-1])
    packet.fails("segments-too-long", "BitstreamError", segments=whole.segments + b"\0\0")
    packet.fails("too-many-words-told", "TruncatedError", words=((1 << 32) - 1,))
    packet.fails("no-escapes", "TruncatedError", escapes=b"")
    packet.fails("escape-cut", "TruncatedError", escapes=b"\x80")
    packet.fails("escape-too-small", "BitstreamError", escapes=b"\xff\xff\xff\xff\x1f")
    wrong = [base[0] | {"indexes": [*base[0]["indexes"][:-1], len(MIXED)]}]
    Broken(wrong, 4, whole).fails("index-out-of-range", "BitstreamError")
    skipped = [base[0] | {"indexes": [len(MIXED)] * 50, "skip": 100}]
    Broken(skipped, 4, whole).fails("skipped-index-out-of-range", "BitstreamError")

    skips = [step(rng, "mixed", 20, 6, 0.0)]
    packet = Broken(skips, 4, encode(skips, 4, 2, 0))
    for name, state in (("third-lane", 2), ("second-segment", 4)):
        changed = bytearray(packet.whole.segments)
        changed[4 * state] ^= 1
        packet.fails(f"seed-of-{name}", "BitstreamError", segments=bytes(changed))
    long = [step(rng, "mixed", 1000, 0, 0.0)]
    for lanes in (8, 16, 32):
        whole = encode(long, lanes, 1, 1)
        (words,) = whole.words
        packet = Broken(long, lanes, whole)
        cut = {"segments": whole.segments[:-2], "words": (words - 1,)}
        packet.fails(f"last-word-missing-lanes-{lanes}", "TruncatedError", **cut)
        more = {"segments": whole.segments + b"\0\0", "words": (words + 1,)}
        packet.fails(f"one-word-left-lanes-{lanes}", "BitstreamError", **more)


def main() -> None:
    for name, of in SETS.items():
        write(FOLDER / f"{name}.tables", of.to_bytes())
    common_cases()
    hard_cases()
    hard_failures()
    files = [path for path in FOLDER.iterdir() if path.name != "SHA256SUMS"]
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in files]
    text = "\n".join(sorted(sums, key=lambda s: s[66:])) + "\n"
    (FOLDER / "SHA256SUMS").write_bytes(text.encode())


if __name__ == "__main__":
    main()
