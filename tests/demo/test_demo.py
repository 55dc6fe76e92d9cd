"""The demo: its figures are those of the packet, its picture shows something."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import fcmrt
from fcmrt.demo import photos
from fcmrt.demo.draw import check_target, draw
from fcmrt.demo.report import report
from fcmrt.demo.run import SHOWN, Demo, match
from fcmrt.errors import ConfigError
from fcmrt.tasks.nanodet import Detections


@pytest.fixture(scope="module")
def demo(engine) -> Demo:
    return Demo(engine, quality=3, runs=1)


@pytest.fixture(scope="module")
def result(demo):
    return demo.run(photos.shipped_photo("dog.jpg"))


def test_shipped_photos_are_small_and_show_something(demo):
    for name in photos.SHIPPED:
        photo = photos.shipped_photo(name)
        assert max(photo.size) <= 1024
        assert photo.file_bytes <= 150_000
        found = demo.run(photo).before
        assert (found.scores >= SHOWN).sum() >= 3


def test_packet_is_what_the_encoder_gives(result, engine):
    assert result.raw_bytes == 4 * 128 * (52 * 52 + 26 * 26 + 13 * 13)
    assert result.packet.elements == result.raw_bytes // 4
    assert isinstance(result.packet, fcmrt.Packet)
    assert fcmrt.Decoder(engine).decode(result.packet)["p4"].shape == (128, 26, 26)


def test_report_tells_the_packets_bytes(result):
    text = report(result)
    size = f"{len(result.packet):,}".replace(",", " ")
    line = next(line for line in text.splitlines() if "packet" in line)
    assert size in line
    assert f"{result.raw_bytes / len(result.packet):.1f}x" in line
    assert f"{8 * len(result.packet) / (576 * 768):.3f}" in line
    assert all(len(line) <= 80 for line in text.splitlines())
    assert result.agreement > 0.9


def test_times_add_up(result):
    for times in (result.encode, result.decode):
        assert times.networks > 0
        assert times.coder > 0
        assert times.networks + times.coder <= times.total


def test_curve_has_every_level_and_the_demos_own(engine):
    demo = Demo(engine, quality=2.5, runs=1)
    points = demo.curve([photos.shipped_photo("dog.jpg")])
    assert [point.quality for point in points] == [1, 2, 2.5, 3]
    sizes = [point.packet_bytes for point in points]
    assert sizes == sorted(sizes)
    assert points[-1].agreement > points[0].agreement


def detections(*rows: tuple[float, float, int]) -> Detections:
    """Squares of side 10 at x, with a score and a class."""
    boxes = np.array([[x, 0, x + 10, 10] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Detections(boxes, scores, np.array([label for _, _, label in rows], np.int64))


def test_match_pairs_within_a_class_by_overlap():
    before = detections((0, 0.9, 1), (100, 0.8, 2), (200, 0.7, 1), (300, 0.3, 1))
    after = detections((201, 0.9, 1), (1, 0.5, 1), (100, 0.5, 3), (300, 0.45, 1), (400, 0.2, 1))
    rows = [(pair.label, pair.before, pair.after) for pair in match(before, after)]
    assert rows == [(1, 0, 1), (2, 1, None), (1, 2, 0), (3, None, 2), (1, 3, 3)]


def test_match_takes_a_weak_counterpart_and_each_only_once():
    before = detections((0, 0.9, 1), (1, 0.8, 1))
    after = detections((0, 0.1, 1))
    assert [(pair.before, pair.after) for pair in match(before, after)] == [(0, 0), (1, None)]
    assert match(detections(), detections()) == []
    assert [pair.after for pair in match(before, detections())] == [None, None]


def test_picture_has_both_sides_and_the_plot(result, demo, tmp_path):
    points = demo.curve([result.photo])
    draw(tmp_path / "demo.png", [result], points, photos=1)
    with Image.open(tmp_path / "demo.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    assert width >= 1200
    assert height >= 700
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10_000
    middle = pixels[height // 5 : height // 3]
    for half in (middle[:, : width // 2], middle[:, width // 2 :]):
        assert half.std() > 30  # a photo, not a blank
    orange = np.abs(pixels - (255, 176, 0)).sum(-1) < 12  # boxes of the first class
    assert orange[:, : width // 2].sum() > 500
    assert orange[:, width // 2 :].sum() > 500
    plot = pixels[int(0.58 * height) :]
    assert (np.abs(plot - (209, 73, 91)).sum(-1) < 12).sum() > 50  # the level in use


def test_picture_without_detections(demo, tmp_path):
    blank = photos.Photo("blank", np.full((60, 200, 3), 90, np.uint8), 0)
    empty = demo.run(blank)
    assert "none" in report(empty)
    draw(tmp_path / "blank.svg", [empty])
    assert "<svg" in (tmp_path / "blank.svg").read_text()


def test_target_is_checked_first(tmp_path):
    check_target(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="suffix"):
        check_target(tmp_path / "a.mp3")
    with pytest.raises(ConfigError, match="no folder"):
        check_target(tmp_path / "no" / "a.png")


def test_photos_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert photos.read_photo(tmp_path / "turned.jpg").size == (30, 20)
    assert photos.picture_size(tmp_path / "turned.jpg") == (30, 20)


def test_unreadable_photos(tmp_path):
    (tmp_path / "no.jpg").write_bytes(b"not a picture")
    with pytest.raises(ConfigError, match=r"no\.jpg"):
        photos.read_photo(tmp_path / "no.jpg")
    whole = (tmp_path / "cut.png", Image.effect_noise((64, 64), 50))
    whole[1].save(whole[0])
    whole[0].write_bytes(whole[0].read_bytes()[:2000])
    with pytest.raises(ConfigError, match="cannot be read"):
        photos.read_photo(whole[0])


def test_command_with_the_builtin_engine(run, tmp_path):
    engine = fcmrt.Engine.builtin()
    code, out, err = run("demo", "--out", tmp_path / "demo.png")
    assert (code, err) == (0, "")
    printed = re.search(r"packet, quality \S+ +(\d[\d ]*?) {2,}", out)
    assert printed is not None
    result = Demo(engine, runs=1).run(photos.shipped_photo("dog.jpg"))
    assert int(printed[1].replace(" ", "")) == len(result.packet)
    assert result.agreement > 0.5
    assert len(out.split("AP50 agreement")[1].splitlines()) > len(engine.manifest.quality.levels)
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width >= 1200


def test_command_with_other_pictures_and_no_plot(run, engine_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photos.shipped_photo("table.jpg").pixels).save("mine.png")
    code, out, err = run("demo", "--image", "mine.png", "--engine", engine_file, "--no-plot")
    assert (code, err) == (0, "")
    assert "mine.png, 683 x 1024" in out
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    code, _, err = run("demo", "--image", "missing.png", "--engine", engine_file, "--no-plot")
    assert code == 2
    assert "missing.png: No such file" in err


def test_grey_of_16_bits_is_no_white(tmp_path):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (photos.read_photo(tmp_path / "grey.png").pixels == (grey >> 8)[:, :, None]).all()
    for unknown in (grey.astype(np.int32), grey.astype(np.float32)):
        Image.fromarray(unknown).save(tmp_path / "unknown.tiff")
        with pytest.raises(ConfigError, match="have no known range"):
            photos.read_photo(tmp_path / "unknown.tiff")
