"""Operators that work element by element, and those that reduce."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn import functional

from .operator import Function, Site, Tensor, operator, simple

simple("Abs", 1, torch.abs)
simple("Neg", 1, torch.neg)
simple("Sqrt", 1, torch.sqrt)
simple("Reciprocal", 1, torch.reciprocal)
simple("Exp", 1, torch.exp)
simple("Log", 1, torch.log)
simple("Erf", 1, torch.erf)
simple("Sigmoid", 1, torch.sigmoid)
simple("Tanh", 1, torch.tanh)
simple("Relu", 1, torch.relu)
simple("Softplus", 1, functional.softplus)
simple("HardSwish", 1, functional.hardswish)
simple("Mish", 1, functional.mish)
simple("Round", 1, torch.round)  # half to even, in both
simple("Floor", 1, torch.floor)
simple("Ceil", 1, torch.ceil)
simple("Not", 1, torch.logical_not)
simple("Identity", 1, lambda x: x)
simple("Add", 2, torch.add)
simple("Sub", 2, torch.sub)
simple("Mul", 2, torch.mul)
simple("And", 2, torch.logical_and)
simple("Or", 2, torch.logical_or)
simple("Equal", 2, torch.eq)
simple("Less", 2, torch.lt)
simple("LessOrEqual", 2, torch.le)
simple("Greater", 2, torch.gt)
simple("GreaterOrEqual", 2, torch.ge)
simple("Where", 3, torch.where)


@operator("Div", 2, 2)
def _div(site: Site) -> Function:
    def div(x: Tensor, y: Tensor) -> Tensor:
        return torch.div(x, y, rounding_mode=None if x.is_floating_point() else "trunc")

    return div


@operator("Mod", 2, 2)
def _mod(site: Site) -> Function:
    mod: Function = torch.fmod if site.integer("fmod", 0) else torch.remainder
    return mod


@operator("Pow", 2, 2)
def _pow(site: Site) -> Function:
    exponent = site.known(1)
    if exponent is not None and exponent.numel() == 1 and exponent.ndim == 0:
        # PyTorch raises to a known number, such as 2, faster than to a tensor.
        number = exponent.item()
        return lambda x, _: torch.pow(x, number).to(x.dtype)
    return lambda x, y: torch.pow(x, y).to(x.dtype)


def _folded(name: str, function: Function) -> None:
    """Registers an operator that folds any number of inputs, pair by pair."""
    operator(name, 1)(lambda site: lambda *values: functools.reduce(function, values))


_folded("Sum", torch.add)
_folded("Min", torch.minimum)
_folded("Max", torch.maximum)


@operator("Clip", 1, 3, plain=(1, 2))
def _clip(site: Site) -> Function:
    def clip(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
        if low is None and high is None:
            return x
        if x.is_floating_point():  # limits beyond a type's range, as float16's, limit nothing
            finite = torch.finfo(x.dtype).max
            low = None if low is None else max(low, -finite)
            high = None if high is None else min(high, finite)
        return torch.clamp(x, low, high)

    return clip


@operator("LeakyRelu", 1, 1)
def _leaky_relu(site: Site) -> Function:
    alpha = site.number("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, alpha)


@operator("PRelu", 2, 2)
def _prelu(site: Site) -> Function:
    return lambda x, slope: torch.where(x < 0, x * slope, x)


@operator("Gelu", 1, 1)
def _gelu(site: Site) -> Function:
    approximate = site.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise site.error(f"attribute 'approximate' is {approximate!r}")
    return lambda x: functional.gelu(x, approximate=approximate)


@operator("Softmax", 1, 1)
def _softmax(site: Site) -> Function:
    axis = site.integer("axis", -1)
    return lambda x: torch.softmax(x, axis)


@operator("LayerNormalization", 2, 3)
def _layer_normalization(site: Site) -> Function:
    axis, epsilon = site.integer("axis", -1), site.number("epsilon", 1e-5)
    site.only("stash_type", 1)
    return lambda x, scale, bias=None: functional.layer_norm(
        x, x.shape[axis:], scale, bias, epsilon
    )


@operator("InstanceNormalization", 3, 3)
def _instance_normalization(site: Site) -> Function:
    epsilon = site.number("epsilon", 1e-5)
    # `functional.instance_norm` refuses channels of a single value, which become their bias.
    return lambda x, scale, bias: torch.instance_norm(
        x, scale, bias, None, None, True, 0.0, epsilon, False
    )


def _reduction(name: str, reduce: Function) -> None:
    @operator(name, 1, 2, plain=(1,))
    def _make(site: Site) -> Function:
        keep, none = bool(site.integer("keepdims", 1)), site.integer("noop_with_empty_axes", 0)
        fixed = site.integers("axes")

        def reduced(x: Tensor, axes: Any = None) -> Tensor:
            axes = axes or fixed
            if not axes and none:
                return x
            return reduce(x, list(axes or range(x.ndim)), keepdim=keep)

        return reduced


_reduction("ReduceMean", torch.mean)
_reduction("ReduceSum", torch.sum)
_reduction("ReduceMax", torch.amax)
_reduction("ReduceMin", torch.amin)


@operator("GlobalAveragePool", 1, 1)
def _global_average_pool(site: Site) -> Function:
    return lambda x: torch.mean(x, list(range(2, x.ndim)), keepdim=True)
