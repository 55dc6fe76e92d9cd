"""The log of a run, and its curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG = "log.jsonl"


class Log:
    """One JSON object a line: training steps have `loss`, the others `validation`.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row."""
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest first; of rows of a step that a resumed run repeated, the last."""
        lines = (self._folder / LOG).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        last = {(row["step"], "validation" in row): row for row in rows}
        return [last[key] for key in sorted(last)]

    def draw(self) -> None:
        """Draws `curves.png`: the loss, and bytes and distortion of every validated quality."""
        from matplotlib.figure import Figure

        rows = self.rows()
        trained = [row for row in rows if "loss" in row]
        validated = [row for row in rows if "validation" in row]
        figure = Figure(figsize=(12, 7), layout="constrained")
        axes = figure.subplots(2, 2).flat
        axes[0].plot([r["step"] for r in trained], [r["loss"] for r in trained], lw=0.5)
        axes[0].set_title("loss")
        for axis, key in zip(list(axes)[1:], ("bytes", "nmse", "hidden"), strict=True):
            for i, quality in enumerate(validated[0]["validation"]):
                values = [row["validation"][i][key] for row in validated]
                axis.plot([r["step"] for r in validated], values, label=f"d = {quality['d']}")
            axis.set_title(f"validation: {key}")
            axis.set_yscale("log")
            axis.legend()
        figure.savefig(self._folder / "curves.png", dpi=80)
