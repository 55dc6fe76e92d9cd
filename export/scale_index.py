"""From predicted deviations to indexes of a geometric series of tables.

For networks trained elsewhere, which predict sigma; those trained here predict the index itself.
Source: the scale table of CompressAI, 64 deviations from 0.11 to 256, evenly spaced in logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError
from fcmrt.tables import CdfTables

from .tables import gaussian_tables

SIGMA_0, SIGMA_TOP, TABLES = 0.11, 256.0, 64

LOG_RATIO = math.log(SIGMA_TOP / SIGMA_0) / (TABLES - 1)
"""Logarithm of the ratio of a table's deviation to that of the one before."""

CERTAIN = 2
"""How many integers on either side of 0 every table has. If a network predicts 0.11 or less, the
true deviation may well be larger: it may not have been able to express less."""


WIDER = 0.45
"""Added to an index before it is rounded, so that an element gets the table next above its
deviation, as in CompressAI (`build_indexes`): a network trained with noise underestimates what is
rounded. Below one half, so that the least deviation keeps its own table."""


class ScaleIndex(nn.Module):
    """`log(sigma / sigma_0) / log(ratio) + WIDER`: rounded, it is the number of sigma's table.

    Args:
        sigma_0: Deviation of table 0.
        ratio: Of a table's deviation to that of the one before.
        count: Tables. Where the network is exact, indexes end at the last one.
        headroom: How far indexes go below 0, for codecs whose finer steps shift them upwards.
    """

    def __init__(
        self,
        sigma_0: float = SIGMA_0,
        ratio: float = math.exp(LOG_RATIO),
        count: int = TABLES,
        headroom: int = 0,
    ) -> None:
        super().__init__()
        if not (sigma_0 > 0 and ratio > 1 and count >= 1 and headroom >= 0):
            raise ValueError(
                f"a series of {count} deviations from {sigma_0} with the ratio {ratio} and "
                f"headroom {headroom} is none"
            )
        self.sigma_0, self.ratio = sigma_0, ratio
        self.least = sigma_0 * ratio**-headroom
        """The least deviation that has an index of its own; smaller ones share it."""
        self.last = sigma_0 * ratio ** (count - 1)
        """Deviation of the last table."""

    def forward(self, sigma: Tensor) -> Tensor:
        """Turns deviations, of any sign, into continuous indexes of the same shape."""
        origin = self.sigma_0 * self.ratio**-WIDER
        return torch.log(sigma.clamp(min=self.least) / origin) / math.log(self.ratio)


def scale_table() -> Tensor:
    """Returns the deviations of the tables: float64 `[64]`."""
    return SIGMA_0 * torch.exp(torch.arange(TABLES, dtype=torch.float64) * LOG_RATIO)


def scale_tables() -> CdfTables:
    """Returns the integer tables, one for each deviation."""
    return gaussian_tables(TABLES, SIGMA_0, math.log(2) / LOG_RATIO, certain=CERTAIN)


def check_scale_table(stored: Tensor | None) -> None:
    """Refuses a checkpoint whose codec has other deviations.

    Args:
        stored: The checkpoint's `scale_table`; None or empty if its codec never coded.

    Raises:
        ExportError: It has other deviations.
    """
    if stored is None or stored.numel() == 0:
        return
    rtol = max(1e-3, torch.finfo(stored.dtype).eps)
    same = stored.shape == (TABLES,) and torch.allclose(stored.double(), scale_table(), rtol=rtol)
    if not same:
        raise ExportError(
            f"the checkpoint's scale table is not the {TABLES} deviations from {SIGMA_0} to "
            f"{SIGMA_TOP:g} that the export knows"
        )
