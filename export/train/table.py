"""The table of the trained codecs in a folder, out of their own cards.

    python -m fcmrt.export.train.table models [--check]

Writes `README.md` there; with `--check` it only says whether that is up to date.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

HEADER = """# Trained codecs

Written by `python -m fcmrt.export.train.table models`. Each file holds averaged weights (large
ones as float16), the configuration and the run's card. `fcmrt export FILE --out ENGINE.fcmrt`
makes an engine of it, with `--calibrate CACHE` an exact one where the codec has an exact form.

The loss is the mean over the last 500 steps before the polish. Bytes, `nmse` (the normalised error
of the features) and `shift` (how far the task network's outputs moved) are from the last validation
at d = 0, on crops of training pictures: they say how training went, not how good the codec is,
which `benchmarks/` measures.

The commands are run from the repository's root, where fcmrt is installed editable:
`pip install -e '.[export]'`.
"""
COLUMNS = (
    "file",
    "codec",
    "features",
    "width",
    "parameters",
    "steps",
    "hours",
    "machine",
    "loss",
    "bytes",
    "nmse",
    "shift",
)


def widths_of(config: dict[str, Any]) -> list[int]:
    """Channels inside the transforms, of each codec there is."""
    if "codecs" in config:
        return [width for codec in config["codecs"] for width in widths_of(codec["config"])]
    return [config["width"]] if "width" in config else []


def row_of(path: Path, state: dict[str, Any], card: dict[str, Any]) -> dict[str, str]:
    """One row, by column; a dash where the card does not say."""
    result = card.get("result", {})
    validations: list[dict[str, float]] = result.get("validation") or []
    validated = next((row for row in validations if row["d"] == 0), {})
    known = {"bytes", "z_bytes", "nmse", "features", "hidden", "d"}
    shift = sum(value for name, value in validated.items() if name not in known)
    parameters = {w.data_ptr(): w.numel() for w in state["average"].values()}

    def number(value: float | None, digits: str) -> str:
        return "–" if value is None else format(value, digits)

    return {
        "file": path.name,
        "codec": state["family"],
        "features": card.get("task", "nanodet"),
        "width": ", ".join(map(str, widths_of(state["config"]))) or "–",
        "parameters": f"{sum(parameters.values()) / 1e6:.2f} M",
        "steps": number(result.get("step"), "d"),
        "hours": number(result.get("hours"), ".1f"),
        "machine": "; ".join(card.get("machines", [])) or "–",
        "loss": number(result.get("loss"), ".2f"),
        "bytes": number(validated.get("bytes"), ".0f"),
        "nmse": number(validated.get("nmse"), ".3f"),
        "shift": number(shift if validated else None, ".3f"),
    }


def make_table(folder: Path) -> str:
    """The text of `README.md` for the checkpoints of a folder."""
    rows, commands = [], []
    for path in sorted(folder.glob("*.pt")):
        state = torch.load(path, weights_only=True, map_location="cpu")
        card = json.loads(state["card"])
        rows.append(row_of(path, state, card))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        command = card.get("command", "(its card does not say)")
        commands.append(f"## {path.name}\n\nSHA-256 `{digest}`, made by\n\n    {command}\n")
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row[column] for column in COLUMNS) + " |" for row in rows]
    return "\n".join([HEADER, *lines, "", *commands])


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.train.table",
        description="Write the table of the trained codecs in a folder.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="fail if the table is not up to date")
    args = parser.parse_args(arguments)
    text, path = make_table(args.folder), args.folder / "README.md"
    if not args.check:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{path} is not up to date: run this command without --check")


if __name__ == "__main__":
    main()
