"""The codec of `docs/adding-a-codec.md`, as it stands there: exported, run, and compared."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import fcmrt
from fcmrt.cli import main
from fcmrt.errors import ExportError
from fcmrt.export import find_family, read_checkpoint
from fcmrt.export.engine import with_half_weights, write

TEXT = Path(__file__).parents[2] / "docs" / "adding-a-codec.md"


@pytest.fixture(scope="module")
def codec() -> Iterator[types.ModuleType]:
    """The text's code as the module that its command names."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    package, module = types.ModuleType("my_package"), types.ModuleType("my_package.my_codec")
    for block in blocks:
        exec(compile(block, str(TEXT), "exec"), module.__dict__)
    sys.modules["my_package"], sys.modules["my_package.my_codec"] = package, module
    yield module
    del sys.modules["my_package"], sys.modules["my_package.my_codec"]


@pytest.fixture(scope="module")
def checkpoint(codec: types.ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    model = codec.CoarseToFine()
    with torch.no_grad():
        model.to_fine.weight.mul_(8)
        model.to_coarse.weight.mul_(4)
    path = tmp_path_factory.mktemp("mine") / "my.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    return path


def features(rows: int, columns: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows * 100 + columns)
    half = -(-rows // 2), -(-columns // 2)
    return {
        "fine": rng.standard_normal((8, rows, columns), np.float32),
        "coarse": rng.standard_normal((12, *half), np.float32),
    }


def test_the_command_exports_it(
    codec: types.ModuleType, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my.fcmrt"
    name = "my_package.my_codec:deploy"
    assert main(["export", str(checkpoint), "--codec", name, "--out", str(out)]) == 0
    assert "coarse-to-fine, same-engine, 3 graphs, 4 quality levels" in capsys.readouterr().out
    assert fcmrt.Engine.load(out).manifest.name == "my"
    codec.export(str(checkpoint), str(tmp_path / "other.fcmrt"))
    other = fcmrt.Engine.load(tmp_path / "other.fcmrt")
    assert other.graph("analysis") == fcmrt.Engine.load(out).graph("analysis")


@pytest.mark.parametrize("size", [(24, 32), (13, 9), (1, 1)])
def test_the_engine_is_the_model(
    codec: types.ModuleType, checkpoint: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    deployment = with_half_weights(codec.deploy(read_checkpoint(checkpoint)))
    engine = write(tmp_path / "my.fcmrt", deployment, name="mine")
    maps = features(*size)
    for step in (16, 0, -8):
        assert codec.symbols_that_differ(deployment, engine, maps, step) < 0.01
        packet = fcmrt.Encoder(engine).encode(maps, step=step)
        decoded = fcmrt.Decoder(engine).decode(packet)
        assert {k: v.shape for k, v in decoded.items()} == {k: v.shape for k, v in maps.items()}
    walk = fcmrt.Encoder(engine).walk(maps, step=0)
    assert walk.integers["fine"].symbols.any()
    assert walk.integers["coarse"].symbols.any()


def test_finer_steps_cost_more(codec: types.ModuleType, checkpoint: Path, tmp_path: Path) -> None:
    engine = write(tmp_path / "my.fcmrt", codec.deploy(read_checkpoint(checkpoint)), name="mine")
    sizes = [len(fcmrt.Encoder(engine, quality=q).encode(features(24, 32))) for q in (1, 2, 3, 4)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.7 * sizes[3]


def test_what_is_not_there_is_told(codec: types.ModuleType) -> None:
    with pytest.raises(ExportError, match="no 'other'"):
        find_family("my_package.my_codec:other")
    with pytest.raises(ExportError, match=r"my_package\.your_codec"):
        find_family("my_package.your_codec:deploy")
    with pytest.raises(ExportError, match="trained"):
        find_family("lmsfc-v9")


def test_verify_covers_the_export(
    codec: types.ModuleType, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my.fcmrt"
    told = ["--codec", "my_package.my_codec:deploy"]
    assert main(["export", str(checkpoint), *told, "--out", str(out)]) == 0
    report = tmp_path / "report.json"
    command = ["verify", str(out), "--checkpoint", str(checkpoint), *told, "--repeats", "1"]
    assert main([*command, "--json", str(report)]) == 0
    assert "the networks that the engine was made of" in capsys.readouterr().out
    stages = json.loads(report.read_text())["stages"]
    symbols = [s for s in stages if s["step"] == "symbols fine"]
    assert symbols
    assert all(s["differing"] <= s["ties"] + 0.01 * s["integers"] for s in symbols)
    assert all(s["relative"] < 1e-4 for s in stages if s["step"] == "run synthesis")
