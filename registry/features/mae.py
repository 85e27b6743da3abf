"""Masked autoencoders."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card
from registry.support.timm import TimmProvider, block_tokens


@features.register("mae")
class MAE(TimmProvider):
    """MAE ViT-B/16: the output of block 11 of 12, as probed; its fixed sine-cosine position embedding made for each size."""

    card = Card(name="MAE", arch="ViT-B/16", channels=768, stride=16, supervision="Image Reconstruction", domain="2D",
                data="ImageNet-1k", license="CC-BY-NC-4.0", weights="hf:timm/vit_base_patch16_224.mae",
                paper="arXiv:2111.06377")  # fmt: skip
    architecture = "vit_base_patch16_224.mae"

    def forward(self, images: Tensor) -> Tensor:
        height, width = (side // self.card.stride for side in images.shape[-2:])
        return block_tokens(self.network, images, sine_position(height, width, self.card.channels).to(images), blocks=11)


def sine_position(height: int, width: int, channels: int) -> Tensor:
    """(1, 1 + height*width, channels): zero for the class token, then sines and cosines of the column, then of the row.

    Each has channels / 4 frequencies 10000^(-4i / channels) (He et al. 2022, appendix A.1, after Vaswani et al. 2017).
    """
    frequencies = 10000.0 ** (-torch.arange(channels // 4, dtype=torch.float64) * 4 / channels)
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (columns, rows)]
    patches = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, channels), patches.float()])[None]
