"""Command line: what the levels of a trained codec are worth to its task.

python -m fcmrt.export.importance CHECKPOINT --cache CACHE --out FILE [--compare-coded]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from fcmrt.export.checkpoint import read_checkpoint
from fcmrt.export.importance import files
from fcmrt.export.importance.make import make_importance
from fcmrt.export.train.arguments import add_task
from fcmrt.export.train.cache import open_cache
from fcmrt.export.train.card import command_of
from fcmrt.export.trained import codec_of


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.importance",
        description="Measure, model and predict what the levels' bits are worth to the task.",
    )
    parser.add_argument("checkpoint", type=Path, help="run with a codec for each level")
    parser.add_argument(
        "--cache", type=Path, required=True, help="cache of fcmrt.export.train.cache"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="file for fcmrt export --importance"
    )
    parser.add_argument("--crops", type=int, default=1200, help="crops to train the predictor on")
    parser.add_argument("--curve-crops", type=int, default=64, help="crops to fit the curves to")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the predictor's training")
    parser.add_argument(
        "--compare-coded",
        action="store_true",
        help="also train a predictor on features that were coded and decoded, as MFIBA does, and "
        "say how well it predicts; it is not kept",
    )
    parser.add_argument("--json", type=Path, help="also write the file's description here")
    parser.add_argument("--seed", type=int, default=0)
    add_task(parser)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Runs the command: writes the file, and prints how well the models fit."""
    given = sys.argv[1:] if arguments is None else arguments
    args = make_parser().parse_args(given)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    cache, chosen = open_cache(args.cache, args.task)
    made = make_importance(
        codec_of(read_checkpoint(args.checkpoint)),
        chosen.head(cache.back),
        cache,
        crops=args.crops,
        curve_crops=args.curve_crops,
        epochs=args.epochs,
        seed=args.seed,
        compare_coded=args.compare_coded,
    )
    about = {**made.about, "command": command_of(given, "fcmrt.export.importance")}
    text = json.dumps(about, indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n", encoding="utf-8")
    files.write(args.out, made.model, made.network, made.sizes, about)


if __name__ == "__main__":
    main()
