"""How slices are run: of each, `support_k`, `parameters_k` and, once it is coded, `residual_k`."""

from __future__ import annotations

from torch import Tensor, nn

from fcmrt.spec import LatentSpec

from .deployment import DeploymentBuilder
from .lictcm_slices import Slices

HYPER = ("hyper_mean", "hyper_scale")
"""Tensors of what the hyper-latent says; declared by the caller."""


class _Parameters(nn.Module):
    """`SliceParameters` with the table index in place of the raw scale."""

    def __init__(self, network: nn.Module, index: nn.Module) -> None:
        super().__init__()
        self.network, self.index = network, index

    def forward(self, *known: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = self.network(*known)
        return mean, self.index(scale)


def declare_slices(build: DeploymentBuilder, slices: Slices, stride: int) -> list[str]:
    """Declares the slices of `y` and returns the names of their tensors, which analysis gives."""
    names = [f"y{k}" for k in range(len(slices.channels))]
    for name, channels in zip(names, slices.channels, strict=True):
        build.tensor(name, channels, stride)
    return names


def add_slices(
    build: DeploymentBuilder,
    slices: Slices,
    stride: int,
    index: nn.Module,
    *,
    step: bool,
    skip: int,
) -> list[str]:
    """Adds what both sides do about slices that are declared.

    Args:
        build: Has the tensors `HYPER`.
        slices: The networks; borrowed.
        stride: Of `y`, in cells of the finest level.
        index: From raw scales to indexes of tables "gaussian".
        step: Whether the packet's quality step applies.
        skip: Elements of tables below it are not coded.

    Returns:
        Names of the slices as synthesis sees them.
    """
    hyper_mean, hyper_scale = HYPER
    known: list[str] = []
    for k, channels in enumerate(slices.channels):
        name = f"y{k}"
        support, mean, table, rounded, hat = (
            f"{name}_{role}" for role in ("support", "mean", "index", "rounded", "hat")
        )
        seen: int = slices.supports[k].expand.out_channels
        build.tensor(support, seen, stride)
        build.tensor(mean, channels, stride, "int32")
        build.tensor(table, channels, stride, "int32")
        build.tensor(hat, channels, stride)
        build.both(f"support_{k}", slices.supports[k], [hyper_mean, *known], [support])
        parameters = _Parameters(slices.parameters_of[k], index)
        build.both(f"parameters_{k}", parameters, [support, hyper_scale, *known], [mean, table])
        build.coded(name, LatentSpec(name, "gaussian", table, mean, step=step, skip=skip), rounded)
        build.both(f"residual_{k}", slices.residuals[k], [support, rounded], [hat])
        known.append(hat)
    return known
