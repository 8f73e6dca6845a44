"""MISSFormer (Huang et al., TMI 2023): efficient attention, depthwise
convolutions in the perceptrons, a bridge over the tokens of all scales.

Quirks that are kept: the bridge's reduced maps are taken as tokens of 64 by
reinterpreting their memory, which mixes channels; of the decoder's first stage
only the expansion takes part, and two of each perceptron's three norms never do
(their parameters are there). The published code computes each perceptron's
first layer twice; here it is done once.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import attention, split_heads, to_image, to_tokens
from .swin import PatchExpanding

FEATURES = [64, 128, 320, 512]
HEADS = [1, 2, 5, 8]
REDUCTIONS = [8, 4, 2, 1]
UNIT = 64  # Features of the bridge's tokens.


class EfficientAttention(nn.Module):
    """Keys and values come from a map that is `reduction` times smaller."""

    def __init__(self, features, heads, reduction):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(features, features)
        self.kv = nn.Linear(features, 2 * features)
        self.proj = nn.Linear(features, features)
        self.reduces = reduction > 1
        if self.reduces:
            self.sr = nn.Conv2d(features, features, reduction, stride=reduction)
            self.norm = nn.LayerNorm(features)

    def forward(self, x, side):
        (q,) = split_heads(self.q(x), 1, self.heads)
        if self.reduces:
            x = self.norm(to_tokens(self.sr(to_image(x, *side))))
        return self.proj(attention(q, *split_heads(self.kv(x), 2, self.heads)))


class FeedForward(nn.Module):
    """Perceptron with a depthwise convolution and a norm between its layers."""

    def __init__(self, features):
        super().__init__()
        hidden = 4 * features
        self.fc1 = nn.Linear(features, hidden)
        self.dwconv = nn.Module()
        self.dwconv.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, features)
        self.norm1 = nn.LayerNorm(hidden)
        self.norm2 = nn.LayerNorm(hidden)
        self.norm3 = nn.LayerNorm(hidden)

    def forward(self, x, side):
        x = self.fc1(x)
        mixed = to_tokens(self.dwconv.dwconv(to_image(x, *side)))
        return self.fc2(F.gelu(self.norm1(mixed + x)))


class Block(nn.Module):
    def __init__(self, level):
        super().__init__()
        features = FEATURES[level]
        self.norm1 = nn.LayerNorm(features)
        self.attn = EfficientAttention(features, HEADS[level], REDUCTIONS[level])
        self.norm2 = nn.LayerNorm(features)
        self.mlp = FeedForward(features)

    def forward(self, x, side):
        x = x + self.attn(self.norm1(x), side)
        return x + self.mlp(self.norm2(x), side)


class PatchEmbedding(nn.Module):
    """Overlapping patches: [B, i, H, W] -> tokens and the sides of their map."""

    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x):
        x = self.proj(x)
        return self.norm(to_tokens(x)), x.shape[2:]


class Encoder(nn.Module):
    """[B, 3, H, W] -> four maps, 1/4 to 1/32."""

    def __init__(self):
        super().__init__()
        for level, features in enumerate(FEATURES):
            patches = (FEATURES[level - 1], features, 3, 2) if level else (3, features, 7, 4)
            embedding = PatchEmbedding(*patches)
            self.add_module(f"patch_embed{level + 1}", embedding)
            self.add_module(f"block{level + 1}", nn.ModuleList([Block(level), Block(level)]))
            self.add_module(f"norm{level + 1}", nn.LayerNorm(features))

    def forward(self, x):
        maps = []
        for level in range(1, 5):
            tokens, side = self.get_submodule(f"patch_embed{level}")(x)
            for block in self.get_submodule(f"block{level}"):
                tokens = block(tokens, side)
            x = to_image(self.get_submodule(f"norm{level}")(tokens), *side)
            maps.append(x)
        return maps


class ScaleReduction(nn.Module):
    """Fewer tokens from those of all scales, [B, N, 64] -> [B, M, 64]."""

    def __init__(self):
        super().__init__()
        for level, reduction in enumerate(REDUCTIONS[:3]):
            features = FEATURES[level]
            self.add_module(f"sr{level}", nn.Conv2d(features, features, reduction, stride=reduction))
        self.norm = nn.LayerNorm(UNIT)

    def forward(self, scales, sides):
        reduced = []
        for level, (tokens, side) in enumerate(zip(scales[:3], sides)):
            maps = to_image(tokens.reshape(len(tokens), -1, FEATURES[level]), *side)
            small = self.get_submodule(f"sr{level}")(maps)
            # A reinterpretation, not a transposition: see the quirks.
            reduced.append(small.reshape(len(tokens), UNIT, -1).transpose(1, 2))
        return self.norm(torch.cat([*reduced, scales[3]], 1))


class BridgeAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(UNIT, UNIT)
        self.kv = nn.Linear(UNIT, 2 * UNIT)
        self.scale_reduce = ScaleReduction()
        self.proj = nn.Linear(UNIT, UNIT)

    def forward(self, x, lengths, sides):
        reduced = self.scale_reduce(x.split(lengths, 1), sides)
        (q,) = split_heads(self.q(x), 1, 1)
        return self.proj(attention(q, *split_heads(self.kv(reduced), 2, 1)))


class BridgeLayer(nn.Module):
    """Attention over the tokens of all scales, then a perceptron for each scale."""

    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(UNIT)
        self.attn = BridgeAttention()
        self.norm2 = nn.LayerNorm(UNIT)
        for level, features in enumerate(FEATURES, 1):
            self.add_module(f"mixffn{level}", FeedForward(features))

    def forward(self, x, lengths, sides):
        x = x + self.attn(self.norm1(x), lengths, sides)
        scales = []
        for level, tokens in enumerate(self.norm2(x).split(lengths, 1)):
            tokens = tokens.reshape(len(x), -1, FEATURES[level])
            mixed = self.get_submodule(f"mixffn{level + 1}")(tokens, sides[level])
            scales.append(mixed.reshape(len(x), -1, UNIT))
        return x + torch.cat(scales, 1)


class Bridge(nn.Module):
    """Four maps -> the tokens of each scale, [B, h w, c]. A map's pixel makes
    c / 64 tokens of 64."""

    def __init__(self):
        super().__init__()
        for layer in range(1, 5):
            self.add_module(f"bridge_layer{layer}", BridgeLayer())

    def forward(self, maps):
        sides = [scale.shape[2:] for scale in maps]
        scales = [to_tokens(scale).reshape(len(scale), -1, UNIT) for scale in maps]
        lengths = [scale.shape[1] for scale in scales]
        x = torch.cat(scales, 1)
        for layer in self.children():
            x = layer(x, lengths, sides)
        return [
            tokens.reshape(len(x), -1, features)
            for tokens, features in zip(x.split(lengths, 1), FEATURES)
        ]


class Decoder(nn.Module):
    """The tokens of the stage below and a skip's -> tokens of twice the sides
    (four times in the last, `level` 0)."""

    def __init__(self, level):
        super().__init__()
        features = FEATURES[level]
        below = FEATURES[level + 1] // 2 if level < 3 else features
        self.concat_linear = nn.Linear(below + features, features)
        self.layer_up = PatchExpanding(features, 2 if level else 4)
        self.layer_former_1 = Block(level)
        self.layer_former_2 = Block(level)
        if level == 0:
            self.last_layer = nn.Conv2d(features, 1, 1)

    def forward(self, x, skip, side):
        x = self.concat_linear(torch.cat([x, skip], 2))
        x = self.layer_former_2(self.layer_former_1(x, side), side)
        return self.layer_up(x)


class MISSFormer(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self):
        super().__init__()
        self.backbone = Encoder()
        self.bridge = Bridge()
        for level in (3, 2, 1, 0):
            self.add_module(f"decoder_{level}", Decoder(level))

    def forward(self, x):
        size = x.shape[2:]
        maps = self.backbone(x)
        skips = self.bridge(maps)
        x = self.decoder_3.layer_up(skips[3])
        for level in (2, 1, 0):
            x = self.get_submodule(f"decoder_{level}")(x, skips[level], maps[level].shape[2:])
        return self.decoder_0.last_layer(to_image(x, *size))
