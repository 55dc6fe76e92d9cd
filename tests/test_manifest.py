"""The manifest's JSON: what it holds, and that nothing else is taken."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import strictjson
from fcmrt.errors import EngineError
from fcmrt.manifestjson import MAX_MANIFEST_BYTES, read_manifest, write_manifest

from .engines import context_parts, factorized_parts, hyperprior_parts, tiny_hyperprior

DELETE = object()


@pytest.fixture(scope="module")
def text() -> bytes:
    return write_manifest(tiny_hyperprior().manifest)


@pytest.fixture
def value(text) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def refuse(data: Any, message: str) -> None:
    encoded = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(EngineError, match=message):
        read_manifest(encoded)


def test_round_trip(text):
    manifest = read_manifest(text)
    assert manifest == tiny_hyperprior().manifest
    assert write_manifest(manifest) == text
    assert dict(manifest.card) == {"purpose": "tests", "weights": "seeded, not trained"}


def test_layout_of_the_text_does_not_matter(text):
    assert read_manifest(json.dumps(json.loads(text)).encode()) == read_manifest(text)


@pytest.mark.parametrize("parts", [hyperprior_parts, context_parts, factorized_parts])
def test_manifests_made_by_hand_check_once_their_members_are_named(parts):
    manifest = parts().manifest
    with pytest.raises(EngineError, match="is not declared"):
        manifest.check()


def test_mappings_are_read_only():
    manifest = tiny_hyperprior().manifest
    with pytest.raises(TypeError):
        manifest.tensors["y"] = manifest.tensors["z"]
    with pytest.raises(TypeError):
        manifest.card["purpose"] = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.name = "other"


def test_card_keeps_any_json(value):
    card = {"ünï": [1, 2.5, None, True, {"deep": ["漢"]}], "": -(10**18)}
    value["card"] = card
    manifest = read_manifest(json.dumps(value).encode())
    assert json.loads(write_manifest(manifest))["card"] == card
    assert read_manifest(write_manifest(manifest)) == manifest


@pytest.mark.parametrize("card", [{"x": float("nan")}, {"x": b""}, {"x": "\ud800"}])
def test_cards_that_json_cannot_hold_are_refused(card):
    with pytest.raises(EngineError, match="JSON cannot hold"):
        write_manifest(dataclasses.replace(tiny_hyperprior().manifest, card=card))


def change(value: dict[str, Any], path: str, new: Any) -> None:
    *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in way:
        value = value[key]
    if new is DELETE:
        del value[last]
    else:
        value[last] = new


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("format", [0, 1], "manifest.format is 0.1; this library reads engines of format 0.2"),
        ("format", [False, True], "manifest.format is"),
        ("format", DELETE, "manifest.format is null"),
        ("extra", 1, "manifest: unknown key 'extra'"),
        ("name", DELETE, "manifest: the key 'name' is missing"),
        ("name", "../up", "a name has 1 to 64"),
        ("name", "x" * 65, "a name has 1 to 64"),
        ("family", "", "a name has 1 to 64"),
        ("profile", "fast", "manifest.profile is 'fast'; it must be one of exact, same-engine"),
        ("features", [], "manifest.features has 0 items"),
        ("features", {}, "manifest.features is an object; it must be an array"),
        ("features/0/stride", 2, "the finest level must have stride 1"),
        ("features/0/name", "p4", "two features have the same name"),
        ("features/1/stride", 3, "manifest.padding.multiple is 4; it must be a multiple"),
        ("features/1/channels", 0, r"manifest.features\[1\].channels is 0; it must be 1 to"),
        ("features/1/channels", 8.0, r"features\[1\].channels is a number; it must be an integer"),
        ("features/1/channels", True, r"features\[1\].channels is true or false"),
        ("features/1/channels", 10**30, "integer of 31 digits"),
        ("padding/multiple", 0, "manifest.padding.multiple is 0"),
        ("padding/mode", "wrap", "manifest.padding.mode is 'wrap'"),
        ("padding/align", None, "manifest.padding.align is null; it must be a string"),
        ("tensors/y/dtype", "float64", "manifest.tensors.y.dtype is 'float64'"),
        ("tensors/y/stride", -2, "manifest.tensors.y.stride is -2"),
        ("tensors/y/shape", [1], "manifest.tensors.y: unknown key 'shape'"),
        ("tensors/a b", {}, "a name has 1 to 64"),
        ("latents/y/skip", -1, "manifest.latents.y.skip is -1"),
        ("latents/y/skip", "4", "manifest.latents.y.skip is a string"),
        ("latents/y/step", 1, "manifest.latents.y.step is an integer; it must be true or false"),
        ("latents/y/parity", "both", "manifest.latents.y.parity is 'both'"),
        ("latents/y/channels", [0], "manifest.latents.y.channels has 1 items"),
        ("latents/y/channels", [-1, 12], r"manifest.latents.y.channels\[0\] is -1"),
        ("latents/y/mask", "even", "unknown key 'mask'"),
        ("latents/y/indexes", None, "manifest.latents.y.indexes is null"),
        ("mean_bits", 17, "manifest.mean_bits is 17; it must be 0 to 16"),
        ("steps/first", -7, "manifest.quality.levels go from 16 to -8; manifest.steps has -7 to"),
        ("steps/values", [], "manifest.steps.values has 0 items"),
        ("steps/values/1", 32768, r"manifest.steps.values\[1\] is 32768; it must be 32769"),
        ("steps/values/0", 0, r"manifest.steps.values\[0\] is 0; it must be 1"),
        ("steps/values/24", 1 << 32, r"manifest.steps.values\[24\] is 4294967296"),
        ("quality/mechanism", "gain", "manifest.quality.mechanism is 'gain'"),
        ("quality/levels", [16, 16], r"manifest.quality.levels\[1\] is 16"),
        ("quality/levels", [0, 17], r"manifest.quality.levels\[1\] is 17"),
        ("quality/default", 5, "manifest.quality.default is 5; it must be 1 to 4"),
        ("encode/3/run", "other", r"manifest.encode\[3\].run: graph 'other' is not declared"),
        ("encode/3", {"jump": 1}, r"manifest.encode\[3\] has the keys 'jump'"),
        ("decode", [], "manifest.decode has 0 items"),
        ("outputs/p4", 3, "manifest.outputs.p4 is an integer"),
        ("exact", {}, "manifest.exact lacks 'hyper_synthesis'"),
        ("exact/synthesis", {"layers": {}}, "exact.synthesis: the graph is not on the exact path"),
        ("exact/hyper_synthesis", {}, "exact.hyper_synthesis: the key 'layers' is missing"),
        ("exact/hyper_synthesis/layers/v2", -1, "layers.v2 is -1; it must be 0 to 16777215"),
        ("profile", "same-engine", "not on the exact path of a same-engine engine"),
        ("graphs/analysis/file", "graphs/../a.onnx", "it must be graphs/analysis.onnx"),
        ("graphs/analysis/sha256", "F" * 64, "64 hexadecimal digits in lower case"),
        ("graphs/analysis/bytes", -1, "manifest.graphs.analysis.bytes is -1"),
        ("tables/hyper/file", "hyper.bin", "it must be tables/hyper.bin"),
        ("card", [], "manifest.card is an array"),
    ],
)
def test_wrong_values(value, path, new, message):
    change(value, path, new)
    refuse(value, message)


def test_codecs_without_steps_have_one_quality():
    manifest = factorized_parts().manifest
    with pytest.raises(EngineError, match="no latent takes a step"):
        dataclasses.replace(
            manifest, quality=dataclasses.replace(manifest.quality, levels=(1,))
        ).check()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"null", "manifest is null; it must be an object"),
        (b"{", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"card": {"a": [{"b": 0, "b": 0}]}}', "the key 'b' twice"),
        (b'{"a": NaN}', "NaN, which is not JSON"),
        (b'{"a": -Infinity}', "-Infinity, which is not JSON"),
        (b'{"a": 1e999}', "1e999, which is out of range"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "an integer of 5001 digits"),
        (b'{"a": "\xff"}', "not JSON in UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        ('{"a": 1}'.encode("utf-16"), "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON in UTF-8"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b'{"a":' * 100_000, "nested deeper than 32"),
        (b'"' + b'\\"' * 200_000, "not JSON"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "4194304 are allowed"),
    ],
)
def test_wrong_json(data, message):
    refuse(data, message)


def test_many_entries_take_no_time():
    keys = ",".join(f'"k{i}": 0' for i in range(200_000))
    refuse(f'{{{keys}, "k199999": 1}}'.encode(), "the key 'k199999' twice")
    refuse(f"{{{keys}}}".encode(), "manifest.format is null")


def test_sections_are_bounded(value):
    value["latents"] = {f"k{i}": value["latents"]["y"] for i in range(1025)}
    refuse(value, "manifest.latents has 1025 entries; at most 1024")
    del value["latents"]["k0"]
    refuse(value, "exactly one latent must")


def test_brackets_in_strings_are_not_depth():
    text = json.dumps({"a": "[{" * 100 + '\\"'}).encode()
    assert strictjson.loads(text, "text", 1000) == json.loads(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_one_value_is_refused_or_read(data):
    value = copy.deepcopy(json.loads(write_manifest(tiny_hyperprior().manifest)))
    node: Any = value
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=5,
    )
    node[key] = data.draw(json_values)
    try:
        manifest = read_manifest(json.dumps(value).encode())
    except EngineError:
        return
    assert read_manifest(write_manifest(manifest)) == manifest


def test_the_digest_is_that_of_the_exact_bytes(text):
    assert tiny_hyperprior().digest == hashlib.sha256(text).digest()
