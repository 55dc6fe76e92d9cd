"""Random inputs of a task network: crops, scales, mirror images and colours of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fcmrt.export.train.data import Picture, Pictures
    from fcmrt.tasks.task import Float32, Task

# How often a picture comes from the photos or from each clip.
SOURCE_WEIGHTS = {"photos": 0.70, "vtest": 0.17, "tree": 0.08, "carphone": 0.05}


class Canvas(NamedTuple):
    """One input of a task's network."""

    pixels: Float32
    """float32 [1, 3, S, S], S the side of the input; owned."""
    shown: tuple[str, ...]
    """Names of the photos in it, and "clip NAME" for frames: those of one clip look alike."""


def random_canvas(pictures: Pictures, rng: np.random.Generator, task: Task) -> Canvas:
    """Draws one input of the task's network.

    A whole picture or a random crop, letterboxed at the top left; sometimes four of them.
    """
    side = task.input_size
    x = np.zeros((1, 3, side, side), np.float32)
    parts = [x]
    if rng.random() < 0.15:
        half = side // 2
        corners = ((0, 0), (0, half), (half, 0), (half, half))
        parts = [x[:, :, top : top + half, left : left + half] for top, left in corners]
    return Canvas(x, tuple(_place(part, pictures, rng, task) for part in parts))


def _place(x: Float32, pictures: Pictures, rng: np.random.Generator, task: Task) -> str:
    """Fill `x` with a random picture from the top left, changed a little in colour; its name."""
    sources = [name for name in SOURCE_WEIGHTS if pictures.source(name)]
    weights = np.array([SOURCE_WEIGHTS[name] for name in sources])
    chosen = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
    source = pictures.source(chosen)
    number = int(rng.integers(len(source)))
    image = source[number]
    box = _random_box(image.shape[0], image.shape[1], rng)
    longest = x.shape[-1] if rng.random() < 0.75 else int(rng.uniform(0.5, 1.0) * x.shape[-1])
    patch = _resized(image, box, longest)
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    patch = _jittered(patch, rng)
    x[:, :, : patch.shape[0], : patch.shape[1]] = task.normalise(patch)
    return sorted(pictures.photos)[number] if chosen == "photos" else f"clip {chosen}"


def _random_box(
    height: int, width: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the whole picture (one in three) or of a random crop."""
    if rng.random() < 0.35:
        return 0.0, 0.0, float(width), float(height)
    area = rng.uniform(0.1, 1.0) * height * width
    aspect = np.exp(rng.uniform(-0.6, 0.6)) * np.sqrt(width / height)
    w = float(np.clip(np.sqrt(area * aspect), min(96, width), width))
    h = float(np.clip(np.sqrt(area / aspect), min(96, height), height))
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, top, left + w, top + h


def _resized(image: Picture, box: tuple[float, float, float, float], longest: int) -> Picture:
    from PIL import Image

    w, h = box[2] - box[0], box[3] - box[1]
    scale = longest / max(w, h)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size, bilinear, box, reducing_gap=2.0))


def _jittered(patch: Picture, rng: np.random.Generator) -> Picture:
    """Change brightness, contrast and the balance of colours, seldom to grey."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    offset = rng.uniform(-20, 20)
    mixed = patch.astype(np.float32)
    saturation = rng.uniform(0.6, 1.3) if rng.random() < 0.95 else 0.0
    grey = mixed.mean(-1, keepdims=True)
    mixed = (grey + (mixed - grey) * saturation - 128) * gain.astype(np.float32) + 128 + offset
    return np.clip(mixed, 0, 255).astype(np.uint8)
