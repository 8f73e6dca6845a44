"""UNet++ (Zhou et al., DLMIA 2018), one output (no deep supervision).

Node (row, column) takes all earlier nodes of its row and the upsampled node
below (bilinear, corners aligned). Convolutions have biases.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import upsample

WIDTHS = [32, 64, 128, 256, 512]


class Node(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


class UNetPlusPlus(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self):
        super().__init__()
        for column in range(5):
            for row in range(5 - column):
                width = WIDTHS[row]
                if column:
                    inputs = column * width + WIDTHS[row + 1]
                else:
                    inputs = WIDTHS[row - 1] if row else 3
                self.add_module(f"conv{row}_{column}", Node(inputs, width))
        self.final = nn.Conv2d(32, 1, 1)

    def node(self, row, column, x):
        return self.get_submodule(f"conv{row}_{column}")(x)

    def forward(self, x):
        rows = [[] for _ in WIDTHS]
        for row, nodes in enumerate(rows):
            x = self.node(row, 0, F.max_pool2d(x, 2) if row else x)
            nodes.append(x)
        for column in range(1, 5):
            for row in range(5 - column):
                below = upsample(rows[row + 1][column - 1], 2, align_corners=True)
                rows[row].append(self.node(row, column, torch.cat([*rows[row], below], 1)))
        return self.final(rows[0][4])
