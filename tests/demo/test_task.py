"""`encode --task` and `decode --task`: pictures in, boxes in pixels of the pictures out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import fcmrt
from fcmrt.demo.photos import shipped_photo
from fcmrt.tasks.nanodet import CLASS_NAMES, NanoDet, letterbox


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / "dog.png", folder / "table.png"]
    for path in paths:
        Image.fromarray(shipped_photo(path.with_suffix(".jpg").name).pixels).save(path)
    return paths


def encode(run, engine_file, target, *pictures):
    options = ("--engine", engine_file, "--quality", 3, "--task", "nanodet")
    return run("encode", *pictures, "-o", target, *options)


def test_header_tells_picture_and_network_input(run, engine_file, pictures, tmp_path):
    assert encode(run, engine_file, tmp_path / "o.fcm", pictures[0])[0] == 0
    with fcmrt.open(tmp_path / "o.fcm") as reader:
        header = reader.header
    assert (header.picture_width, header.picture_height) == (768, 576)
    assert (header.input_width, header.input_height) == (416, 416)
    assert header.sizes == ((52, 52), (26, 26), (13, 13))
    assert dict(header.notes) == {"task": "nanodet"}


def test_boxes_are_those_of_the_decoded_features(run, engine_file, engine, pictures, tmp_path):
    encode(run, engine_file, tmp_path / "o.fcm", *pictures)
    options = ("--engine", engine_file, "--task", "nanodet")
    code, out, err = run("decode", tmp_path / "o.fcm", "--json", "-o", tmp_path / "out", *options)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["packet"] for row in rows] == [0, 1]
    assert [row["picture"] for row in rows] == [
        {"height": 576, "width": 768},
        {"height": 1024, "width": 683},
    ]
    detector = NanoDet()
    for number, (row, path) in enumerate(zip(rows, pictures, strict=True)):
        with np.load(tmp_path / "out" / f"{number:05d}.npz") as stored:
            features = {name: stored[name][None] for name in stored.files}
        pixels = np.asarray(Image.open(path))
        _, scale = letterbox(pixels)
        found = detector.detections(detector.outputs(features), scale, pixels.shape[:2], 0.4)
        assert [d["label"] for d in row["detections"]] == [CLASS_NAMES[c] for c in found.classes]
        boxes = [d["box"] for d in row["detections"]]
        np.testing.assert_allclose(boxes, found.boxes, atol=0.06)
        np.testing.assert_allclose([d["score"] for d in row["detections"]], found.scores, atol=1e-4)
    assert {d["label"] for d in rows[0]["detections"]} >= {"dog", "bicycle"}


def test_listing_for_the_eye(run, engine_file, pictures, tmp_path):
    encode(run, engine_file, tmp_path / "o.fcm", *pictures)
    options = ("--engine", engine_file, "--task", "nanodet")
    code, out, _ = run("decode", tmp_path / "o.fcm", "--packet", 1, "--threshold", 0.6, *options)
    assert code == 0
    assert out.startswith("packet 1: ")
    assert "dining table" in out
    assert "packet 0" not in out


def test_boxes_need_the_pictures_size(run, engine_file, engine, tmp_path):
    draw = np.random.default_rng(0)
    sizes = {"p3": (52, 52), "p4": (26, 26), "p5": (13, 13)}
    np.savez(
        tmp_path / "x.npz",
        **{name: draw.standard_normal((128, *size), np.float32) for name, size in sizes.items()},
    )
    run("encode", tmp_path / "x.npz", "-o", tmp_path / "x.fcm", "--engine", engine_file)
    options = ("--engine", engine_file, "--task", "nanodet")
    code, _, err = run("decode", tmp_path / "x.fcm", *options)
    assert code == 2
    assert "size of picture 0" in err


def test_too_many_sizes_for_a_header(run, engine_file, tmp_path):
    paths = []
    for number in range(200):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (1000 + number, 10)).save(paths[-1])
    code, _, err = encode(run, engine_file, tmp_path / "o.fcm", *paths)
    assert code == 2
    assert "several files" in err
    assert not (tmp_path / "o.fcm").exists()


def test_not_a_picture(run, engine_file, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no")
    code, _, err = encode(run, engine_file, tmp_path / "o.fcm", tmp_path / "x.jpg")
    assert code == 2
    assert "x.jpg" in err
    assert len(err.splitlines()) == 1
