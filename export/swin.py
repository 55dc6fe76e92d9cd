"""Window attention (Swin), in plain operators and for any height and width.

Maps inside are float32 `[N, H, W, C]` whose sides are multiples of the window's; the padding of the
deployment sees to that. Source: Swin Transformer (arXiv 2103.14030), in the form of LIC-TCM (arXiv
2303.14978): one bias per head and relative position, exact GELU, no dropout.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .layers import AttentionBlock, ResidualBlock, conv

APART = -1e4
"""Added to the score of two cells that must not see each other; the softmax makes 0 of it, and it
fits into float16 twice."""


def partition(x: Tensor, side: int) -> Tensor:
    """Cuts maps into windows.

    Args:
        x: `[N, H, W, C]`; H and W are multiples of `side`.
        side: Of a window, in cells.

    Returns:
        `[N * H/side * W/side, side**2, C]`, windows and their cells row by row.
    """
    channels = x.shape[3]
    x = x.reshape(-1, side, x.shape[2] // side, side, channels).transpose(1, 2)
    return x.reshape(-1, side**2, channels)


def merge(windows: Tensor, side: int, like: Tensor) -> Tensor:
    """Inverse of `partition`.

    Args:
        windows: `[N * H/side * W/side, side**2, C]`.
        side: Of a window, in cells.
        like: Any `[N, H, W, C]`; gives the shape.
    """
    x = windows.reshape(-1, like.shape[2] // side, side, side, like.shape[3])
    return x.transpose(1, 2).reshape_as(like)


def _places(side: int) -> Tensor:
    """Row and column of every cell of a window: int64 `[2, side**2]`."""
    cells = torch.arange(side**2)
    return torch.stack([cells // side, cells % side])


class WindowAttention(nn.Module):
    """Self-attention of several heads within windows, which may lie shifted by half their side.

    The map is rolled for a shifted window, so the last windows hold cells of opposite edges; those
    do not see each other.

    Args:
        channels: In and out.
        head_channels: Of each head; divides `channels`.
        side: Of a window, in cells.
        shifted: Whether the windows lie shifted.
    """

    place: Tensor
    apart_rows: Tensor
    apart_columns: Tensor

    def __init__(self, channels: int, head_channels: int, side: int, shifted: bool) -> None:
        super().__init__()
        self.heads, self.head_channels = channels // head_channels, head_channels
        self.side, self.shift = side, side // 2 if shifted else 0
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        span = 2 * side - 1
        self.position_bias = nn.Parameter(torch.zeros(self.heads, span, span))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        places = _places(side)
        rows, columns = places[:, :, None] - places[:, None, :] + side - 1
        self.register_buffer("place", rows * span + columns, persistent=False)
        # Which cells of a last window come from the other edge, by row and by column.
        wrapped = places >= side - self.shift
        apart = APART * (wrapped[:, :, None] != wrapped[:, None, :]).float()
        self.register_buffer("apart_rows", apart[0], persistent=False)
        self.register_buffer("apart_columns", apart[1], persistent=False)

    def mask(self, rows: int, columns: int) -> Tensor:
        """What is added to scores within windows that hold cells of opposite edges.

        Args:
            rows: Rows of windows.
            columns: Columns of windows.

        Returns:
            `[rows, columns, 1, side**2, side**2]`: 0 for cells that are neighbours, `APART` or
            twice that for others.
        """
        device = self.apart_rows.device
        last_row = (torch.arange(rows, device=device) == rows - 1).to(self.apart_rows.dtype)
        last_column = (torch.arange(columns, device=device) == columns - 1).to(last_row.dtype)
        by_row = last_row.reshape(-1, 1, 1, 1, 1) * self.apart_rows
        return by_row + last_column.reshape(-1, 1, 1, 1) * self.apart_columns

    def forward(self, x: Tensor) -> Tensor:
        """Turns `[N, H, W, C]` into the same shape; no cell sees beyond its window."""
        side, cells, heads = self.side, self.side**2, self.heads
        rolled = torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        qkv = self.qkv(partition(rolled, side))
        qkv = qkv.reshape(-1, cells, 3, heads, self.head_channels)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * self.head_channels**-0.5) @ k.transpose(-1, -2)
        scores = scores + self.position_bias.flatten(1)[:, self.place]
        if self.shift:
            rows, columns = x.shape[1] // side, x.shape[2] // side
            scores = scores.reshape(-1, rows, columns, heads, cells, cells)
            scores = scores + self.mask(rows, columns)
            scores = scores.reshape(-1, heads, cells, cells)
        seen = (torch.softmax(scores, -1) @ v).transpose(1, 2)
        seen = merge(self.out(seen.reshape(-1, cells, heads * self.head_channels)), side, x)
        return torch.roll(seen, (self.shift, self.shift), (1, 2)) if self.shift else seen


class SwinBlock(nn.Module):
    """Window attention, then two linear layers on every cell; each after a norm, each added.

    Args:
        channels: In and out.
        head_channels: Of each head; divides `channels`.
        side: Of a window, in cells.
        shifted: Whether the windows lie shifted by half their side.
    """

    def __init__(self, channels: int, head_channels: int, side: int, shifted: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, head_channels, side, shifted)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turns `[N, H, W, C]` into the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return cast("Tensor", x + self.mlp(self.mlp_norm(x)))


class MixedBlock(nn.Module):
    """The block of LIC-TCM: half of the channels through a residual block, half through Swin.

    Args:
        channels: Of each half; maps have twice as many.
        head_channels: Of each head; divides `channels`.
        side: Of a window, in cells.
        shifted: Whether the windows lie shifted by half their side.
    """

    def __init__(self, channels: int, head_channels: int, side: int, shifted: bool) -> None:
        super().__init__()
        self.split = conv(2 * channels, 2 * channels, 1)
        self.local = ResidualBlock(channels, channels)
        self.window = SwinBlock(channels, head_channels, side, shifted)
        self.join = conv(2 * channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turns `[N, 2 * channels, H, W]` into the same shape."""
        local, window = self.split(x).chunk(2, 1)
        local = self.local(local) + local
        window = self.window(window.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return cast("Tensor", x + self.join(torch.cat([local, window], 1)))


def mixed_blocks(count: int, channels: int, head_channels: int, side: int) -> list[nn.Module]:
    """Mixed blocks whose windows lie straight and shifted in turn."""
    return [MixedBlock(channels, head_channels, side, shifted=bool(i % 2)) for i in range(count)]


class SwinGate(AttentionBlock):
    """Attention in few channels (SWAtten): what two Swin blocks see gates the other branch.

    Args:
        channels: In and out.
        squeezed: Channels inside.
        head_channels: Of each head; divides `squeezed`.
        side: Of a window, in cells.
    """

    def __init__(self, channels: int, squeezed: int, head_channels: int, side: int) -> None:
        super().__init__(squeezed)
        self.squeeze = conv(channels, squeezed, 1)
        self.windows = nn.Sequential(
            SwinBlock(squeezed, head_channels, side, shifted=False),
            SwinBlock(squeezed, head_channels, side, shifted=True),
        )
        self.expand = conv(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turns `[N, channels, H, W]` into the same shape."""
        x = self.squeeze(x)
        seen = self.windows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return cast("Tensor", self.expand(x + self.main(x) * torch.sigmoid(self.gate(seen))))
