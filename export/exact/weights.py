"""Weighted sums read from PyTorch's modules."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .floatlayers import Form, Sum, refused

SUMS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""Modules that are weighted sums, those derived from them too."""


def read_sum(name: str, sources: tuple[str, ...], module: nn.Module, axes: int) -> Sum:
    """Reads a weighted sum; a buffer `mask` of the weight's shape is multiplied in.

    Args:
        name: Of the layer.
        sources: What it reads.
        module: Of one of `SUMS`.
        axes: Of what it reads.

    Raises:
        EngineError: It computes in a way of its own, or with padding other than zeros.
    """
    known = next(kind for kind in SUMS if isinstance(module, kind))
    mask = getattr(module, "mask", None)
    if type(module).forward is not known.forward and not isinstance(mask, Tensor):
        raise refused(name, f"{type(module).__name__}, which computes in a way of its own")
    weight = cast("Tensor", module.weight).detach().double()
    if isinstance(mask, Tensor):
        weight = weight * mask.double()
    if isinstance(module, nn.Linear):
        if axes != 2:
            raise refused(name, "Linear on anything but [N, C]; a 1x1 convolution does the same")
        form = Form("linear")
    else:
        conv = cast("nn.Conv2d", module)
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise refused(name, f"padding {conv.padding_mode!r}, {conv.padding!r}")
        form = Form(
            "transposed" if isinstance(module, nn.ConvTranspose2d) else "conv",
            conv.groups,
            tuple(conv.stride),
            tuple(conv.padding),
            tuple(conv.dilation),
            tuple(conv.output_padding),
        )
    outputs = weight.shape[1] * form.groups if form.kind == "transposed" else weight.shape[0]
    given = cast("Tensor | None", module.bias)
    bias = weight.new_zeros(outputs) if given is None else given.detach().double()
    return Sum(name, sources, form, weight, bias)
