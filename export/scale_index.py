"""The tables of networks that were trained elsewhere and predict deviations (`ScaleIndex`).

Source: the scale table of CompressAI, 64 deviations from 0.11 to 256, evenly spaced in logarithm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fcmrt.errors import ExportError
from fcmrt.tables import CdfTables

from .exact.scale_index import SIGMA_0, SIGMA_TOP, TABLES, ScaleIndex
from .tables import gaussian_tables

__all__ = ["LOG_RATIO", "SIGMA_0", "ScaleIndex", "check_scale_table", "scale_table", "scale_tables"]

LOG_RATIO = math.log(SIGMA_TOP / SIGMA_0) / (TABLES - 1)
"""Logarithm of the ratio of a table's deviation to that of the one before."""


def scale_table() -> Tensor:
    """Returns the deviations of the tables: float64 `[64]`."""
    return SIGMA_0 * torch.exp(torch.arange(TABLES, dtype=torch.float64) * LOG_RATIO)


def scale_tables() -> CdfTables:
    """Returns the integer tables, one for each deviation."""
    return gaussian_tables(TABLES, SIGMA_0, math.log(2) / LOG_RATIO)


def check_scale_table(stored: Tensor | None) -> None:
    """Refuses a checkpoint whose codec was given other deviations.

    Args:
        stored: What the checkpoint has under its `scale_table`; empty where its codec never coded.

    Raises:
        ExportError: They are others.
    """
    if stored is None or stored.numel() == 0:
        return
    same = stored.shape == (TABLES,) and torch.allclose(stored.double(), scale_table(), rtol=1e-3)
    if not same:
        raise ExportError(
            f"the checkpoint's scale table is not the {TABLES} deviations from {SIGMA_0} to "
            f"{SIGMA_TOP:g} that the export knows"
        )
