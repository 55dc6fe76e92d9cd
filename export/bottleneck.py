"""The factorised prior of CompressAI's models: probabilities of integers, per channel.

Source: arXiv 1802.01436, appendix 6.1: the cumulative distribution of a channel is a small network
of monotone layers, in the parametrisation of CompressAI's `EntropyBottleneck`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fcmrt.tables import CdfTables

from .entropy import Z_RANGE
from .tables import channel_tables

WIDTHS = (1, 3, 3, 3, 3, 1)
"""Number of values between the layers of a channel's network."""


class EntropyBottleneck(nn.Module):
    """The prior of one latent, whose elements are rounded around their channel's median.

    Args:
        channels: Of the latent.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(WIDTHS))
        sizes = [(channels, after, before) for before, after in pairs]
        columns = [(channels, after, 1) for _, after in pairs]
        self.matrices = nn.ParameterList(torch.zeros(size) for size in sizes)
        self.biases = nn.ParameterList(torch.zeros(size) for size in columns)
        self.factors = nn.ParameterList(torch.zeros(size) for size in columns[:-1])
        self.quantiles = nn.Parameter(torch.zeros(channels, 1, 3))

    @property
    def medians(self) -> Tensor:
        """The medians, which elements of each channel are rounded around: `[1, C, 1, 1]`."""
        return self.quantiles[:, 0, 1].reshape(1, -1, 1, 1)

    def logits(self, values: Tensor) -> Tensor:
        """Returns the logits of the cumulative distribution at `values`, both `[C, 1, n]`."""
        for i, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            values = F.softplus(matrix) @ values + bias
            if i < len(self.factors):
                values = values + torch.tanh(self.factors[i]) * torch.tanh(values)
        return values

    @torch.no_grad()
    def probabilities(self, low: int, high: int, step: float = 1.0) -> Tensor:
        """Probability of each integer `low..high`, counted from the median.

        Args:
            low: First integer.
            high: Last integer.
            step: Of the quantiser, in units of the latent.

        Returns:
            float64 `[C, n]`.
        """
        double = EntropyBottleneck(self.quantiles.shape[0]).double()
        double.load_state_dict(self.state_dict())
        edges = torch.arange(low, high + 2, dtype=torch.float64) - 0.5
        logits = double.logits(step * edges + double.quantiles[:, :, 1:2])[:, 0]
        lower, upper = logits[:, :-1], logits[:, 1:]
        # Differences of sigmoids are taken on the side where they do not cancel.
        side = -torch.sign(lower + upper)
        side[side == 0] = 1.0
        return (torch.sigmoid(side * upper) - torch.sigmoid(side * lower)).abs()

    def tables(self, reach: int = Z_RANGE, step: float = 1.0) -> CdfTables:
        """The integer tables, one for each channel.

        Args:
            reach: How many integers on either side of the median have a place in the tables.
            step: Of the quantiser, in units of the latent.
        """
        return channel_tables(self.probabilities(-reach, reach, step).numpy(), -reach)
