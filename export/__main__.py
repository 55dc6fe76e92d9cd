"""Command line: from a checkpoint of the training recipe to an engine file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from fcmrt.export.coding import DEFAULT_LEVELS
from fcmrt.export.engine import write
from fcmrt.export.exact import IntegerNetwork, Precision
from fcmrt.export.lmsfc import Lmsfc
from fcmrt.export.lmsfc_engine import deploy_lmsfc
from fcmrt.export.lmsfc_exact import exact_hyper_synthesis, latents_of, tune_hyper_synthesis
from fcmrt.export.train.data import read_pictures
from fcmrt.export.train.loop import load_codec
from fcmrt.export.train.source import FeatureSource
from fcmrt.tasks.nanodet import NanoDet

BATCH = 8  # pictures whose features are made at a time


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export",
        description="Write the averaged weights of a training run as an engine file.",
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of fcmrt.export.train")
    parser.add_argument("--out", type=Path, required=True, help="the engine file, NAME.fcmrt")
    parser.add_argument("--name", default="lmsfc-v1-nanodet", help="name of the engine")
    parser.add_argument("--card", type=Path, help="JSON that becomes the engine's card")
    parser.add_argument("--levels", type=int, nargs="+", default=list(DEFAULT_LEVELS), metavar="D")
    exact = parser.add_argument_group(
        "exact engines",
        "With --calibrate the hyper-synthesis becomes integers carried in floats, and every "
        "machine decodes the engine's packets; without it the engine is same-engine.",
    )
    exact.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="folder with photos/, video/ and models/, as for training; features of its training "
        "pictures calibrate the integers, test pictures are refused",
    )
    exact.add_argument("--pictures", type=int, default=64, help="random crops to calibrate on")
    exact.add_argument("--seed", type=int, default=1, help="of the crops")
    exact.add_argument(
        "--activation-bits",
        type=int,
        default=Precision().activation_bits,
        help="bits of activations; the more, the fewer are left for weights (default: %(default)s)",
    )
    exact.add_argument(
        "--tune", type=int, default=0, metavar="STEPS", help="steps of training the integers"
    )
    return parser.parse_args(arguments)


def calibrate(codec: Lmsfc, args: argparse.Namespace) -> IntegerNetwork:
    """Makes the exact hyper-synthesis from the training pictures of a folder."""
    network = NanoDet(args.calibrate / "models", threads=1)
    pictures = read_pictures(args.calibrate, [])
    source = FeatureSource(pictures, network, seed=args.seed, batch=BATCH)
    batches = (
        [torch.from_numpy(level) for level in source.features(step)]
        for step in range(-(-args.pictures // BATCH))
    )
    latents = latents_of(codec, batches)
    precision = Precision(activation_bits=args.activation_bits)
    exact = exact_hyper_synthesis(codec, latents, precision)
    if args.tune:
        tune_hyper_synthesis(codec, exact, latents, steps=args.tune, seed=args.seed)
    return exact


def main(arguments: list[str] | None = None) -> None:
    """Writes the engine, and says what it is."""
    args = parse(arguments)
    card = json.loads(args.card.read_text(encoding="utf-8")) if args.card else {}
    codec = load_codec(args.checkpoint)
    if not isinstance(codec, Lmsfc):
        raise SystemExit(f"{args.checkpoint}: engines are written of L-MSFC v1 only, so far")
    names = [f"p{3 + level}" for level in range(codec.config.levels)]
    deployment = deploy_lmsfc(codec, names, levels=args.levels)
    if args.calibrate:
        deployment = deployment.with_networks({"hyper_synthesis": calibrate(codec, args)})
    engine = write(args.out, deployment, name=args.name, card=card)
    size = args.out.stat().st_size
    print(f"{args.out}: {engine.manifest.profile}, {size} bytes, digest {engine.digest_hex}")
    for graph, layers in engine.manifest.exact.items():
        for layer, bound in layers.items():
            print(f"  {graph}: sums of {layer} are at most {bound}, {bound / 2**24:.1%} of 2^24")


if __name__ == "__main__":
    main()
