"""The importance model in a manifest, and the graph that goes with it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from fcmrt.engine import Engine
from fcmrt.engine_writer import pack_engine
from fcmrt.errors import EngineError
from fcmrt.importance_model import importance_value, parse_importance
from fcmrt.manifestjson import read_manifest, write_manifest
from fcmrt.spec import FeatureSpec, TensorSpec

from .allocating import allocating_parts, tiny_allocating
from .engines import gain_parts
from .graph_maker import GraphMaker
from .level_engine import LEVELS, level_parts


def value() -> dict[str, Any]:
    """As it stands in JSON."""
    model = allocating_parts().manifest.importance
    assert model is not None
    found: dict[str, Any] = json.loads(json.dumps(importance_value(model)))
    return found


def test_a_model_is_read_as_it_was_written() -> None:
    assert parse_importance(value(), "model") == allocating_parts().manifest.importance


def test_the_format_is_new_only_where_there_is_a_model() -> None:
    for parts, version in (level_parts(), [0, 2]), (allocating_parts(), [0, 4]):
        text = write_manifest(Engine.load(parts.pack()).manifest)
        found = json.loads(text)
        assert found["format"] == version
        assert ("importance" in found) == (version == [0, 4])
        assert read_manifest(text).importance == parts.manifest.importance


@pytest.mark.parametrize("version", [[0, 2], [0, 3]])
def test_older_formats_have_no_model(version: list[int]) -> None:
    found = json.loads(write_manifest(tiny_allocating().manifest))
    found["format"] = version
    with pytest.raises(EngineError, match="unknown key 'importance'"):
        read_manifest(json.dumps(found).encode())


def test_the_new_format_must_have_one() -> None:
    found = json.loads(write_manifest(tiny_allocating().manifest))
    del found["importance"]
    with pytest.raises(EngineError, match="'importance' is missing"):
        read_manifest(json.dumps(found).encode())


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        ("graph", "no such name!", "a name has"),
        ("steps", [0], "it must have 2 to 256"),
        ("steps", [0, 0, 8, 16], "steps\\[1\\] is 0"),
        ("steps", [-8, 0, 8, 1e9], "must be an integer"),
        ("spread", -1, "spread is -1"),
        ("levels", {}, "0 entries"),
        ("levels/p3/alpha", 0, "alpha must be above 0"),
        ("levels/p3/beta", 0.5, "beta below 0"),
        ("levels/p3/fit", 1.5, "fit at most 1"),
        ("levels/p3/alpha", 1e40, "must be within"),
        ("levels/p3/alpha", True, "must be a number"),
        ("levels/p3/alpha", "1", "must be a number"),
        ("levels/p4/losses", [1, 2, 3], "3 items"),
        ("levels/p4/losses", [1, 2, 3, 2.9], "losses decreases"),
        ("levels/p4/losses", [0, 2, 3, 4], "not above 0"),
        ("levels/p4/rates", [4, 3, 3, 1], "rates does not decrease"),
        ("levels/p4/rates", [4, 3, 2, 1e-300], "must be within"),
    ],
)
def test_what_does_not_hold_is_refused(path: str, wrong: object, message: str) -> None:
    found = value()
    *where, key = path.split("/")
    place = found
    for name in where:
        place = place[name]
    place[key] = wrong
    with pytest.raises(EngineError, match=message):
        parse_importance(found, "model")


def test_unknown_and_missing_keys_are_refused() -> None:
    for change in ({"more": 1}, {"spread": None}):
        found = value() | change
        if change == {"spread": None}:
            del found["spread"]
        with pytest.raises(EngineError, match=r"unknown key|is missing"):
            parse_importance(found, "model")


def packed(**changes: Any) -> bytes:
    parts = allocating_parts()
    model = parts.manifest.importance
    assert model is not None
    changed = dataclasses.replace(model, **changes)
    manifest = dataclasses.replace(parts.manifest, importance=changed)
    return pack_engine(manifest, parts.graphs, parts.tables)


def packed_with(graph: str) -> bytes:
    """With the bytes of another graph in the place of its own."""
    parts = allocating_parts()
    graphs = {**parts.graphs, "importance": parts.graphs[graph]}
    return pack_engine(parts.manifest, graphs, parts.tables)


def test_its_levels_are_the_engines_in_their_order() -> None:
    model = allocating_parts().manifest.importance
    assert model is not None
    backwards = dict(reversed(model.levels.items()))
    with pytest.raises(EngineError, match="given bits apart are p3, p4, p5, in this order"):
        Engine.load(packed(levels=backwards))


def test_its_steps_are_within_the_engines() -> None:
    with pytest.raises(EngineError, match=r"steps go from -8 to 17; manifest.steps has -8 to 16"):
        Engine.load(packed(steps=(-8, 0, 8, 17)))


def test_its_graph_is_declared() -> None:
    with pytest.raises(EngineError, match="graph 'other' is not declared"):
        Engine.load(packed(graph="other"))


@pytest.mark.parametrize("feature", LEVELS, ids=[f.name for f in LEVELS])
def test_its_graph_takes_all_features_with_their_channels(feature: FeatureSpec) -> None:
    names = [f.name for f in LEVELS]
    specs = {f.name: f.tensor for f in LEVELS} | {"importance": TensorSpec(3, 4, "float32")}

    def loaded(inputs: list[str], specs: dict[str, TensorSpec]) -> Engine:
        g = GraphMaker(61)
        maps = [g.conv(f.name, f.channels, 3, 3, 4 // f.stride) for f in LEVELS if f.name in inputs]
        g.op("Sum", *maps, output="importance")
        graph = g.model("importance", specs, inputs, ("importance",))
        parts = allocating_parts()
        graphs = {**parts.graphs, "importance": graph}
        return Engine.load(pack_engine(parts.manifest, graphs, parts.tables))

    assert loaded(names, specs).manifest.importance is not None
    fewer = [name for name in names if name != feature.name]
    with pytest.raises(EngineError, match=r"it must take all features and give importance"):
        loaded(fewer, specs)
    other = TensorSpec(feature.channels + 1, feature.stride, "float32")
    with pytest.raises(EngineError, match=rf"'{feature.name}' must be float32 \[1, "):
        loaded(names, specs | {feature.name: other})


def test_another_graph_in_its_place_is_refused() -> None:
    with pytest.raises(EngineError, match="it must take all features and give importance"):
        Engine.load(packed_with("p3_hyper_synthesis"))


def test_engines_whose_quality_follows_gains_have_none() -> None:
    parts = gain_parts()
    manifest = dataclasses.replace(
        parts.manifest, importance=allocating_parts().manifest.importance
    )
    graphs = {**parts.graphs, "importance": parts.graphs["analysis"]}
    with pytest.raises(EngineError, match="mechanism is 'gain'; it must be one of step"):
        Engine.load(pack_engine(manifest, graphs, parts.tables))


def test_the_digest_covers_the_model() -> None:
    digests = {Engine.load(packed(spread=spread)).digest for spread in (9, 10, 11)}
    assert len(digests) == 3
    assert tiny_allocating().digest in digests
