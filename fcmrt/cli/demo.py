"""`fcmrt demo`: a photo through a split detector, with and without the codec."""

from __future__ import annotations

import argparse
from pathlib import Path

from .inputs import add_engine_argument, load_engine
from .outputs import check_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--image",
        metavar="FILE",
        nargs="+",
        help="pictures to detect objects in (default: one that comes with fcmrt)",
    )
    parser.add_argument("--quality", metavar="Q", type=float, help="quality level, 1 is smallest")
    parser.add_argument(
        "--out", metavar="FILE", default="demo.png", help="picture to write (default: demo.png)"
    )
    parser.add_argument("--no-plot", action="store_true", help="write no picture, only the report")
    parser.add_argument(
        "--detector",
        metavar="DIR",
        help="folder of the detector's two halves (default: those that come with fcmrt)",
    )
    add_engine_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the demo and prints its report."""
    from ..demo.draw import check_target, draw
    from ..demo.photos import SHIPPED, read_photo, shipped_photo
    from ..demo.report import curve_report, report
    from ..demo.run import Demo

    if not args.no_plot:
        check_output(Path(args.out), (*(args.image or ()), args.engine))
        check_target(args.out)
    photos = [read_photo(path) for path in args.image or ()] or [shipped_photo(SHIPPED[0])]
    engine = load_engine(args.engine)
    demo = Demo(engine, quality=args.quality, models_dir=args.detector)
    print(f"NanoDet-g cut in two, {engine.manifest.name} ({engine.digest_hex[:12]}) in between\n")
    results = []
    for photo in photos:
        results.append(demo.run(photo))
        print(report(results[-1]), end="\n\n")
    if args.no_plot:
        return 0
    everyone = [shipped_photo(name) for name in SHIPPED]
    points = demo.curve(everyone)
    print(curve_report(points, len(everyone), demo.quality), end="\n\n")
    draw(args.out, results, points, photos=len(everyone))
    print(f"wrote {args.out}")
    return 0
