"""Parsing of schedules, and the proof that they decode what they encode."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fcmrt.errors import EngineError
from fcmrt.schedule import Code, Dequantize, Quantize, Run, parse_steps, step_value
from fcmrt.spec import TensorSpec
from fcmrt.validator import check_exact, exact_path, validate

from .engines import context_parts, factorized_parts, hyperprior_parts


def refuse(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        validate(**changed)


@pytest.fixture
def schedule() -> dict[str, Any]:
    return hyperprior_parts().schedule()


def test_small_engines_hold():
    validate(**hyperprior_parts().schedule())
    validate(**context_parts().schedule())


# What must not pass.


def test_decoder_cannot_read_what_only_the_encoder_has(schedule):
    schedule["decode"][2] = Run("hyper_synthesis", ("z",), ("y_mean", "y_index"))
    refuse(schedule, r"manifest\.decode\[2\] reads 'z', which the encoder has")
    schedule["decode"][2] = Run("hyper_synthesis", ("p3",), ("y_mean", "y_index"))
    refuse(schedule, r"manifest\.decode\[2\] reads 'p3', which the encoder has")


def test_means_from_unquantised_values_are_refused(schedule):
    # The classic fault: the encoder's parameters come from z itself, the decoder's from z_hat.
    schedule["encode"][3] = Run("hyper_synthesis", ("z",), ("y_mean", "y_index"))
    refuse(schedule, r"manifest\.decode\[2\]: tensor 'y_(mean|index)' is computed in another way")


def test_means_from_another_graph_are_refused(schedule):
    schedule["graphs"].add("other")
    schedule["encode"][3] = Run("other", ("z_hat",), ("y_mean", "y_index"))
    refuse(schedule, r"computed in another way than by manifest\.encode\[3\]")


def test_context_from_other_latents_is_refused():
    changed = context_parts().schedule()
    position, run = next(
        (i, s) for i, s in enumerate(changed["encode"]) if getattr(s, "graph", "") == "context_y1o"
    )
    swapped = dataclasses.replace(run, inputs=("hyper", "y0e_hat", "y0o_hat", "z_hat"))
    changed["encode"][position] = swapped
    refuse(changed, "'y1o_(mean|index)' is computed in another way|nothing in manifest.encode")


def test_order_of_code_steps_must_agree(schedule):
    schedule["encode"][-2:] = schedule["encode"][:-3:-1]
    refuse(schedule, "manifest.encode codes y, z, but manifest.decode z, y")


@pytest.mark.parametrize(
    ("side", "position", "step", "message"),
    [
        ("encode", 1, Quantize("y"), r"encode\[1\] reads 'y_mean' before any step has written it"),
        ("encode", 2, Dequantize("y", "y_hat"), "latent 'y' has not been quantized before"),
        ("encode", 5, Code("w"), r"manifest\.encode\[5\]: latent 'w' is not declared"),
        ("encode", 5, Quantize("z"), "latent 'z' is quantized a second time"),
        ("encode", 6, Code("z"), "latent 'z' is coded a second time"),
        ("encode", 4, Code("y"), "latent 'y' has not been quantized before"),
        ("encode", 0, Run("none", ("p3",), ("y", "z")), "graph 'none' is not declared"),
        ("encode", 0, Run("analysis", ("q",), ("y", "z")), "tensor 'q' is not declared"),
        ("encode", 0, Run("analysis", ("p3",), ("y", "z")), "nothing in .* reads 'p4'"),
        ("encode", 2, Dequantize("z", "y_hat"), "'y_hat' has 12 channels"),
        ("decode", 0, Quantize("z"), "only the encoder quantizes"),
        ("decode", 3, Code("z"), "latent 'z' is coded a second time"),
        ("decode", 1, Dequantize("y", "y_hat"), "latent 'y' has not been decoded before"),
        ("decode", 4, Dequantize("z", "z_hat"), "latent 'z' is dequantized a second time"),
        ("decode", 5, Run("synthesis", ("y_hat",), ("p3_hat",)), "outputs.p4: no step"),
        ("decode", 5, Run("synthesis", ("y_hat",), ("p3", "p4_hat")), "'p3'"),
    ],
)
def test_wrong_steps(schedule, side, position, step, message):
    schedule[side][position] = step
    refuse(schedule, message)


def test_every_tensor_is_written_once(schedule):
    schedule["encode"].insert(1, schedule["encode"][0])
    refuse(schedule, r"encode\[1\] writes 'y', which manifest\.encode\[0\] has written")


@pytest.mark.parametrize(
    ("side", "position", "message"),
    [
        ("encode", 6, "manifest.encode: latent 'y' is never coded"),
        ("decode", 4, "reads 'y_hat' before any step has written it"),
        ("decode", 5, "nothing in manifest.decode reads|no step of manifest.decode"),
        ("encode", 1, "latent 'z' has not been quantized before"),
    ],
)
def test_missing_steps(schedule, side, position, message):
    del schedule[side][position]
    refuse(schedule, message)


def test_a_latent_that_is_decoded_for_nothing_is_refused(schedule):
    schedule["latents"]["y"] = dataclasses.replace(schedule["latents"]["y"], channels=(0, 6))
    other = dataclasses.replace(schedule["latents"]["y"], channels=(6, 12))
    schedule["latents"]["w"] = other
    schedule["encode"] += [Quantize("w"), Code("w")]
    schedule["decode"].insert(4, Code("w"))
    refuse(schedule, "manifest.encode codes|latent 'w' is never dequantized")


def test_everything_declared_is_used(schedule):
    refuse(schedule | {"graphs": {*schedule["graphs"], "spare"}}, "graphs.spare is not used")
    refuse(schedule | {"tables": {*schedule["tables"], "spare"}}, "tables.spare is not used")
    spare = schedule["tensors"] | {"spare": TensorSpec(1, 1, "float32")}
    refuse(schedule | {"tensors": spare}, "tensors.spare is not used")
    latents = schedule["latents"] | {"spare": schedule["latents"]["z"]}
    refuse(schedule | {"latents": latents}, "exactly one latent must")


def test_names_of_features_are_taken(schedule):
    schedule["tensors"]["p3"] = TensorSpec(6, 1, "float32")
    refuse(schedule, "a feature has this name")


def test_outputs_must_be_those_of_the_features(schedule):
    refuse(schedule | {"outputs": {"p3": "p3_hat"}}, "one tensor for each feature")
    refuse(schedule | {"outputs": {"p3": "p3_hat", "p4": "p3_hat"}}, "outputs.p4: 'p3_hat' has 6")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "q"}, "latents.y.source: tensor 'q' is not declared"),
        ({"source": "y_mean"}, "is int32, not float32"),
        ({"tables": "q"}, "table set 'q' is not declared"),
        ({"means": "z_hat"}, "latents.y.means: 'z_hat' has 4 channels of float32 at stride 8"),
        ({"indexes": "y"}, "latents.y.indexes: 'y' has 12 channels of float32"),
        ({"indexes": None}, "takes no step and no skip"),
        ({"channels": (4, 4)}, r"channels is \[4, 4\]"),
        ({"channels": (0, 13)}, r"channels is \[0, 13\]; 'y' has 12"),
        ({"channels": (0, 11)}, r"no latent takes channels 11 to 11 \(even cells\) of 'y'"),
        ({"parity": "odd"}, r"no latent takes channels 0 to 11 \(even cells\) of 'y'"),
    ],
)
def test_wrong_latents(schedule, change, message):
    schedule["latents"]["y"] = dataclasses.replace(schedule["latents"]["y"], **change)
    refuse(schedule, message)


@pytest.mark.parametrize(
    "change", [{"parity": "even"}, {"parity": None}, {"channels": (0, 5)}, {"channels": (1, 4)}]
)
def test_overlaps_and_gaps(change):
    changed = context_parts().schedule()
    changed["latents"]["y0o"] = dataclasses.replace(changed["latents"]["y0o"], **change)
    refuse(changed, "exactly one latent must|channels")


# JSON.


def test_steps_survive_json():
    for manifest in hyperprior_parts().manifest, context_parts().manifest:
        for side, steps in ("encode", manifest.encode), ("decode", manifest.decode):
            assert parse_steps([step_value(step) for step in steps], side) == steps


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"jump": "z"}, r"manifest\.encode\[0\] has the keys 'jump'; a step is one of run"),
        ({}, "a step is one of"),
        ({"code": "z", "quantize": "z"}, "a step is one of"),
        ([], r"manifest\.encode\[0\] is an array; it must be an object"),
        ({"code": 1}, r"manifest\.encode\[0\]\.code is an integer; it must be a string"),
        ({"code": "a b"}, "a name has 1 to 64"),
        ({"code": "z", "lanes": 4}, "unknown key 'lanes'"),
        ({"dequantize": "z"}, "the key 'output' is missing"),
        ({"run": "a", "inputs": [], "outputs": ["y"]}, r"inputs has 0 items"),
        ({"run": "a", "inputs": ["p", "p"], "outputs": ["y"]}, "names a tensor twice"),
        ({"run": "a", "inputs": "p", "outputs": ["y"]}, r"inputs is a string"),
        ({"run": "a", "inputs": ["p"], "outputs": [None]}, r"outputs\[0\] is null"),
    ],
)
def test_wrong_json(step, message):
    with pytest.raises(EngineError, match=message):
        parse_steps([step], "encode")


def test_quantize_is_not_for_the_decoder():
    with pytest.raises(EngineError, match=r"manifest\.decode\[0\]: only the encoder quantizes"):
        parse_steps([{"quantize": "z"}], "decode")


# The exact path.


def test_exact_path_follows_the_integers():
    manifest = hyperprior_parts().manifest
    assert exact_path(manifest.latents, manifest.decode) == ("hyper_synthesis",)
    manifest = context_parts().manifest
    assert exact_path(manifest.latents, manifest.decode) == (
        "hyper_synthesis",  # through the others
        *("context_y0e", "context_y0o", "context_y1e", "context_y1o"),
    )
    manifest = factorized_parts().manifest
    assert exact_path(manifest.latents, manifest.decode) == ()


def test_exact_engines_prove_the_whole_path():
    manifest = context_parts().manifest
    for missing in manifest.exact:
        exact = [name for name in manifest.exact if name != missing]
        with pytest.raises(EngineError, match=f"manifest.exact lacks '{missing}'"):
            check_exact("exact", exact, manifest.latents, manifest.decode)


def test_nothing_but_the_path_is_proved():
    manifest = hyperprior_parts().manifest
    for profile, exact in (
        ("exact", ["hyper_synthesis", "synthesis"]),
        ("exact", ["hyper_synthesis", "other"]),
        ("same-engine", ["hyper_synthesis"]),
    ):
        with pytest.raises(EngineError, match=f"is not on the exact path of a {profile} engine"):
            check_exact(profile, exact, manifest.latents, manifest.decode)
    check_exact("same-engine", [], manifest.latents, manifest.decode)
