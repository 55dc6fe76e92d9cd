"""The coder's benchmark: its sources, and the command as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coder
from fcmrt import kernels

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "bits"), [("sparse", 0.3), ("mid", 1.4), ("dense", 3.7)])
def test_sources_have_the_bits_they_are_named_for(name: str, bits: float) -> None:
    source = coder.make_source(name, 50_000, coder.gaussian_tables())
    assert source.ideal_bytes * 8 / 50_000 == pytest.approx(bits, rel=0.1)
    assert np.array_equal(source.symbols, coder.make_source(name, 50_000, source.tables).symbols)


@pytest.mark.slow
def test_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.coder", "--quick", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "benchmarks.coder" in found["command"]
    native = [name for name in kernels.available() if name != "reference"]
    ours = [row for row in found["rows"] if row["coder"] == "fcmrt"]
    assert [row["implementation"] for row in ours] == native * len(coder.SOURCES)
    for row in ours:
        assert row["encode_msym_s"] > 0
        assert row["decode_msym_s"] > 0
        assert 1 <= row["bytes"] / row["ideal_bytes"] < 1.01
    for source in coder.SOURCES:
        assert len({row["bytes"] for row in ours if row["source"] == source}) == 1
