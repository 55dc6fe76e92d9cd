"""Every graph of every family is parsed and built by the real TensorRT-RTX."""

from __future__ import annotations

import pytest

from fcmrt.export.engine import write

from ..plans.building import assert_builds
from .samples import SAMPLES, Sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_graph_builds(sample: Sample, tmp_path) -> None:
    assert_builds(write(tmp_path / "small.fcmrt", sample.make(), name="small"), tmp_path)
