"""Writes the coder's golden files: packets' payloads and what they decode to.

    python tests/golden/make_coder.py

A golden file stays as it is for as long as its format version is read: this script refuses to
overwrite one. `tests/kernels/test_golden.py` decodes them all.

NAME.json holds lanes, words, check, the length of the segments, and for each code step the table
set (a file beside it), skip, indexes and symbols. NAME.bin holds the segments, then the escapes.
Where "error" is not null, decoding must raise an error of that name. SHA256SUMS is what
`sha256sum` writes.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fcmrt import kernels
from fcmrt.kernels.api import CodedPayload, CodeStep
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


SETS = {"narrow": tables(NARROW), "mixed": tables(MIXED)}


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


def write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


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
            np.array(s["indexes"], np.uint8),
            reference.prepare(SETS[s["tables"]]),
            s["skip"],
        )
        for s in steps
    ]
    return reference.encode(coded, lanes, segments, check)


def main() -> None:
    rng = random.Random(20250101)
    for name, of in SETS.items():
        write(FOLDER / f"{name}.tables", of.to_bytes())

    def good(name: str, steps: list[dict[str, Any]], lanes: int, segments: int = 1) -> None:
        check = rng.getrandbits(32)
        write_case(name, steps, lanes, encode(steps, lanes, segments, check), check=check)

    good("one-step", [step(rng, "narrow", 150, 0, 0.0)], 1)
    good("one-step-escapes", [step(rng, "mixed", 90, 0, 0.3)], 4)
    good("two-steps", [step(rng, "narrow", 40, 0, 0.02), step(rng, "mixed", 200, 2, 0.02)], 2)
    six = [step(rng, rng.choice(["narrow", "mixed"]), 70, i % 3, 0.05) for i in range(6)]
    good("six-steps-segments", six, 32, 3)
    eleven = [step(rng, "mixed", n, 0, 0.01) for n in (64, 0, 1, 33, 95, 7, 32, 31, 2, 128, 5)]
    good("eleven-steps-segments", eleven, 8, 2)
    good("all-skipped", [step(rng, "mixed", 20, 6, 0.0)], 16)

    base = [step(rng, "narrow", 60, 0, 0.0), step(rng, "mixed", 60, 0, 0.1)]
    whole = encode(base, 2, 1, 0x01020304)
    words = whole.words[0]

    def bad(name: str, error: str, **changes: Any) -> None:
        write_case(f"fails-{name}", base, 2, whole._replace(**changes), error=error)

    bad("words-missing", "TruncatedError", segments=whole.segments[: 8 + 2 * 20], words=(20,))
    bad("words-left", "BitstreamError", segments=whole.segments + b"\0\0", words=(words + 1,))
    bad("small-state", "BitstreamError", segments=b"\xff\xff\0\0" + whole.segments[4:])
    bad("escapes-missing", "TruncatedError", escapes=whole.escapes[:-1])
    bad("escapes-left", "BitstreamError", escapes=whole.escapes + b"\0")
    bad("escape-too-long", "BitstreamError", escapes=b"\x80\0" + whole.escapes[1:])
    bad("escape-too-large", "BitstreamError", escapes=b"\xff\xff\xff\xff\x7f" + whole.escapes)
    wrong = bytes([whole.segments[0] ^ 1]) + whole.segments[1:]
    bad("wrong-state", "BitstreamError", segments=wrong)

    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in FOLDER.iterdir()]
    write(FOLDER / "SHA256SUMS", ("\n".join(sorted(sums, key=lambda s: s[66:])) + "\n").encode())


if __name__ == "__main__":
    main()
