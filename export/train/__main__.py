"""Command line of the training recipe."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import torch

from fcmrt.export.codecs import PRESETS, Config, config_from
from fcmrt.export.train.arguments import DEFAULT_TASK, add_pictures, add_task, assets_of
from fcmrt.export.train.cache import open_cache
from fcmrt.export.train.card import command_of, machine_of, write_card
from fcmrt.export.train.data import check_split, read_pictures
from fcmrt.export.train.heads import TrainingTask
from fcmrt.export.train.loop import CHECKPOINT, Trainer
from fcmrt.export.train.schedule import TrainOptions
from fcmrt.export.train.source import CachedSource, FeatureSource, Source
from fcmrt.tasks.task import Task


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.train",
        description="Train a feature codec for the features of a task network.",
    )
    add_task(parser)
    add_pictures(parser)
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="train on the features of fcmrt.export.train.cache; no pictures are needed",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    codec = parser.add_mutually_exclusive_group()
    codec.add_argument("--preset", choices=sorted(PRESETS), default="lmsfc-nanodet-light")
    codec.add_argument(
        "--config", type=Path, help='JSON of a codec: {"family": NAME, "config": {...}}'
    )
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument(
        "--minutes",
        type=float,
        default=None,
        help="most minutes that the training may take, its decay and polish included",
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distortion-weight", type=float, default=3.0)
    parser.add_argument(
        "--features-first",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the training that looks at the features alone, before it looks at the task",
    )
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument(
        "--init-from",
        type=Path,
        metavar="FILE",
        help="start with a checkpoint's averaged weights; levels of other sizes start anew",
    )
    parser.add_argument(
        "--only",
        type=int,
        nargs="+",
        default=[],
        metavar="LEVEL",
        help="train these levels' codecs (the finest is 0), with the other levels left uncoded",
    )
    return parser


def make_source(
    args: argparse.Namespace, parser: argparse.ArgumentParser
) -> tuple[TrainingTask, Source, Path, list[str]]:
    """Task, features, the file of the back half, and what was compared to check the split."""
    if args.cache:
        cache, chosen = open_cache(args.cache, args.task)
        cached = CachedSource(cache, seed=args.seed, batch=args.batch)
        return chosen, cached, cache.back, cache.recipe["split"]
    assets = assets_of(args, parser)
    chosen = args.task or DEFAULT_TASK
    task = chosen.task
    pictures = read_pictures(assets, args.extra)
    compared = check_split(assets, pictures)
    network = task.load(assets / "models", 1)  # beside PyTorch's own threads
    source = FeatureSource(pictures, network, seed=args.seed, batch=args.batch, task=task)
    return chosen, source, assets / "models" / f"{task.network}.back.onnx", compared


def config_of(args: argparse.Namespace, task: Task) -> Config:
    """The codec asked for.

    Raises:
        ValueError: It is not for the task's features.
    """
    config = PRESETS[args.preset]
    if args.config:
        config = config_from(**json.loads(args.config.read_text(encoding="utf-8")))
    if config.feature_channels != task.feature_channels:
        raise ValueError(
            f"the codec takes levels of {config.feature_channels} channels, the features of "
            f"{task.name} have {task.feature_channels}"
        )
    return config


def main(arguments: list[str] | None = None) -> None:
    """Trains a codec, or continues a run."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.resume != (args.out / CHECKPOINT).exists():
        lacks = f"{args.out} has no {CHECKPOINT} to go on from"
        holds = f"{args.out} holds a training, which would be lost: go on with --resume, or choose"
        parser.error(lacks if args.resume else f"{holds} another folder")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    chosen, source, back, compared = make_source(args, parser)
    (args.out / "split.txt").write_text("\n".join(compared) + "\n", encoding="utf-8")
    print(*compared, sep="\n", flush=True)
    config = config_of(args, chosen.task)
    options = TrainOptions(
        steps=args.steps,
        minutes=args.minutes,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
        only=tuple(args.only),
        distortion_weight=args.distortion_weight,
        features_first=args.features_first,
        validate_every=args.validate_every,
    )
    trainer = Trainer(config, options, source, chosen.head(back), args.out, args.device)
    if args.resume:
        trainer.resume()
    elif args.init_from:
        trainer.start_from(args.init_from)
    write_card(
        args.out,
        task=chosen.task.name,
        options=options,
        config=config,
        split=compared,
        machine=machine_of(args.device),
        command=command_of(sys.argv[1:] if arguments is None else arguments),
    )
    # SIGTERM ends the run after a step and a checkpoint, for a later --resume.
    signal.signal(signal.SIGTERM, lambda *_: trainer.stop())
    trainer.run()


if __name__ == "__main__":
    main()
