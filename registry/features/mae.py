"""Trained by filling in what is hidden, in pixels or in features: MAE, I-JEPA, EVA-02, AIMv2, Sapiens 2."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, Setting, Size
from registry.support.checkpoints import State, renamed
from registry.support.images import CLIP
from registry.support.timm import TimmProvider, block_tokens

_AS_TIMM = "as timm runs it"


@features.register("mae")
class MAE(TimmProvider):
    """MAE: the output of the last block but one, as probed; its fixed sine-cosine position embedding made for each size."""

    card = Card(name="MAE", stride=16, supervision="Image Reconstruction", domain="2D", data=("ImageNet-1k",),
                license="CC-BY-NC-4.0", weights="hf:timm/{architecture}", paper="arXiv:2111.06377")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 85.8, "vit_base_patch16_224.mae"),
            "L": Size("ViT-L/16", 1024, 24, 303.3, "vit_large_patch16_224.mae"),
            "H": Size("ViT-H/14", 1280, 32, 630.8, "vit_huge_patch14_224.mae", stride=14),
        }
    )
    default_size = "B"

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        depth = cls.sizes[cls.size].depth
        return {"layer": Setting(range(1, depth + 1), depth - 1)}

    def forward(self, images: Tensor) -> Tensor:
        height, width = (side // self.card.stride for side in images.shape[-2:])
        position = sine_position(height, width, self.card.channels).to(images)
        return block_tokens(self.network, images, position, self.setting("layer"))


def sine_position(height: int, width: int, channels: int) -> Tensor:
    """(1, 1 + height*width, channels): zero for the class token, then sines and cosines of the column, then of the row.

    Each has channels / 4 frequencies 10000^(-4i / channels) (He et al. 2022, appendix A.1, after Vaswani et al. 2017).
    """
    frequencies = 10000.0 ** (-torch.arange(channels // 4, dtype=torch.float64) * 4 / channels)
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (columns, rows)]
    patches = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, channels), patches.float()])[None]


@features.register("i-jepa")
class IJEPA(TimmProvider):
    """I-JEPA's target encoder."""

    card = Card(name="I-JEPA", stride=14, supervision="Joint-embedding Prediction", domain="2D", data=("ImageNet-1k",),
                license="CC-BY-NC-4.0", paper="arXiv:2301.08243", note=_AS_TIMM,
                weights="torchhub:https://dl.fbaipublicfiles.com/ijepa/IN1K-vit.h.14-300e.pth.tar")  # fmt: skip
    sizes = MappingProxyType({"H": Size("ViT-H/14", 1280, 32, 630.8, "vit_huge_patch14_gap_224.in1k_ijepa")})
    default_size = "H"
    options = MappingProxyType({"dynamic_img_size": True, "global_pool": "", "fc_norm": False})

    def convert(self, state: State) -> State:
        return super().convert(renamed(state, [(r"^module\.", "")]))


@features.register("eva02")
class EVA02(TimmProvider):
    """EVA-02 after masked image modelling, before any fine-tuning; rotary positions beside learned ones."""

    card = Card(name="EVA-02", stride=14, supervision="Masked Feature Prediction (CLIP)", domain="2D",
                data=("ImageNet-22k",), license="MIT", weights="hf:timm/{architecture}",
                paper="arXiv:2303.11331", note=_AS_TIMM)  # fmt: skip
    sizes = MappingProxyType(
        {
            "Ti": Size("ViT-Ti/14", 192, 12, 5.5, "eva02_tiny_patch14_224.mim_in22k"),
            "S": Size("ViT-S/14", 384, 12, 21.6, "eva02_small_patch14_224.mim_in22k"),
            "B": Size("ViT-B/14", 768, 12, 85.8, "eva02_base_patch14_224.mim_in22k"),
            "L": Size("ViT-L/14", 1024, 24, 303.3, "eva02_large_patch14_224.mim_in22k"),
        }
    )
    default_size = "B"
    statistics = CLIP


@features.register("aimv2")
class AIMv2(TimmProvider):
    """AIMv2, the release for 224 pixels, before the norm of the trunk."""

    card = Card(name="AIMv2", stride=14, supervision="Autoregressive, images and text", domain="2D", license="Apple-ASCL",
                weights="hf:timm/{architecture}", paper="arXiv:2411.14402", note=_AS_TIMM)  # fmt: skip
    sizes = MappingProxyType(
        {
            "L": Size("ViT-L/14", 1024, 24, 309.2, "aimv2_large_patch14_224.apple_pt"),
            "H": Size("ViT-H/14", 1536, 24, 680.9, "aimv2_huge_patch14_224.apple_pt"),
            "1B": Size("ViT-1B/14", 2048, 24, 1235.0, "aimv2_1b_patch14_224.apple_pt"),
            "3B": Size("ViT-3B/14", 3072, 24, 2720.7, "aimv2_3b_patch14_224.apple_pt"),
        }
    )
    default_size = "L"
    statistics = CLIP


@features.register("sapiens2")
class Sapiens2(TimmProvider):
    """Sapiens 2, trained on people."""

    card = Card(name="Sapiens 2", stride=16, supervision="Masked Reconstruction + Contrast", domain="2D",
                license="Sapiens2", weights="hf:timm/{architecture}", note=_AS_TIMM)  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 114.0, "vit_base_patch16_sapiens2.fb"),
            "L": Size("ViT-L/16", 1024, 24, 395.5, "vit_large_patch16_sapiens2.fb"),
            "H": Size("ViT-H/16", 1280, 32, 814.3, "vit_huge_patch16_sapiens2.fb"),
            "g": Size("ViT-g/16", 1536, 40, 1455.5, "vit_giant_patch16_sapiens2.fb"),
            "5B": Size("ViT-5B/16", 2432, 56, 5066.9, "vit_5b_patch16_sapiens2.fb"),
        }
    )
    default_size = "B"
