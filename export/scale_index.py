"""From predicted deviations to indexes of a geometric series of tables.

For networks trained elsewhere, which predict sigma; those trained here predict the index itself.
Source: the scale table of CompressAI, 64 deviations from 0.11 to 256, evenly spaced in logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fcmrt.errors import EngineError
from fcmrt.tables import CdfTables

from .exact.scale_index import SIGMA_0, SIGMA_TOP, TABLES, ScaleIndex
from .tables import gaussian_tables

SIGMA_MIN, SIGMA_MAX = SIGMA_0, SIGMA_TOP

__all__ = [
    "CERTAIN",
    "LOG_RATIO",
    "SIGMA_MAX",
    "SIGMA_MIN",
    "TABLES",
    "ScaleIndex",
    "check_scale_table",
    "scale_table",
    "scale_tables",
]

CERTAIN = 2
"""Integers to either side of 0 that every table has. Where a network tells 0.11 or less, that is
often the least that it can tell, and not what it means."""

LOG_RATIO = math.log(SIGMA_MAX / SIGMA_MIN) / (TABLES - 1)
"""Logarithm of the ratio of a table's deviation to that of the one before."""


def scale_table() -> Tensor:
    """Returns the deviations of the tables: float64 `[64]`."""
    return SIGMA_MIN * torch.exp(torch.arange(TABLES, dtype=torch.float64) * LOG_RATIO)


def scale_tables() -> CdfTables:
    """Returns the integer tables, one for each deviation."""
    return gaussian_tables(TABLES, SIGMA_MIN, math.log(2) / LOG_RATIO, certain=CERTAIN)


def check_scale_table(stored: Tensor | None) -> None:
    """Refuses a checkpoint whose codec was given other deviations.

    Args:
        stored: What the checkpoint has under its `scale_table`; empty where its codec never coded.

    Raises:
        EngineError: They are others.
    """
    if stored is None or stored.numel() == 0:
        return
    same = stored.shape == (TABLES,) and torch.allclose(stored.double(), scale_table(), rtol=1e-3)
    if not same:
        raise EngineError(
            f"the checkpoint's scale table is not the {TABLES} deviations from {SIGMA_MIN} to "
            f"{SIGMA_MAX:g} that the export knows"
        )
