"""The schedule: the steps of encoder and decoder, and their JSON form in the manifest."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from . import strictjson
from .errors import EngineError

Side = Literal["encode", "decode"]

_MAX_STEPS = 1024
_MAX_TENSORS = 256  # of one graph


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Runs a graph; its inputs and outputs have the names of the tensors."""

    graph: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Quantize:
    """Turns a latent's part of its source into symbols and clipped table indexes; encoder only."""

    latent: str


@dataclasses.dataclass(frozen=True, slots=True)
class Dequantize:
    """Turns a latent's symbols into a float tensor, zero outside of the latent."""

    latent: str
    output: str


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """Codes a latent's symbols: writes them in the encoder, reads them in the decoder."""

    latent: str


Step = Run | Quantize | Dequantize | Code

_KEYS: dict[str, tuple[str, ...]] = {
    "run": ("run", "inputs", "outputs"),
    "quantize": ("quantize",),
    "dequantize": ("dequantize", "output"),
    "code": ("code",),
}


def parse_steps(value: Any, side: Side) -> tuple[Step, ...]:
    """Reads one side's list of steps from its JSON value.

    Args:
        value: As parsed by `strictjson.loads`.
        side: Which list it is, for messages such as `manifest.encode[3].run: ...`.

    Raises:
        EngineError: An unknown kind of step or key, or a value of the wrong type.
    """
    place = f"manifest.{side}"
    steps = strictjson.array(value, place, 1, _MAX_STEPS)
    return tuple(_parse_step(step, f"{place}[{i}]", side) for i, step in enumerate(steps))


def _parse_step(value: Any, place: str, side: Side) -> Step:
    found = strictjson.mapping(value, place)
    kinds = [kind for kind in _KEYS if kind in found]
    if len(kinds) != 1:
        keys = ", ".join(repr(key[:64]) for key in found)
        raise EngineError(f"{place} has the keys {keys}; a step is one of {', '.join(_KEYS)}")
    kind = kinds[0]
    if kind == "quantize" and side == "decode":
        raise EngineError(f"{place}: only the encoder quantizes")
    strictjson.fields(found, place, _KEYS[kind])
    subject = strictjson.name(found[kind], f"{place}.{kind}")
    if kind == "run":
        inputs = _parse_names(found["inputs"], f"{place}.inputs")
        return Run(subject, inputs, _parse_names(found["outputs"], f"{place}.outputs"))
    if kind == "dequantize":
        return Dequantize(subject, strictjson.name(found["output"], f"{place}.output"))
    return Quantize(subject) if kind == "quantize" else Code(subject)


def _parse_names(value: Any, place: str) -> tuple[str, ...]:
    items = strictjson.array(value, place, 1, _MAX_TENSORS)
    names = tuple(strictjson.name(item, f"{place}[{i}]") for i, item in enumerate(items))
    if len(set(names)) != len(names):
        raise EngineError(f"{place} names a tensor twice")
    return names


def step_value(step: Step) -> dict[str, Any]:
    """Returns the JSON value of a step, as `parse_steps` reads it."""
    if isinstance(step, Run):
        return {"run": step.graph, "inputs": list(step.inputs), "outputs": list(step.outputs)}
    if isinstance(step, Dequantize):
        return {"dequantize": step.latent, "output": step.output}
    if isinstance(step, Quantize):
        return {"quantize": step.latent}
    return {"code": step.latent}
