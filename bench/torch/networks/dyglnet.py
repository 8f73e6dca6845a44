"""DyGLNet with its seven ablations, as the official code has it.

Quirks that are kept:
1. Every convolution without bias has batch norm and GELU behind it, also where
   a ReLU, another GELU or the sum of a residual follows.
2. A ReLU stands between the concatenated branches and their projection.
3. Two 1 x 1 convolutions follow each other behind the dynamic sampling.
4. The first stage has no mixer; the decoder has the encoder's local mixer.

| option | values |
|---|---|
| `upsample` | `dysample`, `bilinear` (same, without offsets), `transposed` |
| `norm` | `dyt`, `group` (one group) before the attention |
| `local` | `dilated`, `none`: the encoder's mixers without dilated convolutions |
| `global` | `attention`, `none`: the global channels pass unchanged |
| `split` | `paper`, `local`, `global`: global channels x 1, 1/2, 2 |
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import SqueezeExcitation, chain, upsample

DIMENSIONS = [128, 224, 320]
GLOBAL = [32, 48, 68]
DEPTHS = [2, 4, 5]
QUERY = 16
GROUPS = 4


class ConvNormGelu(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1, padding=0, dilation=1, groups=1):
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.gelu(self.bn(self.c(x)))


class Residual(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return x + self.m(x)


def squeeze_excitation(channels):
    """Hidden channels: a quarter, rounded to a multiple of 8."""
    return SqueezeExcitation(channels, max(8, (channels // 4 + 4) // 8 * 8))


class DynamicTanh(nn.Module):
    """weight * tanh(alpha x) + bias, weight and bias for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), 0.5))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.weight[:, None, None] * torch.tanh(self.alpha * x) + self.bias[:, None, None]


class DilatedConvs(nn.Module):
    """Depthwise convolutions of dilation 1, 2, 3, summed with their input."""

    def __init__(self, channels, dilated):
        super().__init__()
        for rate in (1, 2, 3) if dilated else ():
            conv = ConvNormGelu(channels, channels, 3, 1, rate, rate, channels)
            self.add_module(f"conv_dil{rate}", conv)
        self.bn = nn.BatchNorm2d(channels)
        self.dilated = dilated

    def forward(self, x):
        if self.dilated:
            x = x + self.conv_dil1(x) + self.conv_dil2(x) + self.conv_dil3(x)
        return self.bn(x)


class LocalMixer(nn.Module):
    """Dilated convolutions with squeeze-excitation, then a mix of channels."""

    def __init__(self, channels, dilated=True):
        super().__init__()
        self.token_mixer = nn.Sequential(DilatedConvs(channels, dilated), squeeze_excitation(channels))
        last = ConvNormGelu(2 * channels, channels)
        nn.init.zeros_(last.bn.weight)
        self.channel_mixer = Residual(
            nn.Sequential(ConvNormGelu(channels, 2 * channels), nn.GELU(), last)
        )

    def forward(self, x):
        return self.channel_mixer(self.token_mixer(x))


class HybridMixer(nn.Module):
    """Attention on the first channels beside the local mixer on the others."""

    def __init__(self, channels, attended, options):
        super().__init__()
        self.split = [attended, channels - attended]
        self.attends = options["global"] == "attention"
        if self.attends:
            dyt = options["norm"] == "dyt"
            self.pre_norm = DynamicTanh(attended) if dyt else nn.GroupNorm(1, attended)
            self.qkv = ConvNormGelu(attended, 2 * QUERY + attended)
        self.SHDCBlock = LocalMixer(channels - attended, options["local"] == "dilated")
        self.proj = nn.Sequential(nn.ReLU(), ConvNormGelu(channels, channels))

    def attention(self, x):
        """[B, P, H, W] -> [B, P, H, W]; single head."""
        q, k, v = self.qkv(self.pre_norm(x)).flatten(2).split([QUERY, QUERY, x.shape[1]], 1)
        weights = (q.transpose(1, 2) @ k * QUERY**-0.5).softmax(-1)  # [B, n, n]
        return (v @ weights.transpose(1, 2)).view_as(x)

    def forward(self, x):
        seen, local = x.split(self.split, 1)
        if self.attends:
            seen = self.attention(seen)
        return self.proj(torch.cat([seen, self.SHDCBlock(local)], 1))


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.pw1 = ConvNormGelu(channels, 2 * channels)
        self.pw2 = ConvNormGelu(2 * channels, channels)

    def forward(self, x):
        return self.pw2(F.relu(self.pw1(x)))


class Block(nn.Module):
    """Three residuals: depthwise convolution, mixer (if any), feed-forward."""

    def __init__(self, channels, mixer=None):
        super().__init__()
        self.conv = Residual(ConvNormGelu(channels, channels, 3, padding=1, groups=channels))
        self.mixer = Residual(mixer) if mixer else nn.Identity()
        self.ffn = Residual(FeedForward(channels))

    def forward(self, x):
        return self.ffn(self.mixer(self.conv(x)))


class Merge(nn.Module):
    """[B, i, H, W] -> [B, o, H / 2, W / 2]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        hidden = 4 * inputs
        self.conv = nn.Sequential(
            ConvNormGelu(inputs, hidden),
            nn.ReLU(),
            ConvNormGelu(hidden, hidden, 3, 2, 1, groups=hidden),
            squeeze_excitation(hidden),
            ConvNormGelu(hidden, outputs),
        )

    def forward(self, x):
        return self.conv(x)


class DySample(nn.Module):
    """[B, C, H, W] -> [B, C / 2, 2H, 2W]: each group of channels is read at
    positions that move with the content (Liu et al., ICCV 2023)."""

    def __init__(self, channels):
        super().__init__()
        self.offset = nn.Conv2d(channels, 8 * GROUPS, 1)
        nn.init.normal_(self.offset.weight, std=0.001)
        nn.init.zeros_(self.offset.bias)
        self.cnn = nn.Conv2d(channels, channels // 2, 1)
        # Channels are (x or y, group, sub-row, sub-column): without offsets the
        # four sub-pixels read a quarter of a pixel around their centre.
        quarter = torch.tensor([-0.25, 0.25])
        x, y = quarter.expand(GROUPS, 2, 2), quarter[:, None].expand(GROUPS, 2, 2)
        self.register_buffer("init_pos", torch.stack([x, y]).reshape(1, -1, 1, 1))

    def forward(self, x):
        batch, channels, height, width = x.shape
        offset = 0.25 * self.offset(x) + self.init_pos
        across, down = offset.view(batch, 2, GROUPS, 2, 2, height, width).unbind(1)
        columns = torch.arange(width, device=offset.device, dtype=offset.dtype) + 0.5
        rows = torch.arange(height, device=offset.device, dtype=offset.dtype)[:, None] + 0.5
        grid = torch.stack([2 * (across + columns) / width - 1, 2 * (down + rows) / height - 1], -1)
        grid = grid.permute(0, 1, 4, 2, 5, 3, 6)  # [B, g, H, 2, W, 2, 2]
        sampled = F.grid_sample(
            x.reshape(batch * GROUPS, channels // GROUPS, height, width),
            grid.reshape(batch * GROUPS, 2 * height, 2 * width, 2),
            padding_mode="border",
            align_corners=False,
        )
        return self.cnn(sampled.view(batch, channels, 2 * height, 2 * width))


class BilinearSample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.cnn = nn.Conv2d(channels, channels // 2, 1)

    def forward(self, x):
        return self.cnn(upsample(x, 2))


class TransposedSample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)

    def forward(self, x):
        return self.up(x)


SAMPLERS = {"dysample": DySample, "bilinear": BilinearSample, "transposed": TransposedSample}


class Up(nn.Module):
    """A skip [B, S, 2H, 2W] and [B, C, H, W] -> [B, S, 2H, 2W]."""

    def __init__(self, skip, inputs, sampler):
        super().__init__()
        self.dy_sample = sampler(inputs)
        self.adjust_channel = nn.Conv2d(inputs // 2, skip, 1)
        self.cnn_block = LocalMixer(2 * skip)
        self.conv3x3 = nn.Conv2d(2 * skip, skip, 3, padding=1)

    def forward(self, skip, x):
        x = self.adjust_channel(self.dy_sample(x))
        return self.conv3x3(self.cnn_block(torch.cat([skip, x], 1)))


class DyGLNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self, **options):
        super().__init__()
        numerator, denominator = {"paper": (1, 1), "local": (1, 2), "global": (2, 1)}[options["split"]]
        attended = [channels * numerator // denominator for channels in GLOBAL]

        def stage(index):
            channels = DIMENSIONS[index]
            merge = [Merge(DIMENSIONS[index - 1], channels)]
            mixers = (HybridMixer(channels, attended[index], options) for _ in range(DEPTHS[index]))
            return nn.Sequential(*merge, *(Block(channels, mixer) for mixer in mixers))

        self.patch_embed = nn.Sequential(
            ConvNormGelu(3, 16, 3, 1, 1),
            nn.ReLU(),
            ConvNormGelu(16, 32, 3, 1, 1),
            nn.ReLU(),  # skip, full size
            ConvNormGelu(32, 64, 3, 2, 1),
            nn.ReLU(),  # skip, 1/2
            ConvNormGelu(64, DIMENSIONS[0], 3, 2, 1),
        )
        self.blocks1 = nn.Sequential(*(Block(DIMENSIONS[0]) for _ in range(DEPTHS[0])))  # 1/4
        self.blocks2 = stage(1)  # 1/8
        self.blocks3 = stage(2)  # 1/16
        sampler = SAMPLERS[options["upsample"]]
        self.upsample1 = Up(224, 320, sampler)
        self.upsample2 = Up(128, 224, sampler)
        self.upsample3 = Up(64, 128, sampler)
        self.upsample4 = Up(32, 64, sampler)
        self.final_conv = nn.Conv2d(32, 1, 1)

    def forward(self, x):
        stem = list(self.patch_embed)
        full = chain(stem[:4], x)
        half = chain(stem[4:6], full)
        quarter = self.blocks1(stem[6](half))
        eighth = self.blocks2(quarter)
        x = self.upsample1(eighth, self.blocks3(eighth))
        x = self.upsample2(quarter, x)
        x = self.upsample3(half, x)
        return self.final_conv(self.upsample4(full, x))
