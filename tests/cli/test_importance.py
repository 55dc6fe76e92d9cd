"""`encode --importance` and `--target-bytes`: the packets of the encoder."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from fcmrt.bitstream import peek_packet

from ..allocating import allocating_parts, picture


@pytest.fixture
def levels(tmp_path):
    names = ("p3", "p4", "p5")
    np.savez(tmp_path / "levels.npz", **dict(zip(names, picture(0), strict=True)))
    (tmp_path / "a.fcmrt").write_bytes(allocating_parts().pack())
    return tmp_path / "levels.npz", "--engine", tmp_path / "a.fcmrt", "-o", tmp_path / "o.fcm"


def test_levels_get_what_they_are_worth(run, levels):
    code, _, err = run("encode", *levels, "--importance", "--quality", "2")
    assert (code, err) == (0, "")
    encoder = fcmrt.Encoder(fcmrt.Engine.load(levels[2]))
    wanted = encoder.walk(picture(0), quality=2, importance=True)
    with fcmrt.open(levels[4]) as reader:
        head = peek_packet(reader[0]).head
    assert (head.step, head.importance) == (wanted.d, wanted.importance)
    assert head.importance


@pytest.mark.parametrize("size", [(), ("--target-bytes", "3300")])
def test_regions_and_offsets_are_added(run, levels, size):
    told = ("--roi", "0.1,0,0.5,0.6", "--level-offset", "p3=2")
    code, _, err = run("encode", *levels, "--importance", *told, *size)
    assert (code, err) == (0, "")
    wanted = fcmrt.Encoder(fcmrt.Engine.load(levels[2])).walk(
        picture(0),
        importance=True,
        target_bytes=int(size[1]) if size else None,
        level_offsets={"p3": 2},
        roi=[(0.1, 0, 0.5, 0.6)],
    )
    with fcmrt.open(levels[4]) as reader:
        head = peek_packet(reader[0]).head
    if not size:  # else what the file's header tells already makes room for other steps
        assert (head.step, head.importance) == (wanted.d, wanted.importance)
    assert head.importance.regions == wanted.importance.regions
    assert head.importance.offsets


def test_packets_come_near_to_their_target(run, levels):
    code, _, err = run("encode", *levels, "--target-bytes", "3300")
    assert (code, err) == (0, "")
    with fcmrt.open(levels[4]) as reader:
        assert len(reader[0]) == pytest.approx(3300, rel=0.03)


def test_a_target_out_of_reach_tells_the_range(run, levels):
    code, _, err = run("encode", *levels, "--target-bytes", "5")
    assert code == 2
    assert "5 bytes are wanted; with this engine this picture takes" in err
    assert not levels[4].exists()
