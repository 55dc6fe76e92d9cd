"""Makes `benchmarks` importable without hiding the installed fcmrt behind the source folder.

And lends it the encoders and decoders of the tests of `ondevice`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ondevice.conftest import _cache, engine, strict_device, there  # noqa: F401

if TYPE_CHECKING:
    import torch

    from fcmrt.export.deployment import Deployment

sys.path.append(str(Path(__file__).resolve().parents[2]))


@pytest.fixture(scope="module")
def codec() -> Deployment:
    """The codec of published widths, a small one."""
    from benchmarks import published_codec

    return published_codec.make(small=True)


@pytest.fixture(scope="module")
def levels() -> list[torch.Tensor]:
    """Drawn features for it."""
    import torch

    from benchmarks import published_codec

    found = published_codec.features(small=True)
    return [torch.from_numpy(array)[None] for array in found.values()]
