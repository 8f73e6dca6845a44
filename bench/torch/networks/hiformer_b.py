"""HiFormer-B (Heidari et al., WACV 2023): three layers of a ResNet-50 beside
three stages of Swin Transformer; `double_level.py` has the rest.

Quirk that is kept: at the finest level Swin's blocks see the CNN's tokens, at
the others only the merged tokens of the level above, and the CNN's are added
behind them.
"""

from torch import nn

from .double_level import DoubleLevelNet
from .layers import chain, to_tokens
from .resnet import Bottleneck, layer
from .swin import PatchMerging, depth_rates, swin_blocks

FEATURES = [96, 192, 384]
HEADS = [3, 6, 12]
DEPTHS = [2, 2, 6]


class Pyramid(nn.Module):
    """[B, 3, S, S] -> tokens [B, (S / 4)^2, 96] and [B, (S / 16)^2, 384]."""

    def __init__(self, size, drop_path):
        super().__init__()
        self.swin_transformer = nn.Module()
        self.swin_transformer.layers = nn.ModuleList()
        for level, rates in enumerate(depth_rates(drop_path, DEPTHS)):
            stage = nn.Module()
            stage.blocks = swin_blocks(FEATURES[level], size // 4 >> level, HEADS[level], size // 32, rates)
            self.swin_transformer.layers.append(stage)
        self.resnet_layers = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 7, 2, 3, bias=False),
                nn.BatchNorm2d(64),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, 2, 1),
                layer(Bottleneck, 64, 64, 3, 1),
                layer(Bottleneck, 256, 128, 4, 2),
                layer(Bottleneck, 512, 256, 6, 2),
            ]
        )
        for level, features in enumerate(FEATURES, 1):
            self.add_module(f"p{level}_ch", nn.Conv2d(128 << level, features, 1))
            if level < 3:
                self.add_module(f"p{level}_pm", PatchMerging(features))
        # Norms of the class tokens, which take no part.
        self.norm_1 = nn.LayerNorm(FEATURES[0])
        self.norm_2 = nn.LayerNorm(FEATURES[2])

    def forward(self, x):
        *first, layer2, layer3 = self.resnet_layers
        fm1 = chain(first, x)
        fm2 = layer2(fm1)
        fm3 = layer3(fm2)
        swin = [stage.blocks for stage in self.swin_transformer.layers]
        t1 = to_tokens(self.p1_ch(fm1))
        a1 = t1 + chain(swin[0], t1)
        a2 = to_tokens(self.p2_ch(fm2)) + chain(swin[1], self.p1_pm(a1))
        a3 = to_tokens(self.p3_ch(fm3)) + chain(swin[2], self.p2_pm(a2))
        return a1, a3


class HiFormer(DoubleLevelNet):
    def __init__(self, size, drop_path):
        super().__init__(Pyramid(size, drop_path), [FEATURES[0], FEATURES[2]], size, 2)
