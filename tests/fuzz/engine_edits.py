"""Mutations that know what an engine file is made of: its JSON, its graphs, its tables."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import onnx

from .fields import HOSTILE, Field, emit, split, tamper

_OPERATORS = (
    *("Relu", "Identity", "Neg", "Abs", "Round", "Sqrt", "Log", "Exp", "Shape", "NonZero"),
    *("Add", "Sub", "Mul", "Div", "Pow", "MatMul", "Concat", "Conv", "ConvTranspose", "Cast"),
    *("Transpose", "DepthToSpace", "SpaceToDepth", "Split", "Clip", "Sum", "Pad", "Slice"),
    *("ConstantOfShape", "If", "Loop", "RandomNormalLike", "SequenceConstruct", "Unknown"),
)
_DOMAINS = ("", "", "ai.onnx", "com.microsoft", "ai.onnx.ml")


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places of a JSON value, as the container and the key or number in it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _slots(value[key])


def _odd_value(rng: random.Random, old: Any) -> Any:
    if isinstance(old, bool) or rng.random() < 0.2:
        deep: Any = 0
        for _ in range(40):
            deep = [deep]
        return rng.choice((None, True, False, 0, 1.0, "", "x" * 70, [], {}, [old], deep, 1e308))
    if isinstance(old, int):
        near = old + rng.choice((-1, 1))
        return rng.choice((near, near, 2 * old, old // 2, -old, rng.choice(HOSTILE), float(old)))
    if isinstance(old, str):
        return rng.choice((old[:-1], old + "x", "../" + old, "channel", "float16", "\ud800"))
    return rng.choice(([], {}, None, 0))


def edit_manifest(rng: random.Random, text: bytes) -> bytes:
    """Changes the JSON of a manifest: values, keys, order, or whole lines."""
    lines = text.split(b"\n")
    if rng.random() < 0.2:  # as text: a key twice, a missing comma, an entry somewhere else
        k, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        line = lines.pop(k) if rng.random() < 0.5 else lines[k]
        lines.insert(other, line)
        return b"\n".join(lines)
    manifest = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        slots = list(_slots(manifest))
        if not slots:
            break
        holder, key = rng.choice(slots)
        kin = [(h, k) for h, k in slots if type(h[k]) is type(holder[key])]
        there, name = rng.choice(kin)
        match rng.randrange(10):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 1:
                holder[f"{key}2"] = copy.deepcopy(holder[key])
            case 2 if isinstance(holder, list):
                rng.shuffle(holder)
            case 2 | 3:
                holder[key] = copy.deepcopy(there[name])
            case 4:
                holder[key], there[name] = copy.deepcopy((there[name], holder[key]))
            case _:
                holder[key] = _odd_value(rng, holder[key])
    dumped = json.dumps(manifest, ensure_ascii=rng.random() < 0.5)
    return dumped.encode("utf-8", "surrogatepass")


def edit_tables(rng: random.Random, data: bytes) -> bytes:
    """Changes the numbers of a table set, in half of the cases so that it stays one."""
    count = int.from_bytes(data[8:12], "little")
    form = "-4 2 2 4" + " 4 4" * count
    head = split(data, form)
    freqs = split(data[12 + 8 * count :], " ".join(["2"] * ((len(data) - 12 - 8 * count) // 2)))
    for _ in range(rng.choice((1, 1, 2, 5))):
        if rng.random() < 0.5:
            head = tamper(rng, head)
        else:
            freqs = tamper(rng, freqs)
    if rng.random() < 0.5:
        # Shift probability between neighbours, and the ranges: other tables, but tables.
        head, freqs = split(data, form), split(data[12 + 8 * count :], "2 " * len(freqs))
        for _ in range(8):
            k = rng.randrange(len(freqs) - 1)
            one, two = int(freqs[k].value), int(freqs[k + 1].value)
            part = rng.randrange(1, one) if one > 1 else 0
            freqs[k : k + 2] = [Field("u16", one - part), Field("u16", two + part)]
            head[4 + rng.randrange(count)] = Field("u32", rng.choice(HOSTILE))
    return emit([*head, *freqs])


def edit_graph(rng: random.Random, data: bytes) -> bytes:
    """Changes an ONNX graph: operators, attributes, wires, types, sizes of stored tensors."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(rng.choice((1, 1, 2, 3))):
        node = rng.choice(graph.node)
        stored = rng.choice(graph.initializer) if graph.initializer else None
        port = rng.choice([*graph.input, *graph.output])
        match rng.randrange(12):
            case 0:
                node.op_type = rng.choice(_OPERATORS)
            case 1:
                node.domain = rng.choice(_DOMAINS)
            case 2:
                wires = rng.choice((node.input, node.output))
                names = [wire for each in graph.node for wire in (*each.input, *each.output)]
                if wires:
                    wires[rng.randrange(len(wires))] = rng.choice((*names, "", "nowhere"))
            case 3:
                graph.node.remove(node)
                if not graph.node or rng.random() < 0.5:
                    graph.node.append(node)
            case 4 if stored is not None and stored.dims:
                stored.dims[rng.randrange(len(stored.dims))] = rng.choice(HOSTILE[:36])
            case 5 if stored is not None:
                stored.data_type = rng.randrange(24)
            case 6 if stored is not None and stored.raw_data:
                odd = rng.choice(
                    (b"\xff\xff\xff\x7f", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\1\0\0\0")
                )
                place = 4 * rng.randrange(len(stored.raw_data) // 4 or 1)
                stored.raw_data = stored.raw_data[:place] + odd + stored.raw_data[place + 4 :]
            case 7 if stored is not None:
                stored.data_location = rng.randrange(2)
                stored.external_data.add(key="location", value="/dev/zero")
            case 8:
                port.type.tensor_type.elem_type = rng.randrange(24)
            case 9 if port.type.tensor_type.shape.dim:
                dim = rng.choice(port.type.tensor_type.shape.dim)
                dim.dim_value = rng.choice((0, 1, 2, 7, 1 << 31))
            case 10:
                model.opset_import[0].version = rng.choice((0, 1, 11, 13, 18, 21, 999))
            case _:
                _edit_attribute(rng, node)
    edited: bytes = model.SerializeToString()
    return edited


def _edit_attribute(rng: random.Random, node: onnx.NodeProto) -> None:
    # Numbers between these make work that is legal and slow, which is not what is looked for.
    numbers = (-(1 << 63), -(1 << 31), -1, 0, 1, 2, 3, 8, 64, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)
    if not node.attribute:
        node.attribute.add(name="axis", type=onnx.AttributeProto.INT, i=rng.choice(numbers))
        return
    attribute = rng.choice(node.attribute)
    if attribute.ints and rng.random() < 0.8:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(numbers)
    elif attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice(numbers)
    else:
        attribute.type = rng.randrange(15)
