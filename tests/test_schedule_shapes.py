"""Schedules of published codecs, and a machine that follows schedules to check the proof."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import EngineError
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import FeatureSpec, LatentSpec, TensorSpec
from fcmrt.validator import validate

from .engines import context_parts, hyperprior_parts

# The shapes that published codecs need.


def sequential(groups: list[int], parities: list[Any], *, residual: bool) -> dict[str, Any]:
    """A codec of channel groups, each coded in parts, each part known to all later ones."""
    channels = sum(groups)
    tensors = {
        "y": TensorSpec(channels, 1, "float32"),
        "z": TensorSpec(192, 4, "float32"),
        "z_hat": TensorSpec(192, 4, "float32"),
        "hyper": TensorSpec(640, 1, "float32"),
        "f_hat": TensorSpec(256, 1, "float32"),
    }
    latents = {"z": LatentSpec("z", "hyper", None, None, step=False, skip=0)}
    graphs = {"analysis", "hyper_synthesis", "synthesis"}
    hyper = [Dequantize("z", "z_hat"), Run("hyper_synthesis", ("z_hat",), ("hyper",))]
    encode: list[Any] = [Run("analysis", ("f",), ("y", "z")), Quantize("z"), *hyper]
    decode: list[Any] = [Code("z"), *hyper]
    known: list[str] = []
    start = 0
    for k, size in enumerate(groups):
        for parity in parities:
            part = f"y{k}{parity or ''}"
            tensors[f"{part}_mean"] = tensors[f"{part}_index"] = TensorSpec(size, 1, "int32")
            tensors[f"{part}_hat"] = TensorSpec(channels, 1, "float32")
            latents[part] = LatentSpec(
                "y",
                "gaussian",
                f"{part}_index",
                f"{part}_mean",
                step=True,
                skip=4,
                channels=(start, start + size),
                parity=parity,
            )
            graphs.add(f"context_{part}")
            run = Run(f"context_{part}", ("hyper", *known), (f"{part}_mean", f"{part}_index"))
            after: list[Any] = [Dequantize(part, f"{part}_hat")]
            if residual:
                tensors[f"{part}_refined"] = TensorSpec(size, 1, "float32")
                graphs.add(f"residual_{part}")
                inputs = ("hyper", f"{part}_hat", *known)
                after.append(Run(f"residual_{part}", inputs, (f"{part}_refined",)))
            last = k == len(groups) - 1 and parity == parities[-1]
            encode += [run, Quantize(part), *([] if last else after)]
            decode += [run, Code(part), *after]
            known.append(f"{part}_refined" if residual else f"{part}_hat")
        start += size
    encode += [Code(name) for name in latents]
    decode.append(Run("synthesis", tuple(known), ("f_hat",)))
    return {
        "features": (FeatureSpec("f", 256, 1),),
        "tensors": tensors,
        "latents": latents,
        "graphs": graphs,
        "tables": {"hyper", "gaussian"},
        "encode": encode,
        "decode": decode,
        "outputs": {"f": "f_hat"},
    }


def test_elic_ten_steps_of_groups_and_parities():
    elic = sequential([16, 16, 32, 64, 192], ["even", "odd"], residual=False)
    assert sum(isinstance(step, Code) for step in elic["decode"]) == 11
    validate(**elic)


def test_lic_tcm_five_slices_with_latent_residual_prediction():
    tcm = sequential([64] * 5, [None], residual=True)
    assert sum(isinstance(step, Code) for step in tcm["decode"]) == 6
    validate(**tcm)


# The proof against a machine that follows the schedule with made-up values.


class MismatchError(Exception):
    pass


def follow(changed: dict[str, Any]) -> dict[str, Any]:
    """Encodes and decodes with hashes for values; gives what the decoder's tensors became."""
    latents = changed["latents"]
    packet: list[tuple[Any, ...]] = []

    def walk(side: str, env: dict[str, Any]) -> dict[str, Any]:
        symbols: dict[str, Any] = {}
        position = 0
        for step in changed[side]:
            if isinstance(step, Run):
                fed = hash(frozenset((name, env[name]) for name in step.inputs))
                env.update({name: hash((step.graph, name, fed)) for name in step.outputs})
                continue
            latent = latents[step.latent]
            prior = env.get(latent.indexes), env.get(latent.means)
            if None in prior and latent.indexes is not None and not isinstance(step, Dequantize):
                raise MismatchError
            if isinstance(step, Quantize):
                symbols[step.latent] = hash((env[latent.source], prior, step.latent))
            elif isinstance(step, Dequantize):
                env[step.output] = hash((symbols[step.latent], prior[1]))
            elif side == "encode":
                packet.append((step.latent, prior, symbols[step.latent]))
            else:
                name, expected, value = packet[position]
                position += 1
                if (name, expected) != (step.latent, prior):
                    raise MismatchError
                symbols[name] = value
        return env

    walk("encode", {feature.name: hash(feature) for feature in changed["features"]})
    decoded = walk("decode", {})
    if not set(changed["outputs"].values()) <= set(decoded):
        raise MismatchError
    return decoded


def test_the_follower_agrees_with_valid_schedules():
    follow(hyperprior_parts().schedule())
    follow(context_parts().schedule())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_schedule_passes_that_cannot_be_followed(data):
    changed = data.draw(st.sampled_from([hyperprior_parts(), context_parts()])).schedule()
    for _ in range(data.draw(st.integers(1, 2))):
        steps = changed[data.draw(st.sampled_from(["encode", "decode"]))]
        i = data.draw(st.integers(0, len(steps) - 1))
        match data.draw(st.sampled_from(["swap", "delete", "repeat", "input", "latent"])):
            case "swap":
                j = data.draw(st.integers(0, len(steps) - 1))
                steps[i], steps[j] = steps[j], steps[i]
            case "delete" if len(steps) > 1:
                del steps[i]
            case "repeat":
                steps.insert(data.draw(st.integers(0, len(steps))), steps[i])
            case "input" if isinstance(steps[i], Run):
                names = st.sampled_from(sorted(changed["tensors"]))
                inputs = (*steps[i].inputs[:-1], data.draw(names))
                steps[i] = dataclasses.replace(steps[i], inputs=inputs)
            case "latent" if not isinstance(steps[i], Run):
                names = st.sampled_from(sorted(changed["latents"]))
                steps[i] = dataclasses.replace(steps[i], latent=data.draw(names))
    try:
        validate(**changed)
    except EngineError:
        return
    follow(changed)
