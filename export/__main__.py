"""Command line: from a checkpoint of the training recipe to an engine file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fcmrt.engine import Engine
from fcmrt.export.lmsfc_engine import DEFAULT_LEVELS, write_lmsfc_engine
from fcmrt.export.train.loop import load_codec


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
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Writes the engine, and says what it is."""
    args = parse(arguments)
    card = json.loads(args.card.read_text(encoding="utf-8")) if args.card else {}
    codec = load_codec(args.checkpoint)
    names = [f"p{3 + level}" for level in range(codec.config.levels)]
    write_lmsfc_engine(
        args.out, codec, name=args.name, level_names=names, card=card, levels=args.levels
    )
    engine = Engine.load(args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes, digest {engine.digest_hex}")


if __name__ == "__main__":
    main()
