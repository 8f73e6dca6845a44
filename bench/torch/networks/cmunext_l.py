"""CMUNeXt, large (Tang et al., ISBI 2024): large depthwise convolutions.

Quirks that are kept: inside the blocks the order is convolution, GELU, batch
norm; only the depthwise part has a residual; the fusion's first convolution has
two groups, one for the skip and one for the decoder's map.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import conv_norm_relu

# Channels, depth, kernel of the five stages.
STAGES = [(32, 1, 3), (64, 1, 3), (128, 1, 7), (256, 6, 7), (512, 3, 7)]


def conv_gelu_norm(inputs, outputs, kernel=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
    return [conv, nn.GELU(), nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x):
        return x + self.fn(x)


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Sequential(*conv_norm_relu(inputs, outputs))

    def forward(self, x):
        return self.conv(x)


class Encoder(nn.Module):
    """`depth` mixing layers, then a convolution to `outputs` channels."""

    def __init__(self, inputs, outputs, depth, kernel):
        super().__init__()

        def layer():
            depthwise = conv_gelu_norm(inputs, inputs, kernel, groups=inputs)
            return nn.Sequential(
                Residual(nn.Sequential(*depthwise)),
                *conv_gelu_norm(inputs, 4 * inputs),
                *conv_gelu_norm(4 * inputs, inputs),
            )

        self.block = nn.Sequential(*(layer() for _ in range(depth)))
        self.up = ConvBlock(inputs, outputs)

    def forward(self, x):
        return self.up(self.block(x))


class Up(nn.Module):
    """[B, i, H, W] -> [B, o, 2H, 2W]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), *conv_norm_relu(inputs, outputs)
        )

    def forward(self, x):
        return self.up(x)


class Fusion(nn.Module):
    """A skip and a decoder's map, each [B, c, H, W], one after the other -> [B, c, H, W]."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Sequential(
            *conv_gelu_norm(2 * channels, 2 * channels, 3, groups=2),
            *conv_gelu_norm(2 * channels, 4 * channels),
            *conv_gelu_norm(4 * channels, channels),
        )

    def forward(self, x):
        return self.conv(x)


class CMUNeXt(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self):
        super().__init__()
        before = STAGES[0][0]
        self.stem = ConvBlock(3, before)
        for level, (channels, depth, kernel) in enumerate(STAGES, 1):
            self.add_module(f"encoder{level}", Encoder(before, channels, depth, kernel))
            if level > 1:
                self.add_module(f"Up{level}", Up(channels, before))
                self.add_module(f"Up_conv{level}", Fusion(before))
            before = channels
        self.Conv_1x1 = nn.Conv2d(STAGES[0][0], 1, 1)

    def forward(self, x):
        x = self.encoder1(self.stem(x))
        skips = []
        for level in range(2, 6):
            skips.append(x)
            x = self.get_submodule(f"encoder{level}")(F.max_pool2d(x, 2))
        for level in range(5, 1, -1):
            x = self.get_submodule(f"Up{level}")(x)
            x = self.get_submodule(f"Up_conv{level}")(torch.cat([skips.pop(), x], 1))
        return self.Conv_1x1(x)
