"""Command line of the training recipe."""

from __future__ import annotations

import argparse
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import torch

from fcmrt.export.codecs import PRESETS
from fcmrt.export.train.data import FeatureSource, check_split, read_pictures
from fcmrt.export.train.loop import Trainer, TrainOptions
from fcmrt.export.train.loss import Head
from fcmrt.tasks.nanodet import NanoDet


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.train",
        description="Train a feature codec for the features of NanoDet.",
    )
    assets = os.environ.get("FCMRT_ASSETS")
    parser.add_argument(
        "--assets",
        type=Path,
        default=assets,
        required=not assets,
        help="folder with photos/, video/ and models/ (default: FCMRT_ASSETS)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--extra",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a further folder of training pictures; may be given more than once",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="lmsfc-nanodet-light")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distortion-weight", type=float, default=3.0)
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--threads", type=int, default=None, help="threads of PyTorch")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train, or go on training."""
    args = parse(arguments)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(Path(args.assets), args.extra)
    compared = check_split(Path(args.assets), pictures)
    (args.out / "split.txt").write_text("\n".join(compared) + "\n", encoding="utf-8")
    print(*compared, sep="\n", flush=True)

    models = Path(args.assets) / "models"
    network = NanoDet(models, threads=1)  # beside PyTorch's own threads
    source = FeatureSource(pictures, network, seed=args.seed, batch=args.batch)
    options = TrainOptions(
        steps=args.steps,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
        distortion_weight=args.distortion_weight,
        validate_every=args.validate_every,
    )
    trainer = Trainer(
        PRESETS[args.preset], options, source, Head(models / "nanodet.back.onnx"), args.out
    )
    if args.resume:
        trainer.resume()
    card = {"options": asdict(options), "config": trainer.config.to_dict(), "split": compared}
    (args.out / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    # SIGTERM ends the run after a step and a checkpoint, for a later --resume.
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    trainer.run()


if __name__ == "__main__":
    main()
