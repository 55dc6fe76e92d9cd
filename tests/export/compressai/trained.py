"""Small models of CompressAI, and pictures to compare them on."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.compressai_models import train
from benchmarks.compressai_samples import untrained
from benchmarks.evaluation_set import Item, shipped_photos, with_crops

LARGEST = 256  # side of the pictures that models are compared on, in pixels

STEPS = {"elic2022-official": 100, "elic2022-chandelier": 100, "bmshj2018-hyperprior-vbr": 350}
OTHERS = 150  # steps of training


def pictures(largest: int = LARGEST) -> list[Item]:
    """The four shipped photos and four crops of each: 20 pictures.

    Args:
        largest: Pixels on a side; the bottom right of larger ones is taken.
    """
    found = [item for name, image in shipped_photos() for item in with_crops(name, image)]
    return [
        Item(item.name, item.group, np.ascontiguousarray(item.image[-largest:, -largest:]))
        for item in found
    ]


def trained(name: str, **options: Any) -> Any:
    """A model trained on crops of the shipped photos, ready to compress.

    Args:
        name: CompressAI's.
        options: Of its class, beside the sizes.
    """
    model = untrained(name, **options)
    images = [image for _, image in shipped_photos()]
    train(model, images, STEPS.get(name, OTHERS))
    return model
