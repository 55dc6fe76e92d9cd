"""The description that a training run keeps of itself: `card.json`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fcmrt.export.codecs import Config, family_of
from fcmrt.export.train.log import LOG, Log
from fcmrt.export.train.schedule import TrainOptions
from fcmrt.processor import describe_processor, usable_cores

CARD = "card.json"
PATHS = {"--assets": "DIR", "--extra": "MORE", "--cache": "CACHE", "--out": "RUN"}
"""Options whose values mean nothing on other machines, and the words that replace them."""


def machine_of(device: str) -> str:
    """Returns the machine of a run in words: its accelerator, or processor and cores."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{describe_processor()}, {usable_cores()} cores"


def command_of(arguments: Sequence[str], module: str = "fcmrt.export.train") -> str:
    """The command of a run, with words in the place of folders."""
    shown: list[str] = []
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if shown and shown[-1] in PATHS:
            shown.append(PATHS[shown[-1]])
        elif equals and option in PATHS:
            shown.append(f"{option}={PATHS[option]}")
        elif shown and shown[-1] in {"--config", "--init-from"}:
            shown.append(Path(argument).name)
        else:
            shown.append(argument)
    kept = [argument for argument in shown if argument != "--resume"]
    return shlex.join(["python", "-m", module, *kept])


def write_card(
    out: Path,
    *,
    task: str,
    options: TrainOptions,
    config: Config,
    split: list[str],
    machine: str,
    command: str,
) -> None:
    """Writes the card; a resumed run replaces it, and lists every machine it ran on."""
    path = out / CARD
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    machines = [*before.get("machines", []), machine] if (out / LOG).exists() else [machine]
    card = {
        "task": task,
        "family": family_of(config),
        "options": asdict(options),
        "config": config.to_dict(),
        "split": split,
        "machines": list(dict.fromkeys(machines)),
        "command": command,
    }
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(run: Path) -> dict[str, Any]:
    """The card of a run with what its log says: `result`.

    `result` has `step`, `hours` of training, the mean `loss` of the last 500 steps before the
    polish, and the last `validation` (None where there was none).
    """
    card: dict[str, Any] = json.loads((run / CARD).read_text(encoding="utf-8"))
    rows = Log(run).rows()
    losses = [row["loss"] for row in rows if "nmse" in row][-10:]
    validated = [row["validation"] for row in rows if "validation" in row]
    card["result"] = {
        "step": rows[-1]["step"],
        "hours": max(row.get("seconds", 0.0) for row in rows) / 3600,
        "loss": sum(losses) / len(losses) if losses else None,
        "validation": validated[-1] if validated else None,
    }
    return card
