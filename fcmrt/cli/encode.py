"""`fcmrt encode`: features or pictures into an .fcm file."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..importance import ROI_GAIN
from .inputs import add_engine_argument, is_array_file, load_engine, read_features
from .outputs import check_output, report_to
from .runtime import add_runtime_arguments, options_of
from .task import TASKS, Detector, describe_pictures
from .text import count, counted, printable

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..packet import Packet

    Features = dict[str, npt.NDArray[Any]]

BYTES_PER_VALUE = 4  # ratios are against features in float32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help=".npz with one array per feature level ([C, H, W], or [N, C, H, W] for a batch), "
        ".npy for an engine with one level, or, with --task, a picture",
    )
    parser.add_argument("-o", "--output", metavar="OUT.fcm", required=True, help="file to write")
    add_engine_argument(parser)
    parser.add_argument(
        "--quality",
        metavar="Q",
        type=float,
        help="quality level, 1 is smallest; may be a fraction",
    )
    parser.add_argument(
        "--roi",
        metavar="L,T,R,B",
        action="append",
        type=_box,
        help="box of interest: left, top, right, bottom in fractions of the picture (0 to 1); may "
        "be given several times",
    )
    parser.add_argument(
        "--roi-gain",
        metavar="N",
        type=int,
        help=f"how many steps finer the boxes are coded (default: {ROI_GAIN})",
    )
    parser.add_argument(
        "--level-offset",
        metavar="LEVEL=N",
        action="append",
        type=_offset,
        default=[],
        help="steps to add for a feature level, which must have a latent of its own; negative is "
        "finer",
    )
    parser.add_argument(
        "--importance",
        action="store_true",
        help="give levels and regions the bits that the engine's importance model says they are "
        "worth",
    )
    parser.add_argument(
        "--target-bytes", metavar="N", type=int, help="size that each packet should come close to"
    )
    parser.add_argument("--task", choices=TASKS, help="network whose front half takes the pictures")
    add_runtime_arguments(parser)


def _box(text: str) -> tuple[float, ...]:
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers L,T,R,B") from error
    return left, top, right, bottom


def _offset(text: str) -> tuple[str, int]:
    level, _, offset = text.partition("=")
    try:
        return level, int(offset)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not LEVEL=N") from error


def run(args: argparse.Namespace) -> int:
    """Encodes all inputs into one file."""
    from ..atomicfile import replacing
    from ..container import Writer
    from ..encoder import Encoder

    if args.roi_gain is not None and args.roi is None:
        raise ConfigError("--roi-gain says by how much boxes are finer; give them with --roi")
    options = options_of(args)
    paths = [Path(name) for name in args.inputs]
    _check_kinds(paths, args.task)
    output = Path(args.output)
    check_output(output, [*paths, args.engine])
    engine = load_engine(args.engine)
    if args.task is None:
        levels = [feature.name for feature in engine.manifest.features]
        sources = _features_of_arrays(paths, levels)
    else:
        sources = _features_of_pictures(paths)
    first = next(sources)
    # The sizes go into the header, so packets of these sizes need not repeat them.
    sizes = {name: level.shape[-2:] for name, level in first[1].items()}
    halves = all(level.dtype == "float16" for level in first[1].values())
    encoder = Encoder(
        engine,
        quality=args.quality,
        options=options,
        sizes=sizes,
        dtype="float16" if halves else "float32",
    )
    header = encoder.header
    if args.task is not None:
        from ..demo.photos import picture_size

        header = describe_pictures(header, args.task, [picture_size(path) for path in paths])

    wishes = _wishes(args)
    totals, report = _Totals(), report_to(output)
    with replacing(output) as file, Writer(file, header) as writer:
        for name, features in itertools.chain([first], sources):
            coded = encoder.encode(features, **wishes)
            for packet in coded if isinstance(coded, list) else [coded]:
                writer.write(packet)
                print(totals.add(name, packet), file=report)
    # Pipes and devices have no size.
    written = f", file {count(output.stat().st_size)} bytes" if output.is_file() else ""
    print(f"{printable(args.output)}: {totals.summary()}{written}", file=report)
    return 0


def _wishes(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `Encoder.encode` that every picture gets."""
    wishes = {
        "level_offsets": dict(args.level_offset),
        "roi": args.roi,
        "importance": args.importance or None,
        "target_bytes": args.target_bytes,
    }
    if args.roi_gain is not None:
        wishes["roi_gain"] = args.roi_gain
    return wishes


def _check_kinds(paths: list[Path], task: str | None) -> None:
    """Refuses arrays with a task, and pictures without one, before anything is loaded."""
    for path in paths:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is a folder, pipe or device; inputs are files")
        if not path.is_file():
            raise FileNotFoundError(2, "No such file", str(path))
        if is_array_file(path) and task is not None:
            raise ConfigError(f"{path} holds features already; --task is for pictures")
        if not is_array_file(path) and task is None:
            raise ConfigError(
                f"{path} is not .npz or .npy; if it is a picture, say which network makes features "
                "of it: --task nanodet"
            )


def _features_of_arrays(paths: list[Path], levels: list[str]) -> Iterator[tuple[str, Features]]:
    for path in paths:
        yield path.name, read_features(path, levels)


def _features_of_pictures(paths: list[Path]) -> Iterator[tuple[str, Features]]:
    detector = Detector()
    for path in paths:
        yield path.name, detector.features(path)


class _Totals:
    """Counts packets, bytes and elements for the lines that are printed."""

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        self.elements = 0

    def add(self, name: str, packet: Packet) -> str:
        """Counts one packet and returns its line."""
        elements = packet.elements or 0
        line = f"{self.packets:5d}  {printable(name)}: {_cost(len(packet), elements)}"
        self.packets += 1
        self.bytes += len(packet)
        self.elements += elements
        return line

    def summary(self) -> str:
        """Returns the line for all packets."""
        return f"{counted(self.packets, 'packet')}, {_cost(self.bytes, self.elements)}"


def _cost(size: int, elements: int) -> str:
    ratio = BYTES_PER_VALUE * elements / size if size else 0.0
    rate = 8 * size / elements if elements else 0.0
    return f"{count(size)} bytes, {ratio:.1f}:1, {rate:.4f} bits per element"
