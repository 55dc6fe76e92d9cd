"""Every graph of every engine is parsed and built by the real TensorRT-RTX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import onnx
import pytest
from onnx import TensorProto, helper

from fcmrt import Engine
from fcmrt.errors import ConfigError, PlanError
from fcmrt.plans import BuildOptions, Profile, Recipe, SizeRange

from .. import engines
from ..allocating import tiny_allocating
from .building import TARGETS, assert_builds, rtx

BUILTIN = ("lmsfc-v1-nanodet", "lmsfc-v2-nanodet")
MADE = (
    engines.tiny_hyperprior,
    engines.tiny_context,
    engines.tiny_factorized,
    engines.tiny_gain,
    engines.tiny_same_engine,
    tiny_allocating,
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", BUILTIN)
def test_engine_that_ships(name: str, target: str, tmp_path):
    sizes = (SizeRange.fixed(52, 52), SizeRange.parse("16x16..52x52..104x104"))
    assert_builds(Engine.builtin(name), tmp_path, targets=[target], sizes=sizes)


@pytest.mark.parametrize("make", MADE)
def test_engine_made_here(make: Callable[[], Engine], tmp_path):
    assert_builds(make(), tmp_path, targets=TARGETS[:1])


def recipe(model: onnx.ModelProto, shape: tuple[int, ...] = (1, 4, 8, 8)) -> Recipe:
    return Recipe(
        engine="hand-made",
        graph="analysis",
        model=model.SerializeToString(),
        profiles=(Profile(*({"x": shape},) * 3),),
        target="sm_89",
        options=BuildOptions(),
    )


def one_node(op: str, **attributes: object) -> onnx.ModelProto:
    port = [1, 4, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="the_node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, port)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, port)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_refusal_names_the_node_and_has_the_parser_s_words():
    library = rtx()
    library.build(recipe(one_node("Relu")))
    with pytest.raises(PlanError) as caught:
        library.build(recipe(one_node("Cast", to=TensorProto.INT16)))
    text = str(caught.value)
    assert "engine 'hand-made', graph 'analysis'" in text
    assert "at node 'the_node' (Cast)" in text
    assert "Unsupported data type" in text
    assert caught.value.node == "the_node"


def test_shapes_that_are_not_the_graph_s_are_refused():
    with pytest.raises(PlanError, match="'analysis'"):
        rtx().build(recipe(one_node("Relu"), shape=(1, 5, 8, 8)))


def test_what_is_no_model_is_refused():
    library = rtx()
    noise = dataclasses.replace(recipe(one_node("Relu")), model=b"\xffnoise")
    with pytest.raises(PlanError, match="cannot parse it"):
        library.build(noise)


def test_targets_it_knows():
    library = rtx()
    assert set(TARGETS) <= set(library.targets)
    with pytest.raises(ConfigError, match=r"sm_90.*sm_86, sm_89"):
        library.check_target("sm_90")


@pytest.mark.parametrize(
    "options",
    [BuildOptions(tf32=True), BuildOptions(optimization_level=0, workspace_bytes=1 << 26)],
)
def test_options_are_taken(options: BuildOptions):
    assert rtx().build(dataclasses.replace(recipe(one_node("Relu")), options=options))[0]
