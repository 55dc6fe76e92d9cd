"""Eight bits and back: the values that an int8 kernel would compute with."""

from __future__ import annotations

from typing import Any

import torch

from .operator import Function, Site, Tensor, operator


def _along(value: Tensor, x: Tensor, axis: int) -> Tensor:
    """Reshapes a scale or zero point to broadcast along an axis; a scalar stays a scalar."""
    if value.ndim == 0:
        return value
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


@operator("QuantizeLinear", 2, 3)
def _quantize_linear(site: Site) -> Function:
    axis = site.integer("axis", 1)
    for name in "block_size", "output_dtype", "precision":
        site.only(name, 0)
    site.ignore("saturate")

    def quantize(x: Tensor, scale: Tensor, zero: Any = None) -> Tensor:
        zero = torch.zeros((), dtype=torch.uint8, device=x.device) if zero is None else zero
        limits = torch.iinfo(zero.dtype)
        whole = torch.round(x / _along(scale, x, axis)) + _along(zero, x, axis)
        return whole.clamp(limits.min, limits.max).to(zero.dtype)

    return quantize


@operator("DequantizeLinear", 2, 3)
def _dequantize_linear(site: Site) -> Function:
    axis = site.integer("axis", 1)
    for name in "block_size", "output_dtype":
        site.only(name, 0)

    def dequantize(x: Tensor, scale: Tensor, zero: Any = None) -> Tensor:
        whole = x.to(torch.int32)
        if zero is not None:
            whole = whole - _along(zero.to(torch.int32), x, axis)
        return whole.to(scale.dtype) * _along(scale, x, axis)

    return dequantize
