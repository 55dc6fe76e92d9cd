"""Small graphs of the operators that codecs export, to be tried in a library that builds plans.

Each is written in ONNX's text form: nodes from `x`, float32 `[1, 8, H, W]` of dynamic size, to `y`.
Names with a meaning: `w` weights `[8, 8, 3, 3]`, `v` a vector of 8, each followed by the type; `k`
and digits, a list of integers, `n` for a minus sign. The graphs' names are those of the table in
`docs/plans.md`.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
from onnx import TensorProto, helper, parser

_KINDS = {
    "f": TensorProto.FLOAT,
    "h": TensorProto.FLOAT16,
    "b": TensorProto.BFLOAT16,
    "q": TensorProto.INT8,
}

_WINDOWS = """
    s = Shape(x)
    h = Gather(s, k2)
    c = Gather(s, k3)
    rows = Div(h, k4)
    columns = Div(c, k4)
    cut = Concat<axis=0>(k1_8, rows, k4, columns, k4)
    r = Reshape(INPUT, cut)
    t = Transpose<perm=[0, 2, 4, 3, 5, 1]>(r)
    heads = Reshape(t, kn1_16_2_4)
    q = Transpose<perm=[0, 2, 1, 3]>(heads)
    turned = Transpose<perm=[0, 1, 3, 2]>(q)
    scores = MatMul(q, turned)
    a = Softmax<axis=-1>(scores)
    m = MatMul(a, q)
    back = Transpose<perm=[0, 2, 1, 3]>(m)
    shape = Concat<axis=0>(k1, rows, columns, k4, k4, k8)
    tiles = Reshape(back, shape)
    n = Transpose<perm=[0, 5, 1, 3, 2, 4]>(tiles)
    whole = Concat<axis=0>(k1_8, h, c)
    y = Reshape(n, whole)"""
_ROLLED = """
    a0 = Slice(x, k2, k99999, k2)
    a1 = Slice(x, k0, k2, k2)
    rolled0 = Concat<axis=2>(a0, a1)
    b0 = Slice(rolled0, k2, k99999, k3)
    b1 = Slice(rolled0, k0, k2, k3)
    rolled = Concat<axis=3>(b0, b1)"""
_TO_MULTIPLE = """
    s = Shape(x)
    sides = Slice(s, k2, k4, k0)
    over = Mod(sides, k8)
    missing = Sub(k8, over)
    rest = Mod(missing, k8)
    pads = Concat<axis=0>(k0_0_0_0_0_0, rest)
    y = Pad<mode="reflect">(x, pads)"""
_LOOKUP = """
    low = Constant<value_float = 0.0>()
    high = Constant<value_float = 7.0>()
    r = Round(x)
    c = Clip(r, low, high)
    i = Cast<to = 6>(c)"""


def _quantized(kind: str, zero: int) -> str:
    return (
        f"s = Constant<value_float = 0.05>() z = Constant<value = {kind} {{{zero}}}>() "
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
    )


TAKEN = {
    "Round, Floor, Ceil, Abs, Neg": "a=Round(x) b=Floor(a) c=Ceil(b) d=Abs(c) y=Neg(d)",
    "Exp, Log, Sqrt, Reciprocal, Erf": "a=Exp(x) b=Log(a) c=Sqrt(b) d=Reciprocal(c) y=Erf(d)",
    "Relu, LeakyRelu, Sigmoid, Tanh": "a=Relu(x) b=LeakyRelu(a) c=Sigmoid(b) y=Tanh(c)",
    "Gelu (opset 20)": "y = Gelu(x)",
    "Round, Clip, Cast to int32 as an output": f"int32: {_LOOKUP} y = Identity(i)",
    "Arithmetic of int32": f"int32: {_LOOKUP} a = Add(i, i) b = Mul(a, i) y = Sub(b, i)",
    "Gather in a table by computed int32 indices": f"{_LOOKUP} y = Gather(vf, i)",
    "Gather of channels by stored indices": "y = Gather<axis=1>(x, k3_1_2)",
    "Pad: constant, reflect, edge": (
        "a = Pad(x, k0_0_2_2_0_0_2_2) "
        'b = Pad<mode="reflect">(a, k0_0_2_2_0_0_2_2) y = Pad<mode="edge">(b, k0_0_2_2_0_0_2_2)'
    ),
    "Pad by as much as Shape says": _TO_MULTIPLE,
    "DepthToSpace (DCR, CRD), SpaceToDepth": (
        'a = SpaceToDepth<blocksize=2>(x) b = DepthToSpace<blocksize=2, mode="CRD">(a) '
        "y = DepthToSpace<blocksize=2>(b)"
    ),
    "Softmax, MatMul": (
        "a = Softmax<axis=-1>(x) b = Transpose<perm=[0, 1, 3, 2]>(a) y = MatMul(x, b)"
    ),
    "float64": "a = Cast<to = 11>(x) b = Mul(a, a) y = Cast<to = 1>(b)",
    "Einsum": 'a = Reshape(x, k1_2_4_n1) y = Einsum<equation="bhdi,bhdj->bhij">(a, a)',
    "LayerNormalization (opset 17)": (
        "a = Transpose<perm=[0, 2, 3, 1]>(x) b = LayerNormalization(a, vf, vf) "
        "y = Transpose<perm=[0, 3, 1, 2]>(b)"
    ),
    "Window attention: Shape, Reshape, Transpose of 6 axes": _WINDOWS.replace("INPUT", "x"),
    "Shifted windows: Slice and Concat before it": _ROLLED + _WINDOWS.replace("INPUT", "rolled"),
    "Masks from Shape: Range, Equal, Expand, Where": (
        "s = Shape(x) n = Gather(s, k3) end = Squeeze(n) zero = Constant<value_int = 0>() "
        "one = Constant<value_int = 1>() r = Range(zero, end, one) m = Mod(r, k2) "
        "e = Equal(m, k0) f = Expand(e, s) none = Constant<value_float = 0.0>() "
        "y = Where(f, x, none)"
    ),
    "Resize by nearest": (
        "scales = Constant<value_floats = [1.0, 1.0, 2.0, 2.0]>() "
        'y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", '
        'nearest_mode="floor">(x, , scales)'
    ),
    "GDN: Mul, Conv, Sqrt, Div": (
        "a = Mul(x, x) b = Conv<pads=[1, 1, 1, 1]>(a, wf) c = Abs(b) d = Sqrt(c) y = Div(x, d)"
    ),
    "Conv, Conv of stride 2": (
        "a = Conv<pads=[1, 1, 1, 1]>(x, wf) y = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(a, wf, vf)"
    ),
    "ConvTranspose with output_padding": (
        "y = ConvTranspose<pads=[1, 1, 1, 1], strides=[2, 2], output_padding=[1, 1]>(x, wf, vf)"
    ),
    "float16: Conv, ConvTranspose, LayerNormalization, Softmax": (
        "a = Cast<to = 10>(x) b = Conv<pads=[1, 1, 1, 1]>(a, wh, vh) "
        "c = ConvTranspose<pads=[1, 1, 1, 1], strides=[2, 2], output_padding=[1, 1]>(b, wh, vh) "
        "d = Transpose<perm=[0, 2, 3, 1]>(c) e = LayerNormalization(d, vh, vh) f = Softmax(e) "
        "y = Cast<to = 1>(f)"
    ),
    "bfloat16: Conv, DepthToSpace, LayerNormalization, Softmax": (
        "a = Cast<to = 16>(x) b = Conv<pads=[1, 1, 1, 1]>(a, wb, vb) "
        "c = DepthToSpace<blocksize=2>(b) d = SpaceToDepth<blocksize=2>(c) "
        "t = Transpose<perm=[0, 2, 3, 1]>(d) e = LayerNormalization(t, vb, vb) f = Softmax(e) "
        "y = Cast<to = 1>(f)"
    ),
    "int8 QuantizeLinear, DequantizeLinear before Conv": (
        _quantized("int8", 0) + "e = DequantizeLinear<axis=0>(wq, vf, vq) "
        "y = Conv<pads=[1, 1, 1, 1]>(d, e, vf)"
    ),
    "int8 weights of ConvTranspose, scales along axis 1": (
        _quantized("int8", 0) + "e = DequantizeLinear<axis=1>(wq, vf, vq) "
        "y = ConvTranspose<strides=[2, 2]>(d, e)"
    ),
}
"""What is taken, by name."""

REFUSED = {
    "ConvTranspose in bfloat16": (
        "Could not infer output types",
        "a = Cast<to = 16>(x) b = ConvTranspose<pads=[1, 1, 1, 1], strides=[2, 2]>(a, wb) "
        "y = Cast<to = 1>(b)",
    ),
    "QuantizeLinear with a zero point": (
        "Non-zero zero point is not supported",
        _quantized("int8", 5) + "y = Conv(d, wf)",
    ),
    "QuantizeLinear to uint8": (
        "Non-zero zero point is not supported",
        _quantized("uint8", 128) + "y = Conv(d, wf)",
    ),
    "DequantizeLinear of an int32 bias": (
        "input has type Int32",
        "scale = Constant<value_float = 0.01>() "
        "i = Constant<value = int32[8] {1, 1, 1, 1, 1, 1, 1, 1}>() "
        "bias = DequantizeLinear(i, scale) y = Conv(x, wf, bias)",
    ),
    "ConvInteger": (
        "ConvInteger",
        "scale = Constant<value_float = 0.05>() zero = Constant<value = int8 {0}>() "
        "q = QuantizeLinear(x, scale, zero) c = ConvInteger(q, wq) y = Cast<to = 1>(c)",
    ),
    "Cast to uint8 within the graph": (
        "does not support UINT8 types for intermediate tensors",
        "a = Cast<to = 2>(x) y = Cast<to = 1>(a)",
    ),
    "Cast to int16": (
        "Unsupported data type for the Cast operator",
        "a = Cast<to = 5>(x) y = Cast<to = 1>(a)",
    ),
    "ConvTranspose with output_shape that crops": (
        "does not support negative pre-padding",
        "y = ConvTranspose<strides=[2, 2], output_shape=[18, 18]>(x, wf)",
    ),
    "NonZero": (
        "NonZero plugin creator",
        "a = NonZero(x) b = Cast<to = 1>(a) y = Unsqueeze(b, k0_1)",
    ),
}
"""What is refused, by name: the library's words, and the graph."""


def model(name: str) -> bytes:
    """The ONNX model of a graph; made of `TAKEN` and `REFUSED`."""
    body = TAKEN[name] if name in TAKEN else REFUSED[name][1]
    kind = TensorProto.FLOAT
    if body.startswith("int32:"):
        kind, body = TensorProto.INT32, body.removeprefix("int32:")
    graph = parser.parse_graph(f"g (float[1, 8, h, w] x) => (float[a, b, c, d] y) {{ {body} }}")
    graph.output[0].type.tensor_type.elem_type = kind
    for word in dict.fromkeys(re.findall(r"\b(?:[wv][fhbq]|k[0-9n_]+)\b", body)):
        graph.initializer.append(_stored(word))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def _stored(word: str) -> TensorProto:
    if word.startswith("k"):
        values = [int(part.replace("n", "-")) for part in word[1:].split("_")]
        return helper.make_tensor(word, TensorProto.INT64, [len(values)], values)
    shape = (8, 8, 3, 3) if word[0] == "w" else (8,)
    draw = np.random.default_rng(0)
    if word[1] == "q":
        values = draw.integers(-127, 128, shape) if word[0] == "w" else np.zeros(shape, int)
    else:
        values = draw.uniform(0.01, 0.1, shape).astype(np.float32)
    return helper.make_tensor(word, _KINDS[word[1]], shape, values.ravel().tolist())
