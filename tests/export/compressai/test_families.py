"""Checkpoints of CompressAI's models: what loads, what is refused, and what is in the graphs."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from torch import Tensor

from benchmarks.compressai_samples import untrained
from fcmrt.errors import ExportError
from fcmrt.export import find_family, read_checkpoint, write
from fcmrt.export.compressai.families import MODELS, SIBLINGS, load
from fcmrt.export.families import FAMILIES, REFUSED
from fcmrt.export.onnx import export_graph

OPERATORS = {
    *("Conv", "ConvTranspose", "Relu", "LeakyRelu", "Sigmoid", "DepthToSpace"),
    *("Add", "Sub", "Mul", "Div", "Sqrt", "Abs", "Log", "Clip", "Round"),
    *("Concat", "Split", "Cast", "Constant", "Identity"),
}
"""What the graphs of these models are made of; offsets have more."""


def state_of_untrained(name: str) -> dict[str, Tensor]:
    return untrained(name).state_dict()


def test_every_model_is_in_the_list() -> None:
    assert set(MODELS) < set(FAMILIES)
    assert set(SIBLINGS) == set(REFUSED)
    assert set(SIBLINGS.values()) < set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_loads_as_it_is(name: str, tmp_path: Any) -> None:
    """As CompressAI's training example saves it, also of a parallel model."""
    state = state_of_untrained(name)
    path = tmp_path / "checkpoint.pth.tar"
    parallel = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": parallel, "loss": torch.tensor(1.0)}, path)
    loaded = load(name, read_checkpoint(path))
    assert type(loaded).__name__ == MODELS[name].kind
    found = loaded.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_names_of_older_versions_are_understood() -> None:
    state = state_of_untrained("mbt2018-mean")
    old = {}
    for key, value in state.items():
        for new, former in ("matrices.", "_matrix"), ("biases.", "_bias"), ("factors.", "_factor"):
            key = key.replace(f"entropy_bottleneck.{new}", f"entropy_bottleneck.{former}")
        old[key] = value
    assert old.keys() != state.keys()
    found = load("mbt2018-mean", old).state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("name", MODELS)
def test_constants_may_be_left_out_and_others_be_there(name: str) -> None:
    """Such as tables that were dropped since their sizes differ, and bounds of other versions."""
    model: Any = untrained(name)
    model.update()
    weights = dict(model.named_parameters())
    older = {"gaussian_conditional.lower_bound_scale.bound": torch.ones(1)}
    found = load(name, weights | older).state_dict()
    assert all(torch.equal(found[key], value) for key, value in weights.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_types_load_with_their_tables(dtype: torch.dtype) -> None:
    model: Any = untrained("mbt2018-mean")
    model.update()
    state = model.to(dtype).state_dict()
    found = load("mbt2018-mean", state).state_dict()
    assert found["g_a.0.weight"].dtype == torch.float32
    assert torch.equal(found["g_a.0.weight"], state["g_a.0.weight"].float())


@pytest.mark.parametrize("name", SIBLINGS)
def test_models_that_decode_cell_after_cell_are_refused(name: str) -> None:
    with pytest.raises(ExportError, match=f"raster order.* use {SIBLINGS[name]},"):
        find_family(name)({})


def test_their_checkpoints_are_refused_by_any_name() -> None:
    from compressai.models import JointAutoregressiveHierarchicalPriors

    state = JointAutoregressiveHierarchicalPriors(8, 12).state_dict()
    with pytest.raises(ExportError, match=r"not of mbt2018-mean.*raster order"):
        load("mbt2018-mean", state)


def test_checkpoints_of_others_are_refused() -> None:
    with pytest.raises(ExportError, match="not of mbt2018-mean: it lacks"):
        load("mbt2018-mean", state_of_untrained("cheng2020-anchor-checkerboard"))
    with pytest.raises(ExportError, match=r"(?s)not of mbt2018-mean: .*h_s"):
        load("mbt2018-mean", state_of_untrained("bmshj2018-hyperprior"))


def test_another_scale_table_is_refused() -> None:
    model: Any = untrained("mbt2018-mean")
    model.update(scale_table=torch.linspace(0.2, 30, 40))
    with pytest.raises(Exception, match="scale table"):
        load("mbt2018-mean", model.state_dict())


def test_options_of_others_are_refused() -> None:
    with pytest.raises(ExportError, match="no option 'levels'"):
        find_family("mbt2018-mean")(state_of_untrained("mbt2018-mean"), levels=[1, 2])


def test_offsets_of_all_rates_are_refused() -> None:
    deploy, state = find_family("mbt2018-mean-vbr"), state_of_untrained("mbt2018-mean-vbr")
    with pytest.raises(ExportError, match="quantisation_offsets=False"):
        deploy(state)
    with pytest.raises(ExportError, match="rate is 8; the model has 0 to 7"):
        deploy(state, rate=8)


@pytest.mark.parametrize("options", [{}, {"quantisation_offsets": False}])
def test_a_hyper_latent_with_steps_of_all_rates_is_refused(options: dict[str, Any]) -> None:
    state = untrained("mbt2018-mean-vbr", vr_entbttlnck=True).state_dict()
    with pytest.raises(ExportError, match=r"vr_entbttlnck.*rate=NUMBER"):
        find_family("mbt2018-mean-vbr")(state, **options)


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-vbr")])
def test_a_checkpoint_of_such_a_model_loads_with_tables_and_without(name: str) -> None:
    """Also by the names, and with the values, that older versions saved."""
    model: Any = untrained(name, vr_entbttlnck=True)
    plain = model.state_dict()
    model.update(force=True, scale=model.Gain[2].detach())
    older = {
        key.replace("bottleneck._matrix", "bottleneck._matrices."): value
        for key, value in model.state_dict().items()
    }
    for state in plain, model.state_dict(), {**older, "QuantOffset": torch.zeros(1)}:
        found = load(name, state).state_dict()
        weights = [key for key, _ in model.named_parameters()]
        assert all(torch.equal(found[key], plain[key]) for key in weights)
    assert older.keys() != plain.keys()


@pytest.mark.parametrize("name", MODELS)
def test_graphs_have_nothing_that_only_training_needs(name: str, tmp_path: Any) -> None:
    options = {"quantisation_offsets": False} if name.endswith("-vbr") else {}
    deployment = find_family(name)(state_of_untrained(name), **options)
    engine = write(tmp_path / "model.fcmrt", deployment, name=name)
    for graph in engine.manifest.graphs:
        nodes = onnx.load_from_string(engine.graph(graph)).graph.node
        assert {node.op_type for node in nodes} <= OPERATORS, graph


def test_gdn_becomes_a_convolution_and_a_root() -> None:
    deployment = find_family("bmshj2018-factorized")(state_of_untrained("bmshj2018-factorized"))
    analysis = deployment.networks["analysis"]
    graph = export_graph(analysis, [torch.zeros(1, 3, 64, 64)], ["x"], ["y"])
    made = [node.op_type for node in onnx.load_from_string(graph).graph.node]
    made = [op for op in made if op not in ("Constant", "Cast", "Identity")]
    assert made == [*(["Conv", "Mul", "Conv", "Sqrt", "Div"] * 3), "Conv", "Sub"]
