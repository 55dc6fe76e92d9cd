"""`fcmrt decode`: the features back out of an .fcm file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BitstreamError, ConfigError
from .inputs import add_engine_argument, load_engine
from .task import TASKS, Detector, detections_dict, picture_size_of

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
    parser.add_argument("--packet", metavar="N", type=int, help="only this packet, counted from 0")
    parser.add_argument("--task", choices=TASKS, help="network whose back half takes the features")
    parser.add_argument(
        "--threshold", metavar="S", type=float, default=0.4, help="least score shown (default: 0.4)"
    )
    parser.add_argument(
        "--json", action="store_true", help="detections as JSON, one line per packet"
    )


def run(args: argparse.Namespace) -> int:
    """Decodes a file, or one packet of it."""
    from ..container import Reader
    from ..decoder import Decoder

    if args.output is None and args.task is None:
        raise ConfigError("nothing to do: say where the features go (-o), or what to run (--task)")
    if args.json and args.task is None:
        raise ConfigError("--json writes detections; it needs --task")
    engine = load_engine(args.engine)
    failed = 0
    with Reader(args.input) as reader:
        decoder = Decoder(engine, header=reader.header)
        if reader.recovered:
            why = "no index, so the file is still being written or was cut off"
            print(f"fcmrt decode: {why}; {len(reader)} packets found", file=sys.stderr)
        numbers = _numbers(args.packet, len(reader))
        target = None if args.output is None else _Target(Path(args.output), len(numbers))
        detector = None if args.task is None else Detector()
        for number in numbers:
            try:
                features = decoder.decode(reader[number])
            except BitstreamError as error:
                # The packets are independent of each other: the others may well be intact.
                print(f"fcmrt decode: packet {number} is lost: {error}", file=sys.stderr)
                failed += 1
                continue
            if target is not None:
                target.write(number, features)
            if detector is not None:
                size = picture_size_of(reader.header, number)
                found = detections_dict(detector.detect(features, size), args.threshold)
                print(_json_line(number, size, found) if args.json else _lines(number, found))
    if target is not None and not args.json:
        print(target.summary())
    return 2 if failed else 0


def _numbers(wanted: int | None, packets: int) -> list[int]:
    if wanted is None:
        return list(range(packets))
    if not 0 <= wanted < packets:
        raise ConfigError(f"there is no packet {wanted}; the file has {packets}, counted from 0")
    return [wanted]


class _Target:
    """Where the features go: one .npz, or a folder of them."""

    def __init__(self, path: Path, packets: int) -> None:
        self.path = path
        self.single = path.suffix.lower() == ".npz" and not path.is_dir()
        self.written = 0
        if self.single and packets != 1:
            raise ConfigError(
                f"{packets} packets do not go into one .npz; give a folder, or choose with --packet"
            )
        if not self.single:
            path.mkdir(parents=True, exist_ok=True)

    def write(self, number: int, features: Mapping[str, npt.NDArray[Any]]) -> None:
        """Writes one packet's features."""
        with (self.path if self.single else self.path / f"{number:05d}.npz").open("wb") as file:
            np.savez(file, **features)  # type: ignore[arg-type]
        self.written += 1

    def summary(self) -> str:
        """Says what was written."""
        packets = "1 packet" if self.written == 1 else f"{self.written} packets"
        return f"{self.path}: features of {packets}"


def _json_line(number: int, size: tuple[int, int], found: list[dict[str, Any]]) -> str:
    picture = {"height": size[0], "width": size[1]}
    return json.dumps({"packet": number, "picture": picture, "detections": found})


def _lines(number: int, found: list[dict[str, Any]]) -> str:
    lines = [f"packet {number}: {len(found)} detections"]
    for row in found:
        x0, y0, x1, y1 = row["box"]
        box = f"({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f})"
        lines.append(f"  {row['score']:.2f}  {row['label']:16} {box}")
    return "\n".join(lines)
