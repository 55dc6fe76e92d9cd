"""Which pictures trained codecs are compared on."""

from __future__ import annotations

import numpy as np

from benchmarks.codecs import whole_first
from benchmarks.evaluation_set import with_crops


def test_whole_photos_come_before_crops() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    items = [*with_crops("a.jpg", image), *with_crops("b.jpg", image)]
    names = [item.name for item in whole_first(items)]
    assert names[:3] == ["a.jpg", "b.jpg", "a.jpg#0"]
    assert sorted(names) == sorted(item.name for item in items)
