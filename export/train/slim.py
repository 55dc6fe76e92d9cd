"""A run as one small file for the repository: averaged weights, configuration, card.

    python -m fcmrt.export.train.slim RUN --out models/NAME.pt

Matrices and kernels are stored as float16, all else (biases, normalisation, priors, the smallest
matrices) as it is; `load_codec` reads it like a checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fcmrt.export.train.card import read_card
from fcmrt.export.train.loop import CHECKPOINT

LARGE = 256  # elements


def slimmed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights, those of the networks' matrices and kernels as float16.

    Tensors that share memory, as those of a codec for all levels do, go on sharing it.

    Raises:
        ValueError: One is beyond the range of float16.
    """
    made: dict[tuple[int, torch.Size], Tensor] = {}
    slim = {}
    for name, weight in weights.items():
        key = weight.data_ptr(), weight.shape
        if key not in made:
            small = weight.contiguous()
            large = weight.dim() > 1 and weight.numel() >= LARGE and "prior." not in name
            if weight.is_floating_point() and large:
                small = small.half()
            if not torch.isfinite(small).all():
                raise ValueError(f"{name} has weights beyond the range of float16")
            made[key] = small
        slim[name] = made[key]
    return slim


def write_slim(run: Path, out: Path, about: dict[str, Any]) -> None:
    """Writes the file.

    Args:
        run: Folder of a training run.
        out: The file.
        about: What the card gets besides; for runs from before cards said it.
    """
    state = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    card = read_card(run) | about
    card["result"]["step"] = state["step"]  # the log of a run that goes on may be ahead
    slim = {
        "family": state.get("family", "lmsfc-v1"),
        "config": state["config"],
        "average": slimmed(state["average"]),
        "card": json.dumps(card),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(slim, out)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.train.slim",
        description="Write the averaged weights of a run as a small checkpoint.",
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="the file, NAME.pt")
    parser.add_argument("--machine", help="where it ran, if its card does not say")
    parser.add_argument("--command", help="what made it, if its card does not say")
    args = parser.parse_args(arguments)
    about: dict[str, Any] = {"machines": [args.machine]} if args.machine else {}
    about |= {"command": args.command} if args.command else {}
    write_slim(args.run, args.out, about)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
