"""Trained codecs: against the networks they were made of, and against CompressAI's way of running.

python -m benchmarks.codecs [CHECKPOINT ...] [--pictures N] [--repeats N] [--quality Q]
                            [--json PATH|-] [--quick]

Each checkpoint of `fcmrt.export.train` (all in models/, unless named) becomes an engine. Step by
step, each step given what the PyTorch networks had before it, symbols and features of every runner
are compared with theirs. Then the whole codec is timed against the same networks in PyTorch with
CompressAI's coder, called as its models call it, in blocks with pauses between them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

import fcmrt
from fcmrt.errors import ConfigError
from fcmrt.export.checkpoint import card_of, read_checkpoint
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.trained import deploy
from fcmrt.spec import padded_size
from fcmrt.tasks.task import TASKS
from fcmrt.verify import Configuration

from . import evaluation_set, report
from .blocks import in_blocks
from .coder_peers import PeerMissingError
from .compressai_path import CompressAiPath
from .evaluation import load_network
from .teacher_forced import against_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fcmrt.export.deployment import Deployment

    from .report import Row

    Features = dict[str, NDArray[np.float32]]

MODELS = Path(__file__).parents[1] / "models"
PICTURES, QUICK_PICTURES = 24, 2
REPEATS, QUICK_REPEATS = 40, 2
RUNNERS = (
    Configuration("onnxruntime", fcmrt.RuntimeOptions()),
    Configuration("torch", fcmrt.RuntimeOptions(runner="torch")),
)
COLUMNS = {
    "codec": "",
    "runner": "",
    "pictures": "d",
    "symbols": "d",
    "differing": "d",
    "ties": "d",
    "features": ".1e",
}
TIME_COLUMNS = {
    "codec": "",
    "system": "",
    "encode_ms": ".2f",
    "encode_spread": ".2f",
    "decode_ms": ".2f",
    "decode_spread": ".2f",
    "bytes": ".0f",
    "encode_ratio": ".2f",
    "decode_ratio": ".2f",
    "ratio": ".2f",
}


class Codec(NamedTuple):
    """A checkpoint made ready, three times over."""

    name: str
    task: str
    deployment: Deployment
    engine: fcmrt.Engine


def load(path: Path, folder: Path) -> Codec:
    """Make a same-engine engine of a checkpoint, and keep the networks it was made of."""
    checkpoint = read_checkpoint(path)
    task = str(card_of(checkpoint).get("task", "nanodet"))
    deployment = with_half_weights(deploy(checkpoint, level_names=TASKS[task].feature_names))
    name = path.stem
    return Codec(name, task, deployment, write(folder / f"{name}.fcmrt", deployment, name=name))


def task_features(name: str, count: int) -> list[Features]:
    """Give features of test pictures, whole photos first: float32 `[C, H, W]` by level.

    Raises:
        FileNotFoundError: The task's network, or a picture, is not there.
    """
    task = TASKS[name]
    network = load_network(task)
    pictures = evaluation_set.whole_first(evaluation_set.photos().items)[:count]
    report.progress(f"{name}: features of {len(pictures)} pictures")
    maps = [network.features(task.letterbox(picture.image)[0]) for picture in pictures]
    return [{level: array[0] for level, array in found.items()} for found in maps]


def compare(codec: Codec, pictures: Sequence[Features], quality: float | None) -> list[Row]:
    """Compare every runner with the PyTorch networks, step by step."""
    found = against_networks(codec.engine, codec.deployment, pictures, RUNNERS, quality)
    return [{"codec": codec.name, **row} for row in found]


def times(
    codec: Codec, pictures: Sequence[Features], quality: float | None, repeats: int
) -> list[Row]:
    """Time encoding and decoding of whole pictures, ours and CompressAI's way, in blocks.

    Raises:
        PeerMissingError: CompressAI is not installed.
    """
    path = CompressAiPath(codec.deployment)
    encoder, decoder = fcmrt.Encoder(codec.engine, quality=quality), fcmrt.Decoder(codec.engine)
    chosen = codec.engine.manifest.quality
    d = chosen.shift(chosen.default if quality is None else quality)
    walk = encoder.walk(pictures[0])
    padded = padded_size(codec.deployment.features, walk.sizes, codec.deployment.padding)
    # Padding is left out of the other's clock.
    levels = [
        [torch.from_numpy(encoder.walk(maps).tensors[f.name]) for f in codec.deployment.features]
        for maps in pictures
    ]
    packets = [encoder.encode(maps) for maps in pictures]
    strings = [path.compress(maps, d, padded) for maps in levels]
    calls: dict[str, Callable[[int], object]] = {
        "fcmrt encode": lambda k: encoder.encode(pictures[k]),
        "compressai encode": lambda k: path.compress(levels[k], d, padded),
        "fcmrt decode": lambda k: decoder.decode(packets[k]),
        "compressai decode": lambda k: path.decompress(strings[k], d, padded),
    }
    taken = in_blocks(calls, repeats, len(pictures))
    sizes = {
        "fcmrt": float(np.mean([len(packet) for packet in packets])),
        "compressai": float(np.mean([sum(map(len, one)) for one in strings])),
    }
    return _time_rows(codec.name, taken, sizes)


def _time_rows(codec: str, taken: dict[str, list[float]], sizes: dict[str, float]) -> list[Row]:
    rows: list[Row] = []
    for system in ("compressai", "fcmrt"):
        encode, decode = (
            report.median_and_spread(taken[f"{system} {way}"]) for way in ("encode", "decode")
        )
        rows.append(
            {
                "codec": codec,
                "system": system,
                "encode_ms": encode["median"],
                "encode_spread": encode["spread"],
                "decode_ms": decode["median"],
                "decode_spread": decode["spread"],
                "bytes": sizes[system],
            }
        )
    theirs, ours = rows
    both = ("encode_ms", "decode_ms")
    ours["encode_ratio"] = theirs["encode_ms"] / ours["encode_ms"]
    ours["decode_ratio"] = theirs["decode_ms"] / ours["decode_ms"]
    ours["ratio"] = sum(theirs[k] for k in both) / sum(ours[k] for k in both)
    return rows


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.

    Raises:
        ConfigError: There is no checkpoint.
    """
    paths = [Path(name) for name in arguments.checkpoints] or sorted(MODELS.glob("*.pt"))
    if not paths:
        raise ConfigError(f"{MODELS} holds no checkpoint, and none was named")
    quick: bool = arguments.quick
    count = arguments.pictures or (QUICK_PICTURES if quick else PICTURES)
    repeats = arguments.repeats or (QUICK_REPEATS if quick else REPEATS)
    rows: list[Row] = []
    timed: list[Row] = []
    engines: list[fcmrt.Engine] = []
    notes = [
        "symbols: integers compared; differing: those that differ from the PyTorch networks'; "
        "ties: of these, how many were rounded from within 1e-4 of the middle",
        "features: largest difference as a share of the level's largest value, each step given "
        "the PyTorch networks' tensors",
        "ratio: time of CompressAI's way over ours, encode and decode together; timed in blocks "
        "with pauses between them",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            codec = load(path, Path(folder))
            try:
                pictures = task_features(codec.task, count)
            except FileNotFoundError as error:
                notes.append(f"{codec.name} was not measured: {error}")
                continue
            engines.append(codec.engine)
            report.progress(f"{codec.name}: {len(pictures)} pictures")
            rows += compare(codec, pictures, arguments.quality)
            try:
                timed += times(codec, pictures, arguments.quality, repeats)
            except PeerMissingError as error:
                notes.append(f"{codec.name} was not timed: {error}")
    result = report.Report(
        report.command_line("benchmarks.codecs"),
        rows,
        {"times": timed, "repeats": repeats},
        notes,
        engines=engines,
    )
    return result, f"{report.table(rows, COLUMNS)}\n\n{report.table(timed, TIME_COLUMNS)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoints", metavar="CHECKPOINT", nargs="*", help="default: models/*.pt")
    parser.add_argument("--pictures", type=report.positive, help=f"test pictures ({PICTURES})")
    parser.add_argument("--repeats", type=report.positive, help=f"timed calls ({REPEATS})")
    parser.add_argument("--quality", type=float, help="quality level; default: the codec's")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
