"""Trained by filling in what is hidden: I-JEPA, EVA-02, AIMv2, Sapiens 2, and MAE with its kin (ConvNeXt V2, Hiera, Pixio,
VideoMAE)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.registry import features
from bench.types import Card, Setting, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.images import CLIP, centre_padded, normalised
from registry.support.timm import ResizedPositionProvider, StageProvider, TimmProvider, block_tokens, position_to_size

_AS_TIMM = "as timm runs it"
_WINDOW = 32  #: pixels of a side of Hiera's windows


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
class IJEPA(ResizedPositionProvider):
    """I-JEPA's target encoder. Positions are resized as in transformers; its authors' code knows square photos alone."""

    card = Card(name="I-JEPA", stride=14, supervision="Joint-embedding Prediction", domain="2D", data=("ImageNet-1k",),
                license="CC-BY-NC-4.0", paper="arXiv:2301.08243",
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

    card = Card(name="AIMv2", stride=14, supervision="Autoregressive, images and text", domain="2D",
                data=("AIMv2-Mix",), license="Apple-ASCL", weights="hf:timm/{architecture}", paper="arXiv:2411.14402",
                note=_AS_TIMM)  # fmt: skip
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


@features.register("convnextv2")
class ConvNeXtV2(StageProvider):
    """ConvNeXt V2 after masked pre-training, before any fine-tuning: the third of its four stages."""

    card = Card(name="ConvNeXt V2", stride=16, supervision="Image Reconstruction", domain="2D", data=("ImageNet-1k",),
                license="CC-BY-NC-4.0", weights="hf:timm/{architecture}", paper="arXiv:2301.00808",
                note=_AS_TIMM)  # fmt: skip
    sizes = MappingProxyType(
        {
            "A": Size("ConvNeXt-V2-A", 160, 4, 3.4, "convnextv2_atto.fcmae"),
            "F": Size("ConvNeXt-V2-F", 192, 4, 4.8, "convnextv2_femto.fcmae"),
            "P": Size("ConvNeXt-V2-P", 256, 4, 8.6, "convnextv2_pico.fcmae"),
            "N": Size("ConvNeXt-V2-N", 320, 4, 15.0, "convnextv2_nano.fcmae"),
            "T": Size("ConvNeXt-V2-T", 384, 4, 27.9, "convnextv2_tiny.fcmae"),
            "B": Size("ConvNeXt-V2-B", 512, 4, 87.7, "convnextv2_base.fcmae"),
            "L": Size("ConvNeXt-V2-L", 768, 4, 196.4, "convnextv2_large.fcmae"),
            "H": Size("ConvNeXt-V2-H", 1408, 4, 657.5, "convnextv2_huge.fcmae"),
        }
    )
    default_size = "B"


@features.register("hiera")
class Hiera(StageProvider):
    """Hiera after masked pre-training, before any fine-tuning: the third of its four stages.

    Its windows tile multiples of 32 pixels: other photos are padded around, and the padding stays. Positions learned at 224
    pixels are resized bicubically, which its authors found later to cost accuracy (arXiv:2311.05613).
    """

    card = Card(name="Hiera", stride=16, supervision="Image Reconstruction", domain="2D", data=("ImageNet-1k",),
                license="CC-BY-NC-4.0", weights="hf:timm/{architecture}", paper="arXiv:2306.00989",
                note=_AS_TIMM)  # fmt: skip
    sizes = MappingProxyType(
        {
            "T": Size("Hiera-T", 384, 4, 27.1, "hiera_tiny_224.mae"),
            "S": Size("Hiera-S", 384, 4, 34.2, "hiera_small_224.mae"),
            "B": Size("Hiera-B", 384, 4, 50.8, "hiera_base_224.mae"),
            "Bplus": Size("Hiera-B+", 448, 4, 69.0, "hiera_base_plus_224.mae"),
            "L": Size("Hiera-L", 576, 4, 212.6, "hiera_large_224.mae"),
            "H": Size("Hiera-H", 1024, 4, 670.7, "hiera_huge_224.mae"),
        }
    )
    default_size = "B"

    def load(self, device: torch.device) -> None:
        super().load(device)
        self.position = self.network.pos_embed

    def prepared(self, images: Tensor) -> Tensor:
        return centre_padded(normalised(images, self.statistics), _WINDOW)

    def forward(self, images: Tensor) -> Tensor:
        import timm

        network, grid = self.network, (images.shape[-2] // 4, images.shape[-1] // 4)
        if tuple(network.tokens_spatial_shape) != grid:
            with torch.device("meta"):  # for the order in which it keeps tokens of this size
                sized = timm.create_model(self.architecture, img_size=tuple(images.shape[-2:]))
            for name in ("unroll", "reroll", "tokens_spatial_shape", "mask_spatial_shape"):
                setattr(network, name, getattr(sized, name))
            position = position_to_size(self.position, grid, "bicubic", prefix=0)
            network.pos_embed = nn.Parameter(position, requires_grad=False)
        return super().forward(images)


_PIXIO = "hf:facebook/pixio-{0}/pixio_{0}.pth"


@features.register("pixio")
class Pixio(TimmProvider):
    """Pixio: MAE with eight class tokens; the last block, the position embedding resized bicubically, as its authors do."""

    card = Card(name="Pixio", stride=16, supervision="Image Reconstruction", domain="2D", data=("MetaCLIP-2B",),
                license="FAIR non-commercial (gated)", paper="arXiv:2512.15715")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 85.9, weights=_PIXIO.format("vitb16")),
            "L": Size("ViT-L/16", 1024, 24, 303.4, weights=_PIXIO.format("vitl16")),
            "H": Size("ViT-H/16", 1280, 32, 631.0, weights=_PIXIO.format("vith16")),
            "1B": Size("ViT-1B/16", 1536, 48, 1361.5, weights=_PIXIO.format("vit1b16")),
            "5B": Size("ViT-5B/16", 3072, 48, 5440.9, weights=_PIXIO.format("vit5b16")),
        }
    )
    default_size = "H"
    heads: ClassVar[Mapping[str, int]] = MappingProxyType({"B": 12, "L": 16, "H": 16, "1B": 24, "5B": 32})

    def build(self) -> Any:
        from timm.models.vision_transformer import VisionTransformer

        size = self.sizes[self.size]
        shape = {"embed_dim": size.channels, "depth": size.depth, "num_heads": self.heads[self.size]}
        # A class token and seven registers are eight tokens with a position each.
        return VisionTransformer(img_size=256, num_classes=0, reg_tokens=7, **{**shape, **self.options})

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        position = position_to_size(self.network.pos_embed, grid, "bicubic", prefix=8)
        return block_tokens(self.network, images, position, self.setting("layer"))

    def convert(self, state: State) -> State:
        tokens = state.get("cls_token")
        return state if tokens is None else state | {"cls_token": tokens[:, :1], "reg_token": tokens[:, 1:]}


_ATTENTION = ("query.weight", "key.weight", "value.weight", "q_bias", "v_bias")
_VIDEOMAE_NAMES = [
    (r"^videomae\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"^layernorm\.", "norm."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
]


@features.register("videomae")
class VideoMAE(TimmProvider):
    """VideoMAE after pre-training: the last block's tokens of a clip that repeats the photo twice (one tubelet).

    A photo repeated meets the kernels' sum over time. Positions are the first tubelet's of the training at 224 pixels, which
    are numbered row by row in one sine-cosine table, resized bicubically.
    """

    card = Card(name="VideoMAE", stride=16, supervision="Video Reconstruction", domain="2D", data=("Kinetics",),
                license="CC-BY-NC-4.0", paper="arXiv:2203.12602")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 85.6, "vit_base_patch16_224", weights="hf:MCG-NJU/videomae-base"),
            "L": Size("ViT-L/16", 1024, 24, 303.1, "vit_large_patch16_224", weights="hf:MCG-NJU/videomae-large"),
        }
    )
    default_size = "B"
    options = MappingProxyType({"dynamic_img_size": True, "class_token": False, "global_pool": "", "pos_embed": "none"})

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        position = position_to_size(counted_position(14 * 14, self.card.channels), grid, "bicubic", prefix=0)
        return block_tokens(self.network, images, position.to(images), self.setting("layer"))

    def convert(self, state: State) -> State:
        state = without(state, r"decoder\.", "encoder_to_decoder", "mask_token$")
        result = renamed(state, _VIDEOMAE_NAMES)
        for block in {key.partition(".attn.")[0] for key in result if ".attn." in key}:
            names = [f"{block}.attn.{part}" for part in _ATTENTION]
            if all(name in result for name in names):  # else they are told as missing when the state is loaded
                *weights, query, value = (result.pop(name) for name in names)
                result[f"{block}.attn.qkv.weight"] = torch.cat(weights)
                result[f"{block}.attn.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])  # keys have none
        kernel = result.get("patch_embed.proj.weight")
        return result if kernel is None else result | {"patch_embed.proj.weight": kernel.sum(dim=2)}


def counted_position(places: int, channels: int) -> Tensor:
    """(1, places, channels): sine and cosine, by turns, of the place's number times 10000^(-2i / channels) (Vaswani et al.
    2017, section 3.5)."""
    frequencies = 10000.0 ** (-torch.arange(channels // 2, dtype=torch.float64) * 2 / channels)
    angles = torch.arange(places).double()[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()[None]
