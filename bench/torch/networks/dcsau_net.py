"""DCSAU-Net (Xu et al., Computers in Biology and Medicine 2023).

Quirks that are kept: in the first block the order is convolution, ReLU, batch
norm (elsewhere norm before ReLU); the average pools have stride 1; the split
attention's batch norm sees one value for each image, so that training needs at
least two and its gradients are badly conditioned for few.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import upsample

# Name, input channels, width; whether the first block averages, and whether its
# shortcut has a convolution.
STAGES = [
    ("down1", 64, 32, False, True),
    ("down2", 128, 64, True, True),
    ("down3", 256, 128, True, True),
    ("down4", 512, 128, True, False),
    ("up1", 1024, 64, True, True),
    ("up2", 512, 32, True, True),
    ("up3", 256, 16, True, True),
    ("up4", 128, 16, False, True),
]


class PrimaryFeatures(nn.Module):
    """[B, 3, H, W] -> [B, c, H, W] by large kernels."""

    def __init__(self, channels):
        super().__init__()

        def layers(inputs, kernel, groups=1):
            conv = nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, groups=groups)
            return nn.Sequential(conv, nn.ReLU(inplace=True), nn.BatchNorm2d(channels))

        self.input_layer = layers(3, 7)
        self.depthwise = layers(channels, 7, channels)
        self.pointwise = layers(channels, 1)

    def forward(self, x):
        x = self.input_layer(x)
        return self.pointwise(self.depthwise(x) + x)


class SplitAttention(nn.Module):
    """Two branches of `width` channels, weighed against each other by channel."""

    def __init__(self, width):
        super().__init__()
        hidden = max(width // 2, 32)
        self.conv = nn.Conv2d(width, 2 * width, 3, padding=1, groups=2, bias=False)
        self.bn0 = nn.BatchNorm2d(2 * width)
        self.bn2 = nn.BatchNorm2d(width)
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, 2 * width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=2, bias=False)

    def forward(self, x):
        first, second = F.relu(self.bn0(self.conv(x))).chunk(2, 1)
        second = F.relu(self.bn2(self.conv2(first + second)))
        means = F.adaptive_avg_pool2d(first + second, 1)
        scores = self.fc2(F.relu(self.bn1(self.fc1(means))))
        weights = scores.unflatten(1, (2, -1)).softmax(1)  # [B, 2, w, 1, 1]
        return weights[:, 0] * first + weights[:, 1] * second


class Bottleneck(nn.Module):
    """[B, i, H, W] -> [B, 4w, H, W]."""

    def __init__(self, inputs, width, averages=False, shortcut=False):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = SplitAttention(width)
        self.average = nn.AvgPool2d(3, 1, 1) if averages else nn.Identity()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Identity()
        if shortcut:
            # In place of the published code's average over a single pixel.
            conv = nn.Conv2d(inputs, 4 * width, 1, bias=False)
            self.downsample = nn.Sequential(nn.Identity(), conv, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn3(self.conv3(self.average(self.conv2(y))))
        return F.relu(y + self.downsample(x), inplace=True)


def up_to(x, skip):
    """[skip, x at twice its sides, padded to the skip's]."""
    x = upsample(x, 2, align_corners=True)
    height, width = (skip.shape[axis] - x.shape[axis] for axis in (2, 3))
    if height or width:
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
    return torch.cat([skip, x], 1)


class DCSAUNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    SMALLEST_BATCH = 2  # In training.

    def __init__(self):
        super().__init__()
        self.pfc = PrimaryFeatures(64)
        self.out_conv = nn.Conv2d(64, 1, 1)
        for name, inputs, width, averages, shortcut in STAGES:
            first = Bottleneck(inputs, width, averages, shortcut)
            self.add_module(name, nn.Sequential(first, Bottleneck(4 * width, width)))

    def forward(self, x):
        x1 = self.pfc(x)
        x3 = self.down1(F.max_pool2d(x1, 2))
        x5 = self.down2(F.max_pool2d(x3, 2))
        x7 = self.down3(F.max_pool2d(x5, 2))
        x = self.down4(F.max_pool2d(x7, 2))
        x = self.up1(up_to(x, x7))
        x = self.up2(up_to(x, x5))
        x = self.up3(up_to(x, x3))
        return self.out_conv(self.up4(up_to(x, x1)))
