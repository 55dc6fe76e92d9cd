"""Quality by gains: graphs are told the position, the quantiser's step stays 1."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import onnx
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.engine_writer import pack_engine
from fcmrt.errors import BitstreamError, ConfigError, EngineError
from fcmrt.manifestjson import read_manifest, write_manifest
from fcmrt.schedule import Run
from fcmrt.spec import ONE_STEP, Quality, StepTable
from fcmrt.validator import validate
from fcmrt.verify import verify
from tests.engines import gain_parts, tiny_gain, tiny_hyperprior
from tests.features import random_features
from tests.test_decoder import rewritten

QUALITIES = (1, 1.5, 2, 2.25, 3)


def test_the_position_is_a_sixteenth_of_the_step_number_turned_round():
    quality = Quality((0, -16, -32), 2, "position")
    assert quality.mechanism == "gain"
    assert [quality.position(quality.shift(level)) for level in QUALITIES] == [0, 0.5, 1, 1.25, 2]
    assert Quality((8, 0), 1).mechanism == "step"


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1)])
def test_latents_grow_with_the_quality(size):
    engine = tiny_gain()
    features = random_features(engine, size)
    plain = Encoder(engine).walk(features, quality=1)
    for level in QUALITIES:
        walk = Encoder(engine).walk(features, quality=level)
        assert walk.tensors["position"].shape == (1, 1, 1, 1)
        assert walk.tensors["position"] == np.float32(level - 1)
        np.testing.assert_allclose(
            walk.tensors["y"], plain.tensors["y"] * 2 ** (level - 1), rtol=1e-5, atol=1e-6
        )
        packet = Encoder(engine, quality=level).encode(features)
        integers = Decoder(engine).integers(packet)
        for name, found in walk.integers.items():
            np.testing.assert_array_equal(integers[name].symbols, found.symbols)


def test_bytes_grow_with_the_quality():
    engine = tiny_gain()
    features = random_features(engine, (16, 20))
    sizes = [len(Encoder(engine).encode(features, quality=level)) for level in QUALITIES]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


def test_the_decoder_undoes_the_gain():
    engine = tiny_gain()
    features = random_features(engine, (16, 16))
    found = [
        Decoder(engine).decode(Encoder(engine).encode(features, quality=level))["p3"]
        for level in (1, 3)
    ]
    # Two octaves apart in the latent, but alike once they are decoded.
    assert np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1] > 0.9
    assert 0.5 < np.std(found[0]) / np.std(found[1]) < 2


def test_step_numbers_between_the_levels_and_none_beyond():
    engine = tiny_gain()
    assert engine.manifest.step_numbers == range(-32, 1)
    features = random_features(engine, (4, 4))
    packets = {bytes(Encoder(engine).encode(features, step=d)) for d in range(-32, 1)}
    assert len(packets) == 33
    packet = Encoder(engine).encode(features, step=-5)
    for d in (1, -33):
        with pytest.raises(ConfigError, match=f"step {d} is not one of the engine's, -32 to 0"):
            Encoder(engine).encode(features, step=d)
        with pytest.raises(BitstreamError, match=f"step {d} is not in the engine"):
            Decoder(engine).decode(rewritten(engine, packet, step=d))


@pytest.mark.parametrize("runner", ["onnxruntime", "torch", "reference"])
def test_every_runner_takes_the_position(runner):
    if runner != "onnxruntime":
        pytest.importorskip("torch")
    engine = tiny_gain()
    features = random_features(engine, (9, 12))
    packet = Encoder(engine, quality=2.5).encode(features)
    wanted = Decoder(engine).decode(packet)
    found = Decoder(engine, options=RuntimeOptions(runner=runner)).decode(packet)
    for name in wanted:
        np.testing.assert_allclose(
            found[name], wanted[name], atol=1e-5 * np.abs(wanted[name]).max()
        )


def test_verification_covers_gains():
    engine = tiny_gain()
    found = verify(engine, [random_features(engine, (9, 12))], quality=1.75, repeats=1)
    assert found.exact
    assert all(stage.error is None for stage in found.stages)


# What the manifest says.


def test_formats():
    text = write_manifest(tiny_gain().manifest)
    value = json.loads(text)
    assert value["format"] == [0, 3]
    assert value["quality"] == {
        "mechanism": "gain",
        "input": "position",
        "levels": [0, -16, -32],
        "default": 2,
    }
    assert read_manifest(text) == tiny_gain().manifest
    value["format"] = [0, 2]
    with pytest.raises(EngineError, match="mechanism is 'gain'; it must be one of step"):
        read_manifest(json.dumps(value).encode())


def test_engines_by_steps_stay_of_format_0_2_and_are_read_as_0_3_too():
    value = json.loads(write_manifest(tiny_hyperprior().manifest))
    assert value["format"] == [0, 2]
    value["format"] = [0, 3]
    assert read_manifest(json.dumps(value).encode()) == tiny_hyperprior().manifest


@pytest.mark.parametrize("version", [[0, 1], [0, 5], [1, 3], [0, 3.0], [0, [3]], [0]])
def test_other_formats_are_refused(version):
    value = json.loads(write_manifest(tiny_gain().manifest)) | {"format": version}
    with pytest.raises(EngineError, match=r"manifest\.format"):
        read_manifest(json.dumps(value).encode())


def test_two_mechanisms_are_never_mixed():
    manifest = tiny_gain().manifest
    latents = dict(manifest.latents)
    latents["y"] = dataclasses.replace(latents["y"], step=True)
    with pytest.raises(EngineError, match="'gain', but latent 'y' takes a step"):
        dataclasses.replace(manifest, latents=latents).check()
    with pytest.raises(EngineError, match=r"manifest\.steps has one step"):
        dataclasses.replace(manifest, steps=StepTable(0, (70000,))).check()
    assert manifest.steps == ONE_STEP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "y"}, "quality.input: another tensor is named 'y'"),
        ({"input": "p3"}, "quality.input: another tensor is named 'p3'"),
        ({"input": "other"}, "tensor 'position' is not declared"),
    ],
)
def test_the_name_of_the_position_is_its_own(change, message):
    manifest = tiny_gain().manifest
    quality = dataclasses.replace(manifest.quality, **change)
    with pytest.raises(EngineError, match=message):
        dataclasses.replace(manifest, quality=quality).check()


# What the validator proves.


@pytest.fixture
def schedule() -> dict[str, Any]:
    return gain_parts().schedule()


def refuse(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        validate(**changed)


def test_the_schedule_holds(schedule):
    validate(**schedule)


def test_the_exact_path_does_not_follow_the_quality(schedule):
    hyper = Run("hyper_synthesis", ("z_hat", "position"), ("y_mean", "y_index"))
    schedule["encode"][3] = schedule["decode"][2] = hyper
    refuse(schedule, r"manifest\.decode\[2\] reads 'position', but the integers of 'hyper_syn")


def test_nor_through_another_graph(schedule):
    schedule["graphs"].add("scaling")
    schedule["tensors"]["scaled"] = schedule["tensors"]["z_hat"]
    scaling = Run("scaling", ("z_hat", "position"), ("scaled",))
    hyper = Run("hyper_synthesis", ("scaled",), ("y_mean", "y_index"))
    schedule["encode"][3:4] = [scaling, hyper]
    schedule["decode"][2:3] = [scaling, hyper]
    refuse(schedule, r"manifest\.decode\[2\] reads 'position', but the integers of 'scaling'")


@pytest.mark.parametrize("side", ["encode", "decode"])
def test_both_sides_read_the_position(schedule, side):
    schedule[side] = [
        dataclasses.replace(step, inputs=tuple(n for n in step.inputs if n != "position"))
        if isinstance(step, Run)
        else step
        for step in schedule[side]
    ]
    refuse(schedule, rf"quality\.input: nothing in manifest\.{side} reads 'position'")


def test_nothing_else_reads_or_writes_it(schedule):
    schedule["outputs"]["p3"] = "position"
    refuse(schedule, r"manifest\.outputs\.p3: tensor 'position' is not declared")
    schedule = gain_parts().schedule()
    schedule["decode"][-1] = Run("synthesis", ("y_hat", "position"), ("position", "p4_hat"))
    refuse(schedule, "tensor 'position' is not declared")
    schedule = gain_parts().schedule()
    schedule["latents"]["y"] = dataclasses.replace(schedule["latents"]["y"], source="position")
    refuse(schedule, r"latents\.y\.source: tensor 'position' is not declared")


@pytest.mark.parametrize("dims", [[1, 1, 2, 1], [1, 12, 1, 1], [1, 1]])
def test_graphs_take_it_as_one_number(dims):
    parts = gain_parts()
    model = onnx.load_model_from_string(parts.graphs["synthesis"])
    (port,) = [port for port in model.graph.input if port.name == "position"]
    shape = port.type.tensor_type.shape
    del shape.dim[:]
    for side in dims:
        shape.dim.add().dim_value = side
    graphs = {**parts.graphs, "synthesis": model.SerializeToString()}
    with pytest.raises(EngineError, match=r"'position' is \[1, 1, 1, 1\] in the manifest"):
        Engine.load(pack_engine(parts.manifest, graphs, parts.tables))
