"""BEFUnet (Manzari et al. 2024): an edge encoder of pixel-difference
convolutions (PiDiNet, small) beside Swin Transformer; `double_level.py` has the
rest.

Quirks that are kept: edge maps reach the pyramid through 1 x 1 convolutions of
stride 4, which never read most of their pixels; PiDiNet's own output heads are
left over (their parameters are there).
"""

from torch import nn
from torch.nn import functional as F

from .double_level import DoubleLevelNet
from .layers import chain, to_tokens
from .swin import PatchMerging, depth_rates, swin_blocks

FEATURES = [96, 192, 384, 768]
HEADS = [3, 6, 12, 24]
DEPTHS = [2, 2, 6, 2]
EDGE = [30, 60, 120, 120]
# Partners of the nine taps in the angular difference: their neighbours around
# the centre.
ANGULAR = [3, 0, 1, 6, 4, 2, 7, 8, 5]
# Places of taps 1 to 8 and of their partners in the 5 x 5 radial difference.
OUTER = [0, 2, 4, 10, 14, 20, 22, 24]
INNER = [6, 7, 8, 11, 13, 16, 17, 18]


class PixelDifference(nn.Module):
    """A 3 x 3 convolution of differences between pixels, as the ordinary
    convolution it equals: `cv` none, `cd` to the centre, `ad` around it, `rd`
    across two rings (5 x 5)."""

    def __init__(self, kind, inputs, outputs, groups=1):
        super().__init__()
        self.kind = kind
        self.groups = groups
        self.weight = nn.Conv2d(inputs, outputs, 3, groups=groups, bias=False).weight

    def forward(self, x):
        weight, padding = self.weight, 1
        if self.kind == "cd":
            whole = weight.sum((2, 3), keepdim=True)
            return F.conv2d(x, weight, padding=1, groups=self.groups) - F.conv2d(x, whole, groups=self.groups)
        if self.kind == "ad":
            taps = weight.flatten(2)
            weight = (taps - taps[:, :, ANGULAR]).view_as(weight)
        if self.kind == "rd":
            taps = weight.flatten(2)[:, :, 1:]
            weight = taps.new_zeros(*taps.shape[:2], 25)
            weight[:, :, OUTER] = taps
            weight[:, :, INNER] = -taps
            weight, padding = weight.unflatten(2, (5, 5)), 2
        return F.conv2d(x, weight, padding=padding, groups=self.groups)


class EdgeBlock(nn.Module):
    """Pixel differences of each channel, mixed, and a residual. A change of
    channels or level comes with its own convolution for the residual."""

    def __init__(self, kind, inputs, outputs, pools=False):
        super().__init__()
        self.pools = pools
        self.conv1 = PixelDifference(kind, inputs, inputs, inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if pools else nn.Identity()

    def forward(self, x):
        if self.pools:
            x = F.max_pool2d(x, 2)
        return self.conv2(F.relu(self.conv1(x), inplace=True)) + self.shortcut(x)


def edge_layers():
    """The trunk, four layers for each level, and the heads left over."""
    layers = [PixelDifference("cd", 3, EDGE[0])]
    for level, channels in enumerate(EDGE):
        if level:
            layers.append(EdgeBlock("cd", EDGE[level - 1], channels, pools=True))
        layers += [EdgeBlock(kind, channels, channels) for kind in ("ad", "rd", "cv")]
    heads = nn.ModuleList()
    for _ in EDGE:
        heads.append(nn.Module())
        heads[-1].conv = nn.Conv2d(12, 1, 1)
    return nn.ModuleList([*layers, heads])


class Pyramid(nn.Module):
    """[B, 3, S, S] -> tokens [B, (S / 4)^2, 96] and [B, (S / 32)^2, 768]."""

    def __init__(self, size, drop_path):
        super().__init__()
        self.swin_transformer = nn.Module()
        self.swin_transformer.layers = nn.ModuleList()
        for level, rates in enumerate(depth_rates(drop_path, DEPTHS)):
            stage = nn.Module()
            stage.blocks = swin_blocks(FEATURES[level], size // 4 >> level, HEADS[level], size // 32, rates)
            self.swin_transformer.layers.append(stage)
        self.pidinet_layers = edge_layers()
        for level, (edge, features) in enumerate(zip(EDGE, FEATURES), 1):
            self.add_module(f"p{level}_ch", nn.Conv2d(edge, features, 1, stride=4))
            if level < 4:
                self.add_module(f"p{level}_pm", PatchMerging(features))
        # Norms of the class tokens, which take no part.
        self.norm_1 = nn.LayerNorm(FEATURES[0])
        self.norm_2 = nn.LayerNorm(FEATURES[3])

    def forward(self, x):
        trunk = list(self.pidinet_layers)
        tokens = None
        levels = []
        for level in range(4):
            x = chain(trunk[4 * level : 4 * level + 4], x)
            edges = to_tokens(self.get_submodule(f"p{level + 1}_ch")(x))
            merged = self.get_submodule(f"p{level}_pm")(tokens) if level else edges
            tokens = edges + chain(self.swin_transformer.layers[level].blocks, merged)
            levels.append(tokens)
        return levels[0], levels[3]


class BEFUNet(DoubleLevelNet):
    def __init__(self, size, drop_path):
        super().__init__(Pyramid(size, drop_path), [FEATURES[0], FEATURES[3]], size, 3)
