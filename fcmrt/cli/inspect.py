"""`fcmrt inspect`: what is in an engine, an .fcm file, a header or a packet."""

from __future__ import annotations

import argparse
from pathlib import Path

from .describe import describe
from .inputs import load_engine
from .listing import listing
from .text import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="any of these; its content says which it is")
    parser.add_argument(
        "--engine",
        metavar="FILE",
        help="the engine of a bare packet (default: the one that comes with fcmrt)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, with everything")


def run(args: argparse.Namespace) -> int:
    """Describes one file."""
    description = describe(Path(args.file), lambda: load_engine(args.engine))
    if args.json:
        print_json(description)
    else:
        print(listing(description))
    return 0
