"""`fcmrt decode`: the features back out of an .fcm file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomicfile import replacing
from ..config import Limits
from ..container import Reader
from ..errors import BitstreamError, ConfigError
from .inputs import add_engine_argument, load_engine
from .outputs import check_output, report_to
from .runtime import add_runtime_arguments, options_of
from .stream import add_limits_argument, open_stream, text_with_option
from .task import TASKS, Detector, detections_dict, picture_size_of
from .text import count, counted, printable

if TYPE_CHECKING:
    import numpy.typing as npt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("input", metavar="IN.fcm", help="file to read")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.npz|DIR",
        help="where the features go: an .npz for one packet, a folder for any number "
        "(00000.npz, ...); may be left out with --task",
    )
    add_engine_argument(parser)
    add_limits_argument(parser)
    parser.add_argument("--packet", metavar="N", type=int, help="only this packet, counted from 0")
    parser.add_argument("--task", choices=TASKS, help="network whose back half takes the features")
    parser.add_argument(
        "--threshold", metavar="S", type=float, default=0.4, help="least score shown (default: 0.4)"
    )
    parser.add_argument(
        "--json", action="store_true", help="detections as JSON, one line per packet"
    )
    add_runtime_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Decodes a file, or one packet of it."""
    from ..decoder import Decoder

    if args.output is None and args.task is None:
        raise ConfigError("nothing to do: say where the features go (-o), or what to run (--task)")
    if args.json and args.task is None:
        raise ConfigError("--json writes detections; it needs --task")
    report = report_to(args.output)
    options, limits = options_of(args), Limits(max_elements=args.max_elements)
    engine = load_engine(args.engine)
    with open_stream(Path(args.input), limits, engine) as reader:
        decoder = Decoder(engine, header=reader.header, options=options, limits=limits)
        _warn_of_damage(reader)
        failed = reader.skipped_bytes > 0 and args.packet is None
        numbers = _numbers(args.packet, len(reader))
        target = None
        if args.output is not None:
            target = _Target(Path(args.output), numbers, (args.input, args.engine))
        detector = None if args.task is None else Detector()
        for number in numbers:
            try:
                features = decoder.decode(reader[number])
            except BitstreamError as error:
                # The packets are independent of each other: the others may well be intact.
                _warn(f"packet {number} is lost: {text_with_option(error)}")
                failed = True
                continue
            if target is not None:
                target.write(number, features)
            if detector is not None:
                size = picture_size_of(reader.header, number)
                found = detections_dict(detector.detect(features, size), args.threshold)
                text = _json_line(number, size, found) if args.json else _lines(number, found)
                print(text, file=report)
    if target is not None and not args.json:
        print(target.summary(), file=report)
    return 2 if failed else 0


def _warn_of_damage(reader: Reader) -> None:
    if reader.recovered:
        why = "no index, so the file is still being written or was cut off"
        _warn(f"{why}; {counted(len(reader), 'packet')} found")
    if reader.skipped_bytes:
        damage = f"{count(reader.skipped_bytes)} bytes between packets are damaged"
        _warn(f"{damage}: what they held is lost")


def _warn(text: str) -> None:
    print(f"fcmrt decode: {text}", file=sys.stderr)


def _numbers(wanted: int | None, packets: int) -> list[int]:
    if wanted is None:
        return list(range(packets))
    if not 0 <= wanted < packets:
        raise ConfigError(f"there is no packet {wanted}; the file has {packets}, counted from 0")
    return [wanted]


class _Target:
    """Where the features go: one .npz, or a folder of them.

    Raises:
        ConfigError: The packets do not fit there, or one would overwrite an input.
    """

    def __init__(self, path: Path, numbers: list[int], inputs: Iterable[str | None]) -> None:
        self.path = path
        # Neither file nor folder: a pipe or a device, which takes one packet.
        special = path.exists() and not path.is_file()
        self.single = not path.is_dir() and (path.suffix.lower() == ".npz" or special)
        self.written = 0
        if self.single and not numbers:
            raise ConfigError(f"there is no whole packet in the file, so nothing for {path}")
        if self.single and len(numbers) > 1:
            raise ConfigError(
                f"{len(numbers)} packets do not go into one .npz; give a folder, or choose with "
                "--packet"
            )
        if not self.single and path.is_file():
            raise ConfigError(f"{path} is a file already; features go into an .npz or a folder")
        if not self.single:
            path.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            check_output(self._place(number), inputs)

    def write(self, number: int, features: Mapping[str, npt.NDArray[Any]]) -> None:
        """Writes one packet's features."""
        with replacing(self._place(number)) as file:
            np.savez(file, **features)  # type: ignore[arg-type]
        self.written += 1

    def summary(self) -> str:
        """Says what was written."""
        name = printable(str(self.path))
        if not self.written:
            return f"{name}: nothing was written"
        return f"{name}: features of {counted(self.written, 'packet')}"

    def _place(self, number: int) -> Path:
        return self.path if self.single else self.path / f"{number:05d}.npz"


def _json_line(number: int, size: tuple[int, int], found: list[dict[str, Any]]) -> str:
    picture = {"height": size[0], "width": size[1]}
    return json.dumps({"packet": number, "picture": picture, "detections": found})


def _lines(number: int, found: list[dict[str, Any]]) -> str:
    lines = [f"packet {number}: {counted(len(found), 'detection')}"]
    for row in found:
        x0, y0, x1, y1 = row["box"]
        box = f"({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f})"
        lines.append(f"  {row['score']:.2f}  {row['label']:16} {box}")
    return "\n".join(lines)
