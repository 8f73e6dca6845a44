"""FAT-Net (Wu et al., Medical Image Analysis 2022): ResNet-34 without its max
pool beside the blocks of a DeiT-tiny.

Quirks that are kept: one feature adaptation block for each level, applied 6, 4
and 2 times with the same weights; no position embedding, class token or last
norm in the transformer; `decoder1` takes no part (its parameters are there).
"""

import torch
from torch import nn
from torch.nn import functional as F

from .layers import TransformerBlock, to_image, to_tokens
from .resnet import BasicBlock, layer

TOKEN = 192


class FeatureAdaptation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return F.relu(self.conv3(x), inplace=True) + F.relu(self.conv1(x), inplace=True)


class ChannelGate(nn.Module):
    """Squeeze-excitation of linear layers without biases."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class Decoder(nn.Module):
    """[B, i, H, W] -> [B, o, 2H, 2W]."""

    def __init__(self, inputs, outputs):
        super().__init__()
        hidden = inputs // 4
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(hidden, hidden, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
        )
        self.conv3 = nn.Conv2d(hidden, outputs, 1)
        self.norm3 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.up(F.relu(self.norm1(self.conv1(x)), inplace=True))
        return F.relu(self.norm3(self.conv3(x)), inplace=True)


class FATNet(nn.Module):
    """[B, 3, H, W] -> logits [B, 1, H, W]."""

    def __init__(self):
        super().__init__()
        self.firstconv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.firstbn = nn.BatchNorm2d(64)
        self.encoder1 = layer(BasicBlock, 64, 64, 3, 1)
        self.encoder2 = layer(BasicBlock, 64, 128, 4, 2)
        self.encoder3 = layer(BasicBlock, 128, 256, 6, 2)
        self.encoder4 = layer(BasicBlock, 256, 512, 3, 2)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, TOKEN, 16, stride=16)
        self.transformers = nn.Sequential(*(TransformerBlock(TOKEN, 3, 4 * TOKEN, 1e-6) for _ in range(12)))
        self.conv_seq_img = nn.Conv2d(TOKEN, 512, 1)
        self.se = ChannelGate(1024, 64)
        self.conv2d = nn.Conv2d(1024, 512, 1)
        self.FAMBlock1 = FeatureAdaptation(64)
        self.FAMBlock2 = FeatureAdaptation(128)
        self.FAMBlock3 = FeatureAdaptation(256)
        self.decoder4 = Decoder(512, 256)
        self.decoder3 = Decoder(256, 128)
        self.decoder2 = Decoder(128, 64)
        self.decoder1 = Decoder(64, 64)
        self.final_conv1 = nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1)
        self.final_conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.final_conv3 = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x):
        e1 = self.encoder1(F.relu(self.firstbn(self.firstconv(x)), inplace=True))
        e2 = self.encoder2(e1)
        e3 = self.encoder3(e2)
        local = self.encoder4(e3)
        patches = self.patch_embed.proj(x)
        tokens = self.transformers(to_tokens(patches))
        seen = self.conv_seq_img(to_image(tokens, *patches.shape[2:]))
        x = self.conv2d(self.se(torch.cat([local, seen], 1)))
        for _ in range(2):
            e3 = self.FAMBlock3(e3)
        for _ in range(4):
            e2 = self.FAMBlock2(e2)
        for _ in range(6):
            e1 = self.FAMBlock1(e1)
        x = self.decoder4(x) + e3
        x = self.decoder3(x) + e2
        x = self.decoder2(x) + e1
        x = F.relu(self.final_conv1(x), inplace=True)
        return self.final_conv3(F.relu(self.final_conv2(x), inplace=True))
