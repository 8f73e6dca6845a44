"""What HiFormer (Heidari et al., WACV 2023) and BEFUnet (Manzari et al. 2024)
share: a fine and a coarse level of tokens, a fusion of both, a small decoder.

Quirk that is kept: the fusion's results are thrown away and the class tokens
are cut off, so that all it leaves of a level is LN(tokens + positions). Nothing
else of it is computed here (the published code does), although its parameters
are there.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import TransformerBlock, to_image, upsample

HEADS = [6, 12]
DEPTHS = [1, 2]


def project(inputs, outputs):
    """From one level's class token to the other's."""
    return nn.Sequential(nn.LayerNorm(inputs), nn.GELU(), nn.Linear(inputs, outputs))


class CrossAttention(nn.Module):
    """Parameters of a class token's attention to the other level."""

    def __init__(self, features):
        super().__init__()
        self.norm1 = nn.LayerNorm(features)
        self.attn = nn.Module()
        for name in ("wq", "wk", "wv", "proj"):
            self.attn.add_module(name, nn.Linear(features, features))


class CrossBlock(nn.Module):
    """The fusion's parameters."""

    def __init__(self, features):
        super().__init__()
        fine, coarse = features
        self.blocks = nn.ModuleList(
            nn.ModuleList(TransformerBlock(level, heads, 2 * level) for _ in range(depth))
            for level, heads, depth in zip(features, HEADS, DEPTHS)
        )
        self.projs = nn.ModuleList([project(fine, coarse), project(coarse, fine)])
        self.fusion = nn.ModuleList([CrossAttention(coarse), CrossAttention(fine)])
        self.revert_projs = nn.ModuleList([project(coarse, fine), project(fine, coarse)])


class All2Cross(nn.Module):
    """`pyramid`: images -> fine and coarse tokens; here -> the same as maps."""

    def __init__(self, pyramid, features, sides):
        super().__init__()
        self.sides = sides
        self.pyramid = pyramid
        self.pos_embed = nn.ParameterList(
            nn.Parameter(0.02 * torch.randn(1, 1 + side * side, level)) for side, level in zip(sides, features)
        )
        self.blocks = nn.ModuleList([CrossBlock(features)])
        self.norm = nn.ModuleList(nn.LayerNorm(level) for level in features)

    def forward(self, x):
        levels = zip(self.pyramid(x), self.pos_embed, self.norm, self.sides)
        return [to_image(norm(tokens + positions[:, 1:]), side, side) for tokens, positions, norm, side in levels]


class ConvUp(nn.Module):
    """[B, i, H, W] -> [B, 128, 2^n H, 2^n W] in n steps; in one without resizing for n = 0."""

    def __init__(self, inputs, doublings):
        super().__init__()
        layers = []
        for step in range(max(doublings, 1)):
            layers += [
                nn.Conv2d(128 if step else inputs, 128, 3, padding=1, bias=False),
                nn.GroupNorm(32, 128),
                nn.ReLU(inplace=True),
                nn.Upsample(scale_factor=2, mode="bilinear") if doublings else nn.Identity(),
            ]
        self.conv_tower = nn.Sequential(*layers)

    def forward(self, x):
        return self.conv_tower(x)


class DoubleLevelNet(nn.Module):
    """[B, 3, S, S] -> logits [B, 1, S, S]; sides of the fine level S / 4, of the
    coarse one 2^doublings times smaller."""

    def __init__(self, pyramid, features, size, doublings):
        super().__init__()
        sides = [size // 4, size // 4 >> doublings]
        self.All2Cross = All2Cross(pyramid, features, sides)
        self.ConvUp_s = ConvUp(features[1], doublings)
        self.ConvUp_l = ConvUp(features[0], 0)
        self.segmentation_head = nn.Sequential(nn.Conv2d(16, 1, 3, padding=1))
        self.conv_pred = nn.Sequential(nn.Conv2d(128, 16, 1))

    def forward(self, x):
        fine, coarse = self.All2Cross(x)
        x = self.ConvUp_l(fine) + self.ConvUp_s(coarse)
        return self.segmentation_head(upsample(F.relu(self.conv_pred(x), inplace=True), 4))
