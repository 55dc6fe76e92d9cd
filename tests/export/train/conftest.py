"""Small pictures, networks and runs for the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from fcmrt.export.lmsfc import LMSFC_NANODET_LIGHT  # noqa: E402
from fcmrt.export.train.data import Pictures  # noqa: E402
from fcmrt.export.train.source import FeatureSource  # noqa: E402
from fcmrt.tasks.task import NANODET, Task  # noqa: E402

TINY = replace(LMSFC_NANODET_LIGHT, width=8, latent_channels=8, hyper_channels=8)


def picture(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A smooth random picture: uint8 `[height, width, 3]`."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


class StandInNetwork:
    """Features that are cheap functions of the input, in place of a front half."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def features(self, x: np.ndarray) -> dict[str, np.ndarray]:
        maps = {}
        shapes = self.task.feature_shapes()
        for name, (channels, side, _) in zip(self.task.feature_names, shapes, strict=True):
            stride = self.task.input_size // side
            pooled = x.reshape(len(x), 3, side, stride, side, stride).mean((3, 5))
            rows = [np.roll(pooled[:, i % 3 : i % 3 + 1], i, 2) for i in range(channels)]
            maps[name] = np.concatenate(rows, 1).astype(np.float32)
        return maps


@pytest.fixture
def make_picture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture
def make_source() -> Callable[..., FeatureSource]:
    def make(seed: int = 0, batch: int = 2, task: Task = NANODET) -> FeatureSource:
        pictures = Pictures({str(i): picture(i) for i in range(3)}, {})
        return FeatureSource(pictures, StandInNetwork(task), seed=seed, batch=batch, task=task)

    return make


@pytest.fixture
def tiny() -> object:
    """A codec that trains in a moment."""
    return TINY


@pytest.fixture(scope="session")
def back_half() -> Path:
    """NanoDet's back half, which is shipped."""
    return Path(str(resources.files("fcmrt") / "assets" / "nanodet.back.onnx"))


@pytest.fixture(scope="session")
def movenet_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph with the inputs, outputs and operators of MoveNet's back half, at random."""
    rng = np.random.default_rng(0)
    channels, sides = (24, 32, 64, 64), (64, 32, 16, 8)
    nodes, constants = [], []

    def add(op: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(onnx.helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(onnx.numpy_helper.from_array(value, name))
        return name

    def conv(value: str, name: str, inputs: int, outputs: int) -> str:
        """NHWC in and out, as TensorFlow's graphs come."""
        turned = add("Transpose", [value], f"{name}_in", perm=[0, 3, 1, 2])
        scale = inputs**-0.5
        weight = constant(f"{name}_w", rng.normal(0, scale, (outputs, inputs, 1, 1)).astype("f4"))
        bias = constant(f"{name}_b", rng.normal(0, 0.1, outputs).astype("f4"))
        return add("Conv", [turned, weight, bias], f"{name}_conv")

    def back(value: str, name: str) -> str:
        return add("Transpose", [value], name, perm=[0, 2, 3, 1])

    above = "in3"
    for level, width in ((2, 64), (1, 32), (0, 24)):
        turned = add("Transpose", [above], f"up{level}_in", perm=[0, 3, 1, 2])
        sizes = np.array([1, width, sides[level], sides[level]])
        larger = add(
            "Resize",
            [turned, "", "", constant(f"sizes{level}", sizes)],
            f"up{level}_big",
            coordinate_transformation_mode="half_pixel",
            mode="linear",
        )
        summed = add("Add", [back(larger, f"up{level}"), f"in{level}"], f"sum{level}")
        narrow = (32, 24, 24)[2 - level]
        above = back(
            add("Relu", [conv(summed, f"hidden{level}", width, narrow)], f"relu{level}"),
            f"hidden{level}",
        )
    outputs = []
    for name, count in (
        ("centres", 1),
        ("heat", 17),
        ("regressions", 34),
        ("offsets", 34),
        ("sizes", 2),
        ("shifts", 2),
    ):
        value = back(conv(above, name, 24, count), f"{name}_raw")
        if name in {"centres", "heat"}:
            value = add("Sigmoid", [value], name)
        outputs.append((value, [1, 64, 64, count]))

    def info(name: str, shape: list[int]) -> object:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(
        nodes,
        "back",
        [info(f"in{i}", [1, sides[i], sides[i], channels[i]]) for i in range(4)],
        [info(name, shape) for name, shape in outputs],
        constants,
    )
    opset = [onnx.helper.make_operatorsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    path = tmp_path_factory.mktemp("movenet") / "movenet_mp.back.onnx"
    onnx.save(model, str(path))
    return path
