"""Swin Transformer's blocks (Liu et al., ICCV 2021), as Swin-Unet, HiFormer,
H2Former and BEFUnet have them: tokens [B, R R, C] of square maps."""

import torch
from torch import nn

from .layers import DropPath, Mlp, attention, split_heads


def to_windows(maps, window):
    """[B, R, R, C] -> [B nW, w w, C], windows and their tokens in row-major order."""
    tiled = maps.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return tiled.transpose(2, 3).reshape(-1, window * window, maps.shape[-1])


def from_windows(windows, window, side):
    """[B nW, w w, C] -> [B, R, R, C]."""
    count = side // window
    tiled = windows.view(-1, count, count, window, window, windows.shape[-1])
    return tiled.transpose(2, 3).reshape(-1, side, side, windows.shape[-1])


def relative_positions(window):
    """Row of the table of biases for each pair of tokens, [w w, w w]."""
    at = torch.arange(window)
    rows, columns = at.repeat_interleave(window), at.repeat(window)
    rows = rows[:, None] - rows + window - 1
    return rows * (2 * window - 1) + columns[:, None] - columns + window - 1


def shift_mask(side, window, shift):
    """0 between tokens of a shifted window that are neighbours in the map, else
    -100, [nW, w w, w w]."""
    at = torch.arange(side)
    band = (at >= side - window).float() + (at >= side - shift)
    regions = to_windows((3 * band[:, None] + band).view(1, side, side, 1), window)
    return torch.where(regions == regions.transpose(1, 2), 0.0, -100.0)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows [B nW, w w, C], with a learned bias
    for each relative position and head."""

    def __init__(self, features, heads, window):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, x, mask):
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.view(*self.relative_position_index.shape, self.heads).permute(2, 0, 1)

        def change(scores):
            scores = scores + bias
            if mask is None:
                return scores
            return (scores.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)

        return self.proj(attention(*split_heads(self.qkv(x), 3, self.heads), change))


class SwinBlock(nn.Module):
    """Window attention and perceptron, each with a residual. A map that fits
    into one window is not shifted."""

    def __init__(self, features, side, heads, window, shift, drop_path, mlp=None):
        super().__init__()
        self.side = side
        self.window = min(window, side)
        self.shift = shift if side > window else 0
        self.norm1 = nn.LayerNorm(features)
        self.attn = WindowAttention(features, heads, self.window)
        self.norm2 = nn.LayerNorm(features)
        self.mlp = mlp or Mlp(features, 4 * features)
        self.drop_path = DropPath(drop_path)
        mask = shift_mask(side, self.window, self.shift) if self.shift else None
        self.register_buffer("attn_mask", mask)

    def attend(self, x):
        maps = self.norm1(x).unflatten(1, (self.side, self.side))
        if self.shift:
            maps = maps.roll((-self.shift, -self.shift), (1, 2))
        windows = self.attn(to_windows(maps, self.window), self.attn_mask)
        maps = from_windows(windows, self.window, self.side)
        if self.shift:
            maps = maps.roll((self.shift, self.shift), (1, 2))
        return maps.flatten(1, 2)

    def forward(self, x):
        x = x + self.drop_path(self.attend(x))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def swin_blocks(features, side, heads, window, rates, mlp=None):
    """One block for each rate of stochastic depth, every other one shifted by
    half a window; `mlp` makes each block's perceptron."""
    return nn.ModuleList(
        SwinBlock(
            features, side, heads, window, window // 2 * (index % 2), rate, mlp and mlp(features, side)
        )
        for index, rate in enumerate(rates)
    )


def depth_rates(last, depths):
    """Rates of stochastic depth that grow from 0 to `last`, a list for each stage."""
    rates = torch.linspace(0, last, sum(depths)).split(depths)
    return [stage.tolist() for stage in rates]


class PatchMerging(nn.Module):
    """[B, R R, C] -> [B, R R / 4, 2C]."""

    def __init__(self, features):
        super().__init__()
        self.reduction = nn.Linear(4 * features, 2 * features, bias=False)
        self.norm = nn.LayerNorm(4 * features)

    def forward(self, x):
        side = int(x.shape[1] ** 0.5)
        # [B, row, row's parity, column, column's parity, C]; the rows' parity
        # changes fastest.
        cells = x.view(x.shape[0], side // 2, 2, side // 2, 2, -1).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(cells.reshape(x.shape[0], side * side // 4, -1)))


class PatchExpanding(nn.Module):
    """[B, R R, C] -> [B, p R p R, o], each token becoming p x p."""

    def __init__(self, features, scale):
        super().__init__()
        self.scale = scale
        self.outputs = features // 2 if scale == 2 else features
        self.expand = nn.Linear(features, scale * scale * self.outputs, bias=False)
        self.norm = nn.LayerNorm(self.outputs)

    def forward(self, x):
        side = int(x.shape[1] ** 0.5)
        x = self.expand(x).view(x.shape[0], side, side, self.scale, self.scale, self.outputs)
        return self.norm(x.transpose(2, 3).reshape(x.shape[0], -1, self.outputs))
