"""From a predicted deviation to the index of a geometric series of tables.

For networks that predict sigma; those that are trained here predict the index itself. In the exact
form the logarithm is a table, looked up at whole multiples of a small deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SIGMA_0, SIGMA_TOP, TABLES = 0.11, 256.0, 64
"""Of CompressAI's scale table: 64 deviations, evenly spaced in logarithm."""

FINENESS = 8.0
"""Units of the table in the least deviation: half a unit there is half an index."""

MOST_ENTRIES = 1 << 16


class ScaleIndex(nn.Module):
    """`log(sigma / sigma_0) / log(ratio)`: the index whose table has the deviation sigma.

    Args:
        sigma_0: Deviation of table 0.
        ratio: Of a table's deviation to that of the one before.
        count: Tables.
        headroom: How far the index goes below 0, for codecs whose finer steps shift it upwards.
            It never goes beyond the last table.
    """

    def __init__(
        self,
        sigma_0: float = SIGMA_0,
        ratio: float = (SIGMA_TOP / SIGMA_0) ** (1 / (TABLES - 1)),
        count: int = TABLES,
        headroom: int = 0,
    ) -> None:
        super().__init__()
        if not (sigma_0 > 0 and ratio > 1 and count >= 1 and headroom >= 0):
            raise ValueError(
                f"a series of {count} deviations from {sigma_0} with the ratio {ratio} and "
                f"headroom {headroom} is none"
            )
        self.sigma_0, self.ratio, self.count, self.headroom = sigma_0, ratio, count, headroom
        self.low = sigma_0 * ratio**-headroom
        """Least deviation that is told from those below."""
        self.high = sigma_0 * ratio ** (count - 1)
        """Largest one."""

    @property
    def unit(self) -> float:
        """The deviation that an entry of `table` stands for, times its number."""
        return max(self.low / FINENESS, self.high / (MOST_ENTRIES - 1))

    def table(self) -> Tensor:
        """The rounded indexes of 0, 1, 2 ... units up to the largest deviation, float64."""
        entries = math.ceil(self.high / self.unit) + 1
        deviations = torch.arange(entries, dtype=torch.float64) * self.unit
        return torch.round(self(deviations))

    def forward(self, sigma: Tensor) -> Tensor:
        """Turn deviations, of any sign, into continuous indexes of the same shape."""
        bounded = sigma.clamp(self.low, self.high)
        return torch.log(bounded / self.sigma_0) / math.log(self.ratio)
