"""Layers that several networks have. Shapes: images [B, C, H, W], tokens
[B, N, C] in row-major order of the image.

Batch norm, layer norm and GELU (the exact one) are torch's defaults. ReLUs
behind a norm work in place, as published code has them.
"""

from torch import nn
from torch.nn import functional as F


def to_tokens(image):
    """[B, C, H, W] -> [B, H W, C]."""
    return image.flatten(2).transpose(1, 2)


def to_image(tokens, height, width):
    """[B, H W, C] -> [B, C, H, W]."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def chain(layers, x):
    """One layer after the other, as nn.Sequential does it."""
    for layer in layers:
        x = layer(x)
    return x


def upsample(image, scale, align_corners=False):
    """Bilinear, to `scale` times the sides."""
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=align_corners)


def conv_norm_relu(inputs, outputs, kernel=3, bias=True, **options):
    """The three layers as a list; the size stays unless `options` say so."""
    options.setdefault("padding", kernel // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, bias=bias, **options),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def double_conv(inputs, outputs, bias):
    """Twice a 3 x 3 convolution with batch norm and ReLU (layers 0, 1 and 3, 4)."""
    return nn.Sequential(
        *conv_norm_relu(inputs, outputs, bias=bias),
        *conv_norm_relu(outputs, outputs, bias=bias),
    )


class SqueezeExcitation(nn.Module):
    """Weights each channel by what a two-layer perceptron makes of all means."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        means = x.mean((2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(means))).sigmoid()


class DropPath(nn.Module):
    """Stochastic depth: drops the whole branch of a sample at this rate."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(1 - self.rate)
        return x * kept / (1 - self.rate)


class Mlp(nn.Module):
    """Linear, GELU, Linear on the last axis."""

    def __init__(self, features, hidden):
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, features)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def split_heads(x, parts, heads):
    """[B, N, parts heads d] -> `parts` tensors [B, heads, N, d]."""
    return x.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def attention(q, k, v, change=None):
    """Scaled dot-product attention, [B, heads, N, d] -> [B, N, heads d];
    `change` sees the scores before the softmax. Spelled out, as the published
    networks have it, and not torch's fused kernel."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if change is not None:
        scores = change(scores)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one linear layer for q, k and v."""

    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, x):
        return self.proj(attention(*split_heads(self.qkv(x), 3, self.heads)))


class TransformerBlock(nn.Module):
    """A ViT's block: norms before attention and perceptron."""

    def __init__(self, features, heads, hidden, epsilon=1e-5):
        super().__init__()
        self.norm1 = nn.LayerNorm(features, epsilon)
        self.attn = SelfAttention(features, heads)
        self.norm2 = nn.LayerNorm(features, epsilon)
        self.mlp = Mlp(features, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))
