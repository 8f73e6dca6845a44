"""M2SNet (Zhao et al. 2023) on a Res2Net-50 (v1b, 26w x 4s): differences between
neighbouring levels, seen through kernels of ones.

Quirks that are kept: the two batch norms behind the kernels of ones are shared by
all twenty uses of each; the backbone's classifier takes no part (its parameters
are there). `ones=box` computes those convolutions as what they equal, the box
sum of the channels' sum; `ones=dense` as the published code does.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import conv_norm_relu

# Blocks and planes of the four layers.
LAYERS = [(3, 64), (4, 128), (6, 256), (3, 512)]


def resize(x, other):
    """Bilinear, to the other's sides."""
    if x.shape[2:] == other.shape[2:]:
        return x
    return F.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


class Res2Block(nn.Module):
    """[B, i, H, W] -> [B, 4p, H / stride, W / stride]: the channels in four
    parts, each but the last convolved, and added to the next one before that
    where the block is not a layer's first."""

    def __init__(self, inputs, planes, stride, first):
        super().__init__()
        width = planes * 26 // 64
        self.first = first
        self.conv1 = nn.Conv2d(inputs, 4 * width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4 * width)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, stride, 1, bias=False) for _ in range(3))
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))
        self.conv3 = nn.Conv2d(4 * width, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.pool = nn.AvgPool2d(3, stride, 1) if first else nn.Identity()
        self.downsample = nn.Identity()
        if first:
            shrink = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(
                shrink if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, 4 * planes, 1, bias=False),
                nn.BatchNorm2d(4 * planes),
            )

    def forward(self, x):
        *parts, last = F.relu(self.bn1(self.conv1(x)), inplace=True).chunk(4, 1)
        made = []
        for part, conv, norm in zip(parts, self.convs, self.bns):
            if made and not self.first:
                part = part + made[-1]
            made.append(F.relu(norm(conv(part)), inplace=True))
        y = self.bn3(self.conv3(torch.cat([*made, self.pool(last)], 1)))
        return F.relu(y + self.downsample(x), inplace=True)


class Res2Net(nn.Module):
    """[B, 3, H, W] -> five maps, 1/4, 1/4, 1/8, 1/16, 1/32."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(
            *conv_norm_relu(3, 32, bias=False, stride=2),
            *conv_norm_relu(32, 32, bias=False),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (depth, planes) in enumerate(LAYERS, 1):
            first = Res2Block(inputs, planes, 1 if number == 1 else 2, True)
            inputs = 4 * planes
            later = (Res2Block(inputs, planes, 1, False) for _ in range(depth - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *later))
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        maps = [F.max_pool2d(x, 3, 2, 1)]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps


class Ones(nn.Module):
    """ReLU and batch norm of a 64 -> 64 convolution by ones."""

    def __init__(self, kernel, dense):
        super().__init__()
        self.kernel = kernel
        self.norm = nn.BatchNorm2d(64)
        ones = torch.ones(64, 64, kernel, kernel) if dense else torch.ones(1, 1, kernel, kernel)
        self.register_buffer("ones", ones, persistent=False)

    def forward(self, x):
        if len(self.ones) == 1:
            sums = F.conv2d(x.sum(1, keepdim=True), self.ones, padding=self.kernel // 2)
            sums = sums.expand(-1, 64, -1, -1)
        else:
            sums = F.conv2d(x, self.ones, padding=self.kernel // 2)
        return F.relu(self.norm(sums))


class M2SNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self, ones):
        super().__init__()
        self.resnet = Res2Net()
        self.conv_3 = Ones(3, ones == "dense")
        self.conv_5 = Ones(5, ones == "dense")
        from_backbone = {"x5_dem_1": 2048, "x4_dem_1": 1024, "x3_dem_1": 512, "x2_dem_1": 256, "x5_dem_5": 2048}
        pairs = (
            "x5_x4 x4_x3 x3_x2 x2_x1 x5_x4_x3 x4_x3_x2 x3_x2_x1 x5_x4_x3_x2 x4_x3_x2_x1 x5_dem_4 x5_x4_x3_x2_x1"
            " level3 level2 level1 output4 output3 output2"
        )
        for name, inputs in {**from_backbone, **dict.fromkeys(pairs.split(), 64)}.items():
            self.add_module(name, nn.Sequential(*conv_norm_relu(inputs, 64)))
        self.output1 = nn.Sequential(nn.Conv2d(64, 1, 3, padding=1))

    def difference(self, a, b):
        """Of two maps, at the size of the second, as they are and through ones."""
        a = resize(a, b)
        fine = (self.conv_3(a) - self.conv_3(b)).abs()
        coarse = (self.conv_5(a) - self.conv_5(b)).abs()
        return (a - b).abs() + fine + coarse

    def forward(self, image):
        x1, *maps = self.resnet(image)
        e2, e3, e4, e5 = (
            layer(x) for layer, x in zip((self.x2_dem_1, self.x3_dem_1, self.x4_dem_1, self.x5_dem_1), maps)
        )
        x5_4 = self.x5_x4(self.difference(e5, e4))
        x4_3 = self.x4_x3(self.difference(e4, e3))
        x3_2 = self.x3_x2(self.difference(e3, e2))
        x2_1 = self.x2_x1(self.difference(e2, x1))
        x5_4_3 = self.x5_x4_x3(self.difference(x5_4, x4_3))
        x4_3_2 = self.x4_x3_x2(self.difference(x4_3, x3_2))
        x3_2_1 = self.x3_x2_x1(self.difference(x3_2, x2_1))
        x5_4_3_2 = self.x5_x4_x3_x2(self.difference(x5_4_3, x4_3_2))
        x4_3_2_1 = self.x4_x3_x2_x1(self.difference(x4_3_2, x3_2_1))
        x5_4_3_2_1 = self.x5_x4_x3_x2_x1(self.difference(self.x5_dem_4(x5_4_3_2), x4_3_2_1))
        level3 = self.level3(x4_3 + x5_4_3)
        level2 = self.level2(x3_2 + x4_3_2 + x5_4_3_2)
        level1 = self.level1(x2_1 + x3_2_1 + x4_3_2_1 + x5_4_3_2_1)
        x = self.x5_dem_5(maps[3])
        x = self.output4(resize(x, x5_4) + x5_4)
        x = self.output3(resize(x, level3) + level3)
        x = self.output2(resize(x, level2) + level2)
        x = self.output1(resize(x, level1) + level1)
        return resize(x, image)
