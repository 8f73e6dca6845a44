"""Swin-Unet (Cao et al., ECCV workshops 2022), tiny: embedding 96, the decoder
as deep as the encoder.

The skips are the stages' inputs; in the decoder they come last in the
concatenation. The output convolution has no bias.
"""

import torch
from torch import nn

from .layers import to_image, to_tokens
from .swin import PatchExpanding, PatchMerging, depth_rates, swin_blocks

FEATURES = [96, 192, 384, 768]
HEADS = [3, 6, 12, 24]
DEPTHS = [2, 2, 2, 2]


class PatchEmbedding(nn.Module):
    """[B, 3, H, W] -> [B, H W / 16, 96]."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, FEATURES[0], 4, stride=4)
        self.norm = nn.LayerNorm(FEATURES[0])

    def forward(self, x):
        return self.norm(to_tokens(self.proj(x)))


class Stage(nn.Module):
    """Blocks, then a change of resolution under its own name, if any."""

    def __init__(self, blocks, **resample):
        super().__init__()
        self.blocks = blocks
        self.names = list(resample)
        for name, layer in resample.items():
            self.add_module(name, layer)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x


class Transformer(nn.Module):
    def __init__(self, size, drop_path):
        super().__init__()
        rates = depth_rates(drop_path, DEPTHS)

        def stage(level, **resample):
            blocks = swin_blocks(FEATURES[level], size // 4 >> level, HEADS[level], size // 32, rates[level])
            return Stage(blocks, **resample)

        self.patch_embed = PatchEmbedding()
        self.layers = nn.ModuleList(
            [*(stage(level, downsample=PatchMerging(FEATURES[level])) for level in range(3)), stage(3)]
        )
        self.norm = nn.LayerNorm(FEATURES[3])
        self.layers_up = nn.ModuleList([PatchExpanding(FEATURES[3], 2)])
        self.concat_back_dim = nn.ModuleList([nn.Identity()])
        for level in (2, 1, 0):
            features = FEATURES[level]
            self.concat_back_dim.append(nn.Linear(2 * features, features))
            resample = {"upsample": PatchExpanding(features, 2)} if level else {}
            self.layers_up.append(stage(level, **resample))
        self.norm_up = nn.LayerNorm(FEATURES[0])
        self.up = PatchExpanding(FEATURES[0], 4)
        self.output = nn.Conv2d(FEATURES[0], 1, 1, bias=False)

    def forward(self, x):
        size = x.shape[2:]
        x = self.patch_embed(x)
        skips = []
        for layer in self.layers:
            skips.append(x)
            x = layer(x)
        x = self.layers_up[0](self.norm(x))
        for layer, narrow, skip in zip(self.layers_up[1:], self.concat_back_dim[1:], skips[2::-1]):
            x = layer(narrow(torch.cat([x, skip], 2)))
        return self.output(to_image(self.up(self.norm_up(x)), *size))


class SwinUNet(nn.Module):
    """[B, 3, S, S] -> logits [B, 1, S, S]."""

    def __init__(self, size, drop_path):
        super().__init__()
        self.swin_unet = Transformer(size, drop_path)

    def forward(self, x):
        return self.swin_unet(x)
