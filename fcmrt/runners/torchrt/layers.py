"""Convolutions and matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .operator import Function, Site, Tensor, operator, simple

simple("MatMul", 2, torch.matmul)


def _spatial_rank(site: Site) -> int:
    """Returns the number of spatial dimensions of a convolution: 1, 2 or 3."""
    kernel, weights = site.integers("kernel_shape"), site.known(1)
    rank = len(kernel) or (0 if weights is None else weights.ndim - 2)
    if rank not in (1, 2, 3):
        raise site.error("a convolution whose weights are computed needs a kernel_shape")
    return rank


def _window(site: Site) -> tuple[int, Any, Any, tuple[int, ...], tuple[int, ...]]:
    """Returns spatial rank, strides, dilations, and padding before and after."""
    rank = _spatial_rank(site)
    site.only("auto_pad", "NOTSET")
    strides = site.integers("strides", (1,) * rank)
    dilations = site.integers("dilations", (1,) * rank)
    pads = site.integers("pads", (0,) * 2 * rank)
    if not len(strides) == len(dilations) == rank or len(pads) != 2 * rank:
        raise site.error("strides, dilations and pads do not fit the kernel")
    return rank, strides, dilations, pads[:rank], pads[rank:]


def _innermost_first(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    """Returns padding in PyTorch's order: innermost dimension first, before and after."""
    return [pad for pair in zip(reversed(before), reversed(after), strict=True) for pad in pair]


@operator("Conv", 2, 3)
def _conv(site: Site) -> Function:
    rank, strides, dilations, before, after = _window(site)
    groups = site.integer("group", 1)
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[rank - 1]
    if before == after:
        return lambda x, weights, bias=None: convolve(
            x, weights, bias, strides, before, dilations, groups
        )
    around = _innermost_first(before, after)
    return lambda x, weights, bias=None: convolve(
        functional.pad(x, around), weights, bias, strides, 0, dilations, groups
    )


@operator("ConvTranspose", 2, 3)
def _conv_transpose(site: Site) -> Function:
    rank, strides, dilations, before, after = _window(site)
    groups = site.integer("group", 1)
    more = site.integers("output_padding", (0,) * rank)
    functions = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
    convolve = functions[rank - 1]
    if before == after:
        return lambda x, weights, bias=None: convolve(
            x, weights, bias, strides, before, more, groups, dilations
        )
    around = [-pad for pad in _innermost_first(before, after)]
    return lambda x, weights, bias=None: functional.pad(
        convolve(x, weights, bias, strides, 0, more, groups, dilations), around
    )


@operator("Gemm", 2, 3)
def _gemm(site: Site) -> Function:
    alpha, beta = site.number("alpha", 1.0), site.number("beta", 1.0)
    turned_a, turned_b = site.integer("transA", 0), site.integer("transB", 0)

    def gemm(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if turned_a else a, b.t() if turned_b else b
        if c is None:
            return torch.mm(a, b) * alpha
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return gemm
