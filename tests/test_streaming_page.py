"""The code of `docs/streaming.md`, as it stands there: a video is written, read, damaged, timed."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fcmrt

TEXT = Path(__file__).parents[1] / "docs" / "streaming.md"
FRAMES = 5


def make_video(path: Path) -> None:
    """Writes a short video of a moving square at 25 frames a second."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as video:
        track = video.add_stream("mpeg4", rate=25)
        track.width, track.height = 96, 64
        for number in range(FRAMES):
            picture = np.zeros((64, 96, 3), np.uint8)
            picture[20:40, 8 * number : 8 * number + 20] = 255
            video.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        video.mux(track.encode())


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "street.mp4")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    page: dict[str, Any] = {}
    printed = []
    for block in blocks:
        exec(compile(block, str(TEXT), "exec"), page)
        printed.append(capsys.readouterr().out)

    with fcmrt.open("street.fcm") as reader:
        assert not reader.recovered
        base = Fraction(*reader.header.time_base)
        assert [packet.pts * base for packet in reader] == [Fraction(n, 25) for n in range(FRAMES)]
        assert reader.header.sizes == ((52, 52), (26, 26), (13, 13))
    assert printed[1].count("best score") == FRAMES
    assert "5 packets; at 0.1 s number 2 with" in printed[2]
    assert page["lost"] == 1  # the index tells of it, even if what was hit is a length
    assert page["times"].ns.keys() >= {"parse", "code", "finish", "total"}
    assert "total: " in printed[5]
