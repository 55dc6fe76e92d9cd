"""Pictures and detections at the two ends of a codec: the `--task` of `encode` and `decode`.

The boxes of a detector are in pixels of the picture, so the decoding side must know the picture's
size. The stream header has it; if the pictures of a file differ in size, a note in it has them all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BitstreamError, ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..bitstream import StreamHeader
    from ..tasks.nanodet import Detections

TASKS = ("nanodet",)
SIZES_NOTE = "picture-sizes"
TASK_NOTE = "task"
MAX_NOTE_BYTES = 1024

Size = tuple[int, int]
"""Height and width of a picture, in pixels."""


class Detector:
    """The split detector between picture files, features and boxes."""

    def __init__(self) -> None:
        from ..tasks.nanodet import NanoDet

        self._network = NanoDet()

    def features(self, path: Path) -> dict[str, npt.NDArray[Any]]:
        """Takes one picture file through the front half: level by level `[C, H, W]`."""
        from ..demo.photos import read_photo
        from ..tasks.nanodet import letterbox

        x, _ = letterbox(read_photo(path).pixels)
        return {name: level[0] for name, level in self._network.features(x).items()}

    def detect(self, features: dict[str, npt.NDArray[Any]], size: Size) -> Detections:
        """Takes one picture's decoded features through the back half.

        Args:
            features: Level by level `[C, H, W]`.
            size: Size of the picture.
        """
        from ..tasks.nanodet import INPUT_SIZE

        outputs = self._network.outputs({name: level[None] for name, level in features.items()})
        return self._network.detections(outputs, INPUT_SIZE / max(size), size)


def describe_pictures(header: StreamHeader, task: str, sizes: Sequence[Size]) -> StreamHeader:
    """Adds to a header what made the features, for the side that decodes them.

    Args:
        header: The encoder's header.
        task: Name of the task.
        sizes: Size of every picture, in the order of the packets.

    Raises:
        ConfigError: The sizes differ, and are too many for a note.
    """
    from ..tasks.nanodet import INPUT_SIZE

    notes: tuple[tuple[str, str], ...] = ((TASK_NOTE, task),)
    height, width = sizes[0]
    if len(set(sizes)) > 1:
        height = width = 0
        text = " ".join(f"{w}x{h}" for h, w in sizes)
        if len(text) > MAX_NOTE_BYTES:
            raise ConfigError(
                f"{len(sizes)} pictures of different sizes are too many for one file; "
                "encode them into several files"
            )
        notes += ((SIZES_NOTE, text),)
    return dataclasses.replace(
        header,
        picture_width=width,
        picture_height=height,
        input_width=INPUT_SIZE,
        input_height=INPUT_SIZE,
        notes=header.notes + notes,
    )


def picture_size_of(header: StreamHeader, number: int) -> Size:
    """Returns the size of the picture of packet `number`.

    Raises:
        BitstreamError: The file does not have it.
    """
    if header.picture_width and header.picture_height:
        return header.picture_height, header.picture_width
    sizes = dict(header.notes).get(SIZES_NOTE, "").split()
    size = sizes[number] if number < len(sizes) else ""
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", size)
    if found is None:
        raise BitstreamError(
            f"the file lacks the size of picture {number}; encode with --task to get boxes"
        )
    return int(found[2]), int(found[1])


def detections_dict(found: Detections, threshold: float) -> list[dict[str, Any]]:
    """Returns detections for JSON: label, score, box (x0, y0, x1, y1 in pixels); best first."""
    from ..tasks.nanodet import CLASS_NAMES

    return [
        {
            "label": CLASS_NAMES[label],
            "score": round(float(score), 4),
            "box": [round(float(edge), 1) for edge in box],
        }
        for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True)
        if score >= threshold
    ]
