"""The public ELICs told anew: their layers by name, and what a family codes held to it.

Written from the paper and the names in the public code, and apart from what it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from fcmrt.export import Deployment
from fcmrt.export.reference import TorchReference


def conv(state: dict[str, Tensor], x: Tensor, name: str, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2)


def deconv(state: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    return F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], 2, 2, 1)


def in_turn(state: dict[str, Tensor], x: Tensor, names: list[str]) -> Tensor:
    for name in names[:-1]:
        x = conv(state, x, name).relu()
    return conv(state, x, names[-1])


def residual(state: dict[str, Tensor], x: Tensor, names: list[str]) -> Tensor:
    return x + in_turn(state, x, names)


def attention(state: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    a = b = x
    for k in range(3):
        a, b = (
            residual(state, one, [f"{name}.{branch}.{k}.conv.{i}" for i in (0, 2, 4)]).relu()
            for one, branch in ((a, "conv_a"), (b, "conv_b"))
        )
    return x + a * conv(state, b, f"{name}.conv_b.3").sigmoid()


def halved(state: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    return conv(state, x, name, stride=2)


def transform(
    state: dict[str, Tensor],
    x: Tensor,
    name: str,
    unit: Sequence[str],
    sample: Callable[[dict[str, Tensor], Tensor, str], Tensor],
) -> Tensor:
    """An analysis or a synthesis.

    Args:
        state: Weights.
        x: What it reads.
        name: Its own.
        unit: Names of the convolutions of a residual unit.
        sample: Computes a layer that changes the grid.
    """
    for layer in (f"{name}.{i}" for i in range(15)):
        if f"{layer}.{unit[0]}.weight" in state:
            x = residual(state, x, [f"{layer}.{part}" for part in unit])
        elif f"{layer}.conv_a.0.conv.0.weight" in state:
            x = attention(state, x, layer)
        else:
            x = sample(state, x, layer)
    return x


def holds(deployment: Deployment, x: Tensor, wanted: dict[str, Tensor]) -> None:
    """Holds what a deployment codes to symbols; of a half of the cells the rest is 0."""
    walk = TorchReference(deployment).encode([x.numpy()], 0)
    assert list(walk.integers) == list(wanted)
    for name, symbol in wanted.items():
        latent = deployment.latents[name]
        if latent.parity is not None:
            rows, columns = np.indices(symbol.shape[2:])
            keep = (rows + columns) % 2 == (latent.parity == "odd")
            symbol = symbol[:, :, keep]
        found = np.asarray(walk.integers[name].symbols)
        differ = found.ravel() != symbol.numpy().astype(np.int32).ravel()
        assert differ.mean() < 0.01, name
        assert symbol.any(), name
