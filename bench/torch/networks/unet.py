"""U-Net (Ronneberger et al., MICCAI 2015), the form with batch norm and
transposed convolutions that much published code uses.

`variant=table-exact` pads the transposed convolutions by one, which makes a
map of side 2h - 2, and lays zeros around it up to the skip's size: it meets the
paper's cost table. In both the skip comes first in the concatenation.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import double_conv


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.double_conv = double_conv(inputs, outputs, bias=False)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    """[B, i, H, W] -> [B, o, H / 2, W / 2]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    """[B, 2c, h, w] and a skip [B, c, H, W] -> [B, c, H, W]."""

    def __init__(self, channels, padding):
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2, padding=padding)
        self.conv = DoubleConv(2 * channels, channels)

    def forward(self, x, skip):
        x = self.up(x)
        height, width = (skip.shape[axis] - x.shape[axis] for axis in (2, 3))
        if height or width:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return self.conv(torch.cat([skip, x], 1))


class UNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self, variant):
        super().__init__()
        padding = int(variant == "table-exact")
        self.inc = DoubleConv(3, 64)
        self.down1 = Down(64, 128)
        self.down2 = Down(128, 256)
        self.down3 = Down(256, 512)
        self.down4 = Down(512, 1024)
        self.up1 = Up(512, padding)
        self.up2 = Up(256, padding)
        self.up3 = Up(128, padding)
        self.up4 = Up(64, padding)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(64, 1, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.up1(self.down4(x4), x4)
        x = self.up2(x, x3)
        x = self.up3(x, x2)
        return self.outc.conv(self.up4(x, x1))
