"""Compares CompressAI's models with the engines made of them: integers, features, time and bytes.

python -m benchmarks.zoo [--models NAME ...] [--pictures N] [--repeats N] [--threads N]
                         [--steps N] [--weights DIR] [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fcmrt import Decoder, Encoder, RuntimeOptions
from fcmrt.export import find_family, write
from fcmrt.export.compressai.families import MODELS
from fcmrt.verify import Configuration

from . import report
from .blocks import in_blocks
from .compressai_models import (
    LEARNING_RATE,
    WIDE_VARIABLE_LEARNING_RATE,
    make,
    planes,
    train,
)
from .evaluation_set import photos, whole_first
from .teacher_forced import against_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .report import Row

HEIGHT, WIDTH = 512, 768
PICTURES, REPEATS, THREADS, STEPS = 4, 5, 2, 60
QUICK_PICTURES, QUICK_REPEATS, QUICK_STEPS = 1, 1, 2
QUICK_SIZE = (128, 192)
COMPARED, QUICK_COMPARED, COMPARED_SIZE = 24, 2, (192, 256)
RATE = 4  # of the variable-rate models, whose quantisation offsets the engine has

PUBLISHED: dict[str, dict[str, Any]] = {
    **{name: {"N": 128, "M": 192} for name in MODELS},
    "cheng2020-anchor-checkerboard": {"N": 128},
    **{
        name: {"N": 192, "M": 320}
        for name in MODELS
        if name.startswith("elic2022-") or name.endswith("-vbr")
    },
}
QUICK_SIZES: dict[str, dict[str, Any]] = {
    **{name: {"N": 16, "M": 24} for name in MODELS},
    "cheng2020-anchor-checkerboard": {"N": 16},
    "elic2022-official": {"N": 16, "M": 24, "groups": [4, 4, 4, 4, 8]},
    "elic2022-chandelier": {"N": 16, "M": 24, "groups": [4, 4, 4, 4, 8]},
}
COLUMNS = {
    "model": "",
    "encode_ms": ".1f",
    "compress_ms": ".1f",
    "decode_ms": ".1f",
    "decompress_ms": ".1f",
    "faster": ".2f",
    "bytes": ".0f",
    "strings": ".0f",
    "bytes_ratio": ".4f",
    "symbols": "d",
    "differing": "d",
    "ties": "d",
    "features": ".1e",
}


def cut(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Give the middle of a picture, mirrored at its borders where it is too small."""
    missing = [
        max(0, size - have) for size, have in zip((height, width), image.shape, strict=False)
    ]
    image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


@torch.inference_mode()
def compare(
    name: str,
    model: Any,
    pictures: Sequence[NDArray[np.float32]],
    repeats: int,
    threads: int,
    compared: Sequence[NDArray[np.float32]],
) -> Row:
    """Time a model and its engine in blocks, count bytes, and compare their networks.

    Args:
        name: CompressAI's.
        model: Trained.
        pictures: float32 `[3, H, W]`, of a size that needs no padding.
        repeats: How often each picture is taken.
        threads: Of both.
        compared: Pictures on which symbols and features are compared.
    """
    variable = name.endswith("-vbr")
    deployment = find_family(name)(model.state_dict(), **({"rate": RATE} if variable else {}))
    options = {"s": RATE} if variable else {}
    with tempfile.TemporaryDirectory() as folder:
        engine = write(Path(folder) / "model.fcmrt", deployment, name=name, half_weights=False)
    runtime = RuntimeOptions(threads=threads)
    level = engine.manifest.features[0].name
    (networks,) = against_networks(
        engine,
        deployment,
        [{level: picture} for picture in compared],
        [Configuration("onnxruntime", runtime)],
    )
    encoder, decoder = Encoder(engine, options=runtime), Decoder(engine, options=runtime)
    tensors = [torch.from_numpy(x)[None] for x in pictures]
    packets = [encoder.encode(x) for x in pictures]
    made = [model.compress(x, **options) for x in tensors]
    calls: dict[str, Callable[[int], object]] = {
        "encode": lambda k: encoder.encode(pictures[k]),
        "compress": lambda k: model.compress(tensors[k], **options),
        "decode": lambda k: decoder.decode(packets[k]),
        "decompress": lambda k: model.decompress(made[k]["strings"], made[k]["shape"], **options),
    }
    times = in_blocks(calls, repeats * len(pictures), len(pictures))
    ours = sum(len(packet) for packet in packets)
    theirs = sum(len(string) for one in made for of_all in one["strings"] for string in of_all)
    found = {f"{key}_ms": float(np.median(values)) for key, values in times.items()}
    return {
        "model": name,
        **found,
        "faster": (found["compress_ms"] + found["decompress_ms"])
        / (found["encode_ms"] + found["decode_ms"]),
        "profile": engine.manifest.profile,
        "bytes": ours / len(pictures),
        "strings": theirs / len(pictures),
        "bytes_ratio": ours / theirs,
        **{key: networks[key] for key in ("symbols", "differing", "ties", "features")},
        "best": {f"{key}_ms": min(values) for key, values in times.items()},
    }


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    quick = arguments.quick
    steps = arguments.steps or (QUICK_STEPS if quick else STEPS)
    repeats = arguments.repeats or (QUICK_REPEATS if quick else REPEATS)
    count = arguments.pictures or (QUICK_PICTURES if quick else PICTURES)
    height, width = QUICK_SIZE if quick else (HEIGHT, WIDTH)
    torch.set_num_threads(arguments.threads)
    found = photos(crops=False, limit=count)
    images = [item.image for item in found.items]
    more = whole_first(photos().items)[: QUICK_COMPARED if quick else COMPARED]
    compared = [planes(cut(item.image, *COMPARED_SIZE)) for item in more]
    pictures = [planes(cut(image, height, width)) for image in images]
    rows = []
    for name in arguments.models:
        report.progress(f"{name}: {steps} steps of training")
        model = make(name, (QUICK_SIZES if quick else PUBLISHED)[name])
        kept = arguments.weights and arguments.weights / f"{name}-{count}-{steps}.pt"
        if kept and kept.exists():
            model.load_state_dict(torch.load(kept, weights_only=True))
            model.eval()
        else:
            rate = WIDE_VARIABLE_LEARNING_RATE if name.endswith("-vbr") else LEARNING_RATE
            train(model, images, steps, learning_rate=rate)
            if kept:
                torch.save(model.state_dict(), kept)
        report.progress(f"{name}: {repeats} times {len(pictures)} pictures")
        rows.append(compare(name, model, pictures, repeats, arguments.threads, compared))
    result = report.Report(
        report.command_line("benchmarks.zoo"),
        rows,
        {"threads": arguments.threads, "repeats": repeats, "steps": steps, "size": [height, width]},
        [
            "ms are medians of wall times, in one process, in blocks with pauses between them: "
            "encode, compress, decode, decompress; faster: (compress + decompress) / (encode + "
            "decode)",
            f"weights seeded and trained for {steps} steps on crops of the same pictures; "
            f"{len(pictures)} pictures of {height} x {width}, {found.description}",
            f"variable-rate models at rate {RATE}, with quantisation offsets",
            f"symbols of {len(compared)} pictures of {COMPARED_SIZE[0]} x {COMPARED_SIZE[1]}, each "
            "graph given what the PyTorch networks had before it; ties: of those that differ, how "
            "many were rounded from within 1e-4 of the middle; features: largest difference as a "
            "share of the largest value",
        ],
    )
    return result, report.table(rows, COLUMNS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--pictures", type=report.positive, help=f"default {PICTURES}")
    parser.add_argument("--repeats", type=report.positive, help=f"default {REPEATS}")
    parser.add_argument("--threads", type=report.positive, default=THREADS)
    parser.add_argument("--steps", type=report.positive, help=f"of training; default {STEPS}")
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="keep trained weights here, and take them"
    )
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
