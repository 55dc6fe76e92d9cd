"""`encode` and `decode`: what goes in comes back, one file at a time or many."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from fcmrt.bitstream import peek_packet


def test_encode_prints_one_line_per_packet_and_totals(run, engine_file, one, batch, tmp_path):
    code, out, err = run("encode", one, batch, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 4)
    with fcmrt.open(tmp_path / "o.fcm") as reader:
        sizes = [len(packet) for packet in reader]
    elements = 6 * 20 * 24 + 8 * 10 * 12
    for number, (line, size) in enumerate(zip(lines, sizes, strict=False)):
        assert line.split()[0] == str(number)
        assert f"{size:,} bytes".replace(",", " ") in line
        assert f"{4 * elements / size:.1f}:1" in line
        assert f"{8 * size / elements:.4f} bits per element" in line
    assert "3 packets" in lines[-1]
    assert f"{sum(sizes):,} bytes".replace(",", " ") in lines[-1]


def test_packets_are_those_of_the_encoder(run, engine_file, one, features, tmp_path):
    run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file, "--quality", "2.5")
    sizes = {name: level.shape[-2:] for name, level in features.items()}
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file), quality=2.5, sizes=sizes)
    expected = encoder.encode({name: level[0] for name, level in features.items()})
    with fcmrt.open(tmp_path / "o.fcm") as reader:
        assert bytes(reader[0]) == bytes(expected)
        assert reader.header == encoder.header


def test_regions_of_interest(run, engine_file, one, features, tmp_path):
    boxes = ("--roi", "0.1,0.2,0.5,0.6", "--roi", "0.5,0.5,1,1", "--roi-gain", "5")
    wanted = fcmrt.Encoder(fcmrt.Engine.load(engine_file)).importance(
        {name: level[0] for name, level in features.items()},
        level_offsets={"p3+p4": 2},
        roi=[(0.1, 0.2, 0.5, 0.6), (0.5, 0.5, 1, 1)],
        roi_gain=5,
    )
    path = tmp_path / "o.fcm"
    offset = ("--level-offset", "p3+p4=2")
    code, _, err = run("encode", one, "-o", path, "--engine", engine_file, *boxes, *offset)
    assert (code, err) == (0, "")
    with fcmrt.open(path) as reader:
        assert peek_packet(reader[0]).head.importance == wanted
    code, _, err = run("encode", one, "-o", path, "--engine", engine_file, "--roi-gain", "5")
    assert code == 2
    assert "give them with --roi" in err


@pytest.mark.parametrize("wrong", [("--roi", "1,2,3"), ("--level-offset", "p3")])
def test_wrong_regions_are_told(run, engine_file, one, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit):
        run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file, *wrong)
    assert "is not" in capsys.readouterr().err


def test_decode_to_a_folder(run, engine_file, one, batch, features, tmp_path):
    run("encode", one, batch, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    code, out, err = run(
        "decode", tmp_path / "o.fcm", "-o", tmp_path / "out", "--engine", engine_file
    )
    assert (code, err) == (0, "")
    assert "3 packets" in out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00000.npz", "00001.npz", "00002.npz"]
    engine = fcmrt.Engine.load(engine_file)
    expected = fcmrt.Decoder(engine).decode(fcmrt.Encoder(engine).encode(features))
    for name, wanted in zip(names, [expected[0], *expected], strict=True):
        with np.load(tmp_path / "out" / name) as found:
            assert set(found.files) == set(wanted)
            for level, array in wanted.items():
                np.testing.assert_array_equal(found[level], array)


def test_decode_one_packet_to_one_file(run, engine_file, batch, tmp_path):
    run("encode", batch, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    arguments = ("decode", tmp_path / "o.fcm", "--engine", engine_file, "-o", tmp_path / "o.npz")
    assert run(*arguments, "--packet", 1)[0] == 0
    with np.load(tmp_path / "o.npz") as found:
        assert found["p3"].shape == (6, 20, 24)
    code, _, err = run(*arguments)
    assert code == 2
    assert "2 packets do not go into one .npz" in err
    code, _, err = run(*arguments, "--packet", 2)
    assert code == 2
    assert "no packet 2" in err


def test_half_precision_in_is_half_precision_out(run, engine_file, one, tmp_path):
    with np.load(one) as levels:
        np.savez(tmp_path / "half.npz", **{n: a.astype(np.float16) for n, a in levels.items()})
    run("encode", tmp_path / "half.npz", "-o", tmp_path / "o.fcm", "--engine", engine_file)
    run("decode", tmp_path / "o.fcm", "-o", tmp_path / "o.npz", "--engine", engine_file)
    with np.load(tmp_path / "o.npz") as found:
        assert {array.dtype for array in found.values()} == {np.dtype(np.float16)}


def test_npy_for_an_engine_with_one_level(run, single_level_engine_file, tmp_path):
    np.save(tmp_path / "f.npy", np.random.default_rng(0).standard_normal((4, 9, 7), np.float32))
    options = ("--engine", single_level_engine_file)
    assert run("encode", tmp_path / "f.npy", "-o", tmp_path / "f.fcm", *options)[0] == 0
    assert run("decode", tmp_path / "f.fcm", "-o", tmp_path / "back.npz", *options)[0] == 0
    with np.load(tmp_path / "back.npz") as found:
        assert found["f"].shape == (4, 9, 7)


def test_quality_changes_the_size(run, engine_file, one, tmp_path):
    sizes = []
    for quality in (1, 4):
        path = tmp_path / f"{quality}.fcm"
        run("encode", one, "-o", path, "--engine", engine_file, "--quality", quality)
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]


def test_cut_off_file_gives_what_is_whole(run, engine_file, batch, tmp_path):
    run("encode", batch, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    data = (tmp_path / "o.fcm").read_bytes()
    cut = tmp_path / "cut.fcm"
    cut.write_bytes(data[: int(len(data) * 0.7)])
    code, out, err = run("decode", cut, "-o", tmp_path / "out", "--engine", engine_file)
    assert code == 0
    assert "1 packet" in out
    assert "cut off" in err


def test_damaged_packet_is_told_and_the_others_decoded(run, engine_file, batch, tmp_path):
    run("encode", batch, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    with fcmrt.open(tmp_path / "o.fcm") as reader:
        first = bytes(reader[0])
    data = bytearray((tmp_path / "o.fcm").read_bytes())
    data[data.index(first) + len(first) // 2] ^= 0x10
    (tmp_path / "o.fcm").write_bytes(data)
    code, _, err = run(
        "decode", tmp_path / "o.fcm", "-o", tmp_path / "out", "--engine", engine_file
    )
    assert code == 2
    assert "packet 0 is lost" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["00001.npz"]


def test_what_is_lost_between_packets_is_told(run, engine_file, batch, tmp_path):
    """The index is damaged, too, so that nothing tells of the packet."""
    path = tmp_path / "o.fcm"
    run("encode", batch, "-o", path, "--engine", engine_file)
    data = bytearray(path.read_bytes())
    data[data.index(b"FCMP") + 5] ^= 1
    path.write_bytes(data[:-1])
    code, out, err = run("decode", path, "-o", tmp_path / "out", "--engine", engine_file)
    assert code == 2
    assert "bytes between packets are damaged: what they held is lost" in err
    assert "features of 1 packet" in out


def test_nothing_is_left_of_a_failed_encode(run, engine_file, one, tmp_path):
    bad = tmp_path / "bad.npz"
    np.savez(bad, p3=np.zeros((6, 20, 24), np.float32), p4=np.full((8, 10, 12), np.nan, np.float32))
    target = tmp_path / "out" / "o.fcm"
    target.parent.mkdir()
    target.write_bytes(b"old")
    code, _, err = run("encode", one, bad, "-o", target, "--engine", engine_file)
    assert code == 2
    assert "NaN" in err
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_decode_wants_to_know_what_to_do(run, engine_file, one, tmp_path, extra):
    run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    code, _, err = run("decode", tmp_path / "o.fcm", "--engine", engine_file, *extra)
    assert code == 2
    assert "-o" in err
