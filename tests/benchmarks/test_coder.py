"""The coder's benchmark: our own side of it, and the command as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coder, coder_ours
from benchmarks.coder_ours import Ours
from benchmarks.coder_sources import GAUSSIANS, gaussian_source, gaussian_tables
from fcmrt import kernels
from fcmrt.bitstream import DIGEST_BYTES, read_packet
from fcmrt.config import Limits

ROOT = Path(__file__).resolve().parents[2]


def test_packets_are_whole_and_of_the_layout_asked_for() -> None:
    source = gaussian_source("mid", 20_000, gaussian_tables())
    ours = Ours.of(kernels.get(), source, 3)
    assert (ours.lanes, ours.segments) == (32, 3)
    alone = ours.packet(coder_ours.GEOMETRY)
    parsed = read_packet(alone, bytes(DIGEST_BYTES), Limits())
    assert len(parsed.head.words) == 3
    assert parsed.head.geometry == coder_ours.GEOMETRY
    assert len(alone) - len(ours.packet(None)) == 2  # a byte for each side of the finest level


def test_decoding_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = gaussian_source("mid", 100, gaussian_tables())
    ours = Ours.of(kernels.get(), source)
    ours.checked()
    # What was decoded before is still there, but for one symbol.
    ours.symbols[0][50] += 1
    monkeypatch.setattr(Ours, "decode_into", lambda *_: None)
    with pytest.raises(AssertionError, match="did not decode"):
        ours.checked()


def test_size_rows_count_whole_packets() -> None:
    source = gaussian_source("dense", 5000, gaussian_tables())
    row = coder_ours.size_row(kernels.get(), source, 500, 3)
    assert row["packets"] == 3
    assert row["lanes"] == row["segments"] == 1
    packets = [
        Ours.of(kernels.get(), source.slice(k * row["symbols"], row["symbols"])).packet(None)
        for k in range(3)
    ]
    assert row["bytes"] == pytest.approx(np.mean([len(packet) for packet in packets]))
    assert row["over_percent"] == pytest.approx(100 * (row["bytes"] / row["ideal_bytes"] - 1))
    assert 0.5 < row["over_percent"] < row["over_percent_with_sizes"] < 3


def test_more_threads_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coder.coder_peers, "peers_of", lambda _: ([], []))
    source = gaussian_source("mid", 2000, gaussian_tables())
    found, missing = coder.measure_source(source, None, 2)
    native = coder_ours.implementations()
    assert not missing
    assert [(row["implementation"], row["threads"]) for row in found["rows"]] == [
        (name, threads) for name in native for threads in coder.THREADS
    ]
    assert not any("encode_cycles" in row for row in found["rows"])
    assert [(row["implementation"], row["threads"]) for row in found["threads"]] == [
        (name, 2) for name in native
    ]
    assert all(row["encode"] > 0 and row["decode"] > 0 for row in found["threads"])


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    picture = tmp_path / "coder.png"
    command = [sys.executable, "-m", "benchmarks.coder", "--quick", "--plot", str(picture)]
    done = subprocess.run(
        [*command, "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "benchmarks.coder" in found["command"]
    native = coder_ours.implementations()
    ours = [row for row in found["rows"] if row["coder"] == "fcmrt" and row["threads"] == 1]
    sources = [*GAUSSIANS, "latents", "picture"]
    assert [row["implementation"] for row in ours] == native * len(sources)
    for row in ours:
        assert row["encode_msym_s"] > 0
        assert row["decode_msym_s"] > 0
        assert 1 <= row["bytes"] / row["ideal_bytes"] < 1.01
    for source in sources:
        assert len({row["bytes"] for row in ours if row["source"] == source}) == 1
    for coder_name, version in found["peers"].items():
        named = any(note.startswith(coder_name) for note in found["notes"])
        assert named == (version is None)
    sizes = [row for row in found["sizes"] if row["packet_bytes"] == 500]
    assert all(1.0 < row["over_percent"] < 2.0 for row in sizes)
    assert "table loss, mid" in {row["bar"] for row in found["bars"] if row["met"] == "yes"}
    assert picture.read_bytes().startswith(b"\x89PNG")
