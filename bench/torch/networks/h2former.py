"""H2Former (He et al., TMI 2023): ResNet-34 at full stem resolution with Swin
blocks behind each of its layers. Three input channels (the published file has
four).

Quirks that are kept: the perceptrons end in a channel attention that takes the
tokens' memory as an image without transposing it, so that what is added to the
residual is scrambled; the channel attention adds its input; windows are a
sixteenth of the image.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import Mlp, to_image, to_tokens
from .resnet import BasicBlock, layer
from .swin import depth_rates, swin_blocks

CHANNELS = [64, 128, 256, 512]
HEADS = [2, 4, 8, 16]
RESNET = [3, 4, 6, 3]
DEPTHS = [2, 2, 2, 2]


class ChannelAttention(nn.Module):
    """ECA (Wang et al., CVPR 2020) with a residual: [B, C, H, W] -> the same."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        weights = self.conv(x.mean((2, 3))[:, None]).sigmoid()  # [B, 1, C]
        return x * weights[:, 0, :, None, None] + x


class ScrambledMlp(Mlp):
    """See the quirks."""

    def __init__(self, features, side):
        super().__init__(features, 4 * features)
        self.side = side
        self.eca = ChannelAttention()

    def forward(self, x):
        maps = super().forward(x).reshape(x.shape[0], x.shape[2], self.side, self.side)
        return to_tokens(self.eca(maps))


class PatchEmbedding(nn.Module):
    """Patches of four sizes: [B, 3, H, W] -> [B, H W / 4, 64]."""

    def __init__(self):
        super().__init__()
        sizes = ((2, 0, 32), (4, 1, 16), (8, 3, 8), (16, 7, 8))
        self.projs = nn.ModuleList(nn.Conv2d(3, outputs, kernel, 2, padding) for kernel, padding, outputs in sizes)
        self.eca = ChannelAttention()
        self.norm = nn.LayerNorm(CHANNELS[0])

    def forward(self, x):
        return self.norm(to_tokens(self.eca(torch.cat([proj(x) for proj in self.projs], 1))))


class Merging(nn.Module):
    """Two kernels: tokens [B, R R, C] -> [B, 2C, R / 2, R / 2]."""

    def __init__(self, channels, side):
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(channels)
        self.reductions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, kernel, 2, padding)) for kernel, padding in ((2, 0), (4, 1))
        )
        self.eca = ChannelAttention()

    def forward(self, x):
        x = to_image(self.norm(x), self.side, self.side)
        return self.eca(torch.cat([reduction(x) for reduction in self.reductions], 1))


class Decoder(nn.Module):
    """[B, 2c, H, W] and a skip [B, c, 2H, 2W] -> [B, c, 2H, 2W]."""

    def __init__(self, channels):
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.conv_bn_relu = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x, skip):
        return self.conv_bn_relu(torch.cat([self.up(x), skip], 1))


class H2Former(nn.Module):
    """[B, 3, S, S] -> logits [B, 1, S, S]."""

    def __init__(self, size, drop_path):
        super().__init__()
        self.sides = [size // 2 >> level for level in range(4)]
        rates = depth_rates(drop_path, DEPTHS)
        self.conv1 = nn.Conv2d(3, 64, 7, 1, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.patch_embed = PatchEmbedding()
        self.swin_layers = nn.ModuleList()
        for level, channels in enumerate(CHANNELS):
            before = CHANNELS[max(level - 1, 0)]
            blocks = layer(BasicBlock, before, channels, RESNET[level], 1 if level == 0 else 2)
            self.add_module(f"layer{level + 1}", blocks)
            side = self.sides[level]
            stage = nn.Module()
            stage.blocks = swin_blocks(channels, side, HEADS[level], size // 16, rates[level], ScrambledMlp)
            self.swin_layers.append(stage)
            if level < 3:
                self.add_module(f"MS{level + 2}", Merging(channels, side))
                self.add_module(f"decode{level + 2}", Decoder(channels))
        self.decode0 = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(64, 1, 1, bias=False),
        )

    def forward(self, x):
        tokens = self.patch_embed(x)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        merged = to_image(tokens, self.sides[0], self.sides[0])
        maps = []
        for level, side in enumerate(self.sides):
            tokens = to_tokens(self.get_submodule(f"layer{level + 1}")(x) + merged)
            for block in self.swin_layers[level].blocks:
                tokens = block(tokens)
            x = to_image(tokens, side, side)
            maps.append(x)
            if level < 3:
                merged = self.get_submodule(f"MS{level + 2}")(tokens)
        x = self.decode4(maps[3], maps[2])
        x = self.decode3(x, maps[1])
        return self.decode0(self.decode2(x, maps[0]))
