"""The task of `docs/importance.md`, as it stands there: cached, trained for, measured, exported."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")
Image = pytest.importorskip("PIL.Image")

import fcmrt  # noqa: E402
from fcmrt.cli import main as fcmrt_command  # noqa: E402
from fcmrt.export.codecs import LevelsConfig  # noqa: E402
from fcmrt.export.elic import ElicConfig  # noqa: E402
from fcmrt.export.importance import __main__ as importance_command  # noqa: E402
from fcmrt.export.importance import files  # noqa: E402
from fcmrt.export.train import __main__ as train_command  # noqa: E402
from fcmrt.export.train import cache as cache_command  # noqa: E402

from .test_trained import CONTEXT  # noqa: E402

TEXT = Path(__file__).parents[2] / "docs" / "importance.md"
NAME = "my_package.my_task:MINE"


def level(channels: int) -> ElicConfig:
    return ElicConfig(
        feature_channels=(channels,),
        width=8,
        strides=(2, 1),
        bottlenecks=1,
        attention_stages=(1,),
        hyper_widths=(4, 6),
        hyper_out=12,
        kernel=3,
        context=CONTEXT,
    )


class BackHalf(torch.nn.Module):
    """Both levels to scores of four classes, which look at the coarse one most."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fine, self.coarse = torch.nn.Conv2d(8, 6, 1), torch.nn.Conv2d(12, 6, 1)
        self.scores = torch.nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, fine: Any, coarse: Any) -> Any:
        larger = torch.nn.functional.interpolate(self.coarse(coarse), scale_factor=2.0)
        hidden = torch.relu(0.2 * self.fine(fine) + larger)
        return hidden, self.scores(hidden)


class MyNetwork:
    """A front half of means over blocks."""

    def __init__(self, models: Path, threads: int | None) -> None:
        assert (models / "mine.back.onnx").exists()

    def features(self, x: np.ndarray) -> dict[str, np.ndarray]:
        maps = {}
        for name, channels, stride in (("fine", 8, 4), ("coarse", 12, 8)):
            n, _, side, _ = x.shape
            blocks = x.reshape(n, 3, side // stride, stride, side // stride, stride).mean((3, 5))
            rolled = [np.roll(blocks[:, i % 3], i, 1) * (1 + i) for i in range(channels)]
            maps[name] = np.stack(rolled, 1).astype(np.float32)
        return maps


@pytest.fixture(scope="module")
def mine() -> Iterator[Any]:
    """The text's code as the module that its commands name."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
    network = types.ModuleType("my_package.my_network")
    network.__dict__.update(
        MyNetwork=MyNetwork,
        load_back_half=lambda path: BackHalf(),
        normalise=lambda image: np.float32(image.transpose(2, 0, 1)[None]) / 64 - 2,
        results=None,
        match=None,
        agreement=None,
    )
    package, module = types.ModuleType("my_package"), types.ModuleType("my_package.my_task")
    package.__dict__["my_network"] = network
    modules = {"my_package": package, "my_package.my_network": network, module.__name__: module}
    sys.modules.update(modules)
    exec(compile(code, str(TEXT), "exec"), module.__dict__)
    yield module
    for name in modules:
        del sys.modules[name]


def make_assets(folder: Path) -> Path:
    (folder / "photos").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "models" / "mine.back.onnx").write_bytes(b"whatever the head reads")
    for seed in range(8):
        small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize((160, 120)).save(folder / "photos" / f"photo{seed}.png")
    return folder


@pytest.mark.usefixtures("mine")
def test_the_commands_make_an_engine_with_importance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assets, cache, run = make_assets(tmp_path / "assets"), tmp_path / "cache", tmp_path / "run"
    told = ["--assets", str(assets), "--out", str(cache), "--count", "56"]
    cache_command.main(["--task", NAME, *told])

    config = LevelsConfig(levels=2, codecs=(level(8), level(12)))
    text = json.dumps({"family": "levels", "config": config.to_dict()})
    (tmp_path / "codec.json").write_text(text)
    told = ["--cache", str(cache), "--config", str(tmp_path / "codec.json"), "--out", str(run)]
    train_command.main(["--task", NAME, *told, "--steps", "2", "--batch", "4"])
    assert json.loads((run / "card.json").read_text())["task"] == "mine"

    checkpoint, made = run / "checkpoint.pt", run / "importance.pt"
    told = ["--cache", str(cache), "--out", str(made), "--crops", "48", "--curve-crops", "8"]
    capsys.readouterr()
    importance_command.main([str(checkpoint), "--task", NAME, *told, "--epochs", "2"])
    printed = capsys.readouterr().out
    assert "fine: loss = " in printed
    assert "pictures that were not trained on" in printed
    model, _, about = files.read(made)
    assert list(model.levels) == ["fine", "coarse"]
    assert set(about["curve_fits"]) == {"fine", "coarse"}
    assert "pictures that were not trained on" in about["kept_back"]

    engine = tmp_path / "mine.fcmrt"
    told = ["--level-names", "fine", "coarse", "--importance", str(made), "--out", str(engine)]
    assert fcmrt_command(["export", str(checkpoint), *told]) == 0
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine))
    rng = np.random.default_rng(0)
    features = {
        "fine": rng.standard_normal((8, 16, 16)).astype(np.float32),
        "coarse": rng.standard_normal((12, 8, 8)).astype(np.float32),
    }
    assert set(encoder.predict_weights(features)) == {"fine", "coarse"}
    packet = encoder.encode(features, importance=True, roi=[(0, 0, 0.5, 0.5)])
    assert fcmrt.Decoder(encoder.engine).decode(packet)["fine"].shape == (8, 16, 16)


@pytest.mark.usefixtures("mine")
def test_a_cache_of_ones_own_task_needs_it_told(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text(json.dumps({"format": 1, "task": "mine", "count": 1}))
    with pytest.raises(ValueError, match="not one of fcmrt's"):
        importance_command.main(["x.pt", "--cache", str(tmp_path), "--out", "y.pt"])
