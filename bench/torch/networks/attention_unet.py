"""Attention U-Net (Oktay et al., MIDL 2018), in the form of much published code.

The gate sees the upsampled and convolved decoder map at the skip's own size,
and its output is not convolved again. Convolutions before batch norm have
biases.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import conv_norm_relu, double_conv


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = double_conv(inputs, outputs, bias=True)

    def forward(self, x):
        return self.conv(x)


class Up(nn.Module):
    """[B, i, H, W] -> [B, o, 2H, 2W], nearest."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), *conv_norm_relu(inputs, outputs))

    def forward(self, x):
        return self.up(x)


class Gate(nn.Module):
    """Weights each pixel of the skip by what skip and decoder say of it."""

    def __init__(self, channels):
        super().__init__()

        def narrow(inputs, outputs):
            return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))

        self.W_g = narrow(channels, channels // 2)
        self.W_x = narrow(channels, channels // 2)
        self.psi = narrow(channels // 2, 1)

    def forward(self, decoder, skip):
        return skip * self.psi(F.relu(self.W_g(decoder) + self.W_x(skip))).sigmoid()


class AttentionUNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self):
        super().__init__()
        self.Conv1 = DoubleConv(3, 64)
        for level in range(2, 6):
            channels = 32 << level
            self.add_module(f"Conv{level}", DoubleConv(channels // 2, channels))
            self.add_module(f"Up{level}", Up(channels, channels // 2))
            self.add_module(f"Att{level}", Gate(channels // 2))
            self.add_module(f"Up_conv{level}", DoubleConv(channels, channels // 2))
        self.Conv_1x1 = nn.Conv2d(64, 1, 1)

    def forward(self, x):
        x = self.Conv1(x)
        skips = []
        for level in range(2, 6):
            skips.append(x)
            x = self.get_submodule(f"Conv{level}")(F.max_pool2d(x, 2))
        for level in range(5, 1, -1):
            x = self.get_submodule(f"Up{level}")(x)
            skip = self.get_submodule(f"Att{level}")(x, skips.pop())
            x = self.get_submodule(f"Up_conv{level}")(torch.cat([skip, x], 1))
        return self.Conv_1x1(x)
