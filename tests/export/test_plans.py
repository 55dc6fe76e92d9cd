"""Every graph of every family is parsed and built by the real TensorRT-RTX.

Plans of another precision, of exact engines and of trained codecs are built for one GPU: what is
refused, is refused for all. `pytest -m "not slow"` leaves out LIC-TCM and the trained codecs.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks.codec_samples import LIC_TCM, SAMPLES, Sample
from benchmarks.support import SampleExport
from fcmrt import Engine
from fcmrt.errors import EngineError
from fcmrt.export.checkpoint import card_of, read_checkpoint
from fcmrt.export.engine import write
from fcmrt.export.importance import files
from fcmrt.export.importance.engine import write_with_importance
from fcmrt.export.lictcm import LicTcm
from fcmrt.export.lictcm_engine import deploy_lictcm
from fcmrt.export.onnx import Precision
from fcmrt.export.trained import deploy
from fcmrt.plans import SizeRange
from fcmrt.tasks.task import NANODET, TASKS

from ..plans.building import TARGETS, assert_builds

ONE_TARGET = TARGETS[1:2]
WIDEST = {"lic-tcm", "lic-tcm-features"}
"""Those that take longest: windows are many nodes."""
TRAINED = sorted((Path(__file__).parents[2] / "models").glob("*.pt"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, id=one.name, marks=pytest.mark.slow if one.name in WIDEST else ())
        for one in SAMPLES
    ],
)
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.param


@pytest.fixture(scope="module")
def export(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> SampleExport:
    return SampleExport(sample, tmp_path_factory.mktemp("family"), pictures=0)


@pytest.fixture(scope="module")
def plans(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all tests of a family share: no graph is built twice for one target."""
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def engine(export: SampleExport) -> Engine:
    return export.same_engine().engine


def test_every_graph_builds(engine: Engine, plans: Path) -> None:
    assert_builds(engine, plans)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_every_graph_builds_in_another_precision(
    export: SampleExport, engine: Engine, precision: Precision, plans: Path
) -> None:
    assert_builds(export.in_precision(engine, precision), plans, targets=ONE_TARGET)


def test_every_graph_of_an_exact_engine_builds(
    sample: Sample, export: SampleExport, plans: Path
) -> None:
    if not sample.exact:
        with pytest.raises(EngineError, match="no exact form"):
            export.exact()
        return
    engine = export.exact().engine
    assert engine.manifest.profile == "exact"
    assert_builds(engine, plans, targets=ONE_TARGET)


def test_windows_of_the_published_size_build(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = LicTcm(dataclasses.replace(LIC_TCM, window=8, hyper_window=4))
    engine = write(tmp_path / "windows.fcmrt", deploy_lictcm(codec), name="windows")
    assert_builds(engine, tmp_path / "plans", targets=ONE_TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", TRAINED, ids=lambda path: path.stem)
def test_trained_codecs_build(checkpoint: Path, tmp_path: Path) -> None:
    state = read_checkpoint(checkpoint)
    task = TASKS[card_of(state).get("task", NANODET.name)]
    _, *side = task.feature_shapes()[0]
    engine = write(tmp_path / "trained.fcmrt", deploy(state), name=checkpoint.stem)
    importance = checkpoint.parent / "importance" / checkpoint.name
    if importance.exists():
        model, network, _ = files.read(importance)
        engine = write_with_importance(tmp_path / "importance.fcmrt", engine, model, network)
    sizes = [SizeRange.fixed(*side)]
    assert_builds(engine, tmp_path / "plans", targets=ONE_TARGET, sizes=sizes)
