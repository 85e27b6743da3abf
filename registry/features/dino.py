"""DINO, iBOT and their successors: self-distillation without labels."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.timm import StageProvider, TimmProvider, block_tokens, position_by_scale

_SCALE = MappingProxyType(
    {"dynamic_img_size": True, "init_values": 1.0}
)  #: DINOv2's layer scale starts at 1, timm's at 1e-5


class _ScaledPosition(TimmProvider):
    """The position embedding is resized by scale factor, as these models' own code does."""

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        position = position_by_scale(self.network.pos_embed, grid)
        return block_tokens(self.network, images, position, self.setting("layer"))


@features.register("dino")
class DINO(_ScaledPosition):
    """DINO, patches of 16 pixels."""

    card = Card(name="DINO", stride=16, supervision="Self Distillation", domain="2D", data=("ImageNet-1k",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2104.14294")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/16", 384, 12, 21.7, "vit_small_patch16_224.dino"),
            "B": Size("ViT-B/16", 768, 12, 85.8, "vit_base_patch16_224.dino"),
        }
    )
    default_size = "B"


_IBOT = "torchhub:https://lf3-nlp-opensource.bytetos.com/obj/nlp-opensource/archive/2022/ibot/{}/checkpoint_teacher.pth"


@features.register("ibot")
class IBOT(_ScaledPosition):
    """iBOT's teacher in DINO's architecture, block-wise masking."""

    card = Card(name="iBOT", stride=16, supervision="Self Distillation", domain="2D", data=("ImageNet-1k",),
                license="Apache-2.0", paper="arXiv:2111.07832")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/16", 384, 12, 21.7, "vit_small_patch16_224", weights=_IBOT.format("vits_16")),
            "B": Size("ViT-B/16", 768, 12, 85.8, "vit_base_patch16_224", weights=_IBOT.format("vitb_16")),
            "L": Size("ViT-L/16", 1024, 24, 303.3, "vit_large_patch16_224", weights=_IBOT.format("vitl_16")),
        }
    )
    default_size = "B"

    def convert(self, state: State) -> State:
        return super().convert(without(renamed(state, [(r"^module\.", ""), (r"^backbone\.", "")]), "masked_embed$"))


@features.register("dinov2")
class DINOv2(_ScaledPosition):
    """DINOv2 without registers."""

    card = Card(name="DINOv2", stride=14, supervision="Self Distillation", domain="2D", data=("LVD-142M",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2304.07193")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 384, 12, 22.1, "vit_small_patch14_dinov2.lvd142m"),
            "B": Size("ViT-B/14", 768, 12, 86.6, "vit_base_patch14_dinov2.lvd142m"),
            "L": Size("ViT-L/14", 1024, 24, 304.4, "vit_large_patch14_dinov2.lvd142m"),
            "g": Size("ViT-g/14", 1536, 40, 1136.5, "vit_giant_patch14_dinov2.lvd142m"),
        }
    )
    default_size = "B"
    options = _SCALE


@features.register("dinov2-reg")
class DINOv2Registers(TimmProvider):
    """DINOv2 with four registers: the patch tokens alone. Its authors' code resizes positions antialiased, as timm does."""

    card = Card(name="DINOv2 reg", stride=14, supervision="Self Distillation", domain="2D", data=("LVD-142M",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2309.16588")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 384, 12, 22.1, "vit_small_patch14_reg4_dinov2.lvd142m"),
            "B": Size("ViT-B/14", 768, 12, 86.6, "vit_base_patch14_reg4_dinov2.lvd142m"),
            "L": Size("ViT-L/14", 1024, 24, 304.4, "vit_large_patch14_reg4_dinov2.lvd142m"),
            "g": Size("ViT-g/14", 1536, 40, 1136.5, "vit_giant_patch14_reg4_dinov2.lvd142m"),
        }
    )
    default_size = "B"
    options = _SCALE


@features.register("dinov3")
class DINOv3(TimmProvider):
    """DINOv3; positions are rotary."""

    card = Card(name="DINOv3", stride=16, supervision="Self Distillation", domain="2D", data=("LVD-1689M",),
                license="DINOv3", weights="hf:timm/{architecture}", paper="arXiv:2508.10104")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/16", 384, 12, 21.6, "vit_small_patch16_dinov3.lvd1689m"),
            "Splus": Size("ViT-S+/16", 384, 12, 28.7, "vit_small_plus_patch16_dinov3.lvd1689m"),
            "B": Size("ViT-B/16", 768, 12, 85.6, "vit_base_patch16_dinov3.lvd1689m"),
            "L": Size("ViT-L/16", 1024, 24, 303.1, "vit_large_patch16_dinov3.lvd1689m"),
            "Hplus": Size("ViT-H+/16", 1280, 32, 840.5, "vit_huge_plus_patch16_dinov3.lvd1689m"),
            "7B": Size("ViT-7B/16", 4096, 40, 6716.0, "vit_7b_patch16_dinov3.lvd1689m"),
        }
    )
    default_size = "B"


@features.register("dinov3-convnext")
class DINOv3ConvNeXt(StageProvider):
    """DINOv3 distilled into ConvNeXt: the third of its four stages, before any norm of a head."""

    card = Card(name="DINOv3 ConvNeXt", stride=16, supervision="Self Distillation", domain="2D", data=("LVD-1689M",),
                license="DINOv3", weights="hf:timm/{architecture}", paper="arXiv:2508.10104")  # fmt: skip
    sizes = MappingProxyType(
        {
            "T": Size("ConvNeXt-T", 384, 4, 27.8, "convnext_tiny.dinov3_lvd1689m"),
            "S": Size("ConvNeXt-S", 384, 4, 49.5, "convnext_small.dinov3_lvd1689m"),
            "B": Size("ConvNeXt-B", 512, 4, 87.6, "convnext_base.dinov3_lvd1689m"),
            "L": Size("ConvNeXt-L", 768, 4, 196.2, "convnext_large.dinov3_lvd1689m"),
        }
    )
    default_size = "B"


@features.register("lingbot")
class LingBot(TimmProvider):
    """LingBot's vision encoder in DINOv3's architecture; positions are rotary."""

    card = Card(name="LingBot", stride=16, supervision="Self Distillation", domain="2D", license="Apache-2.0",
                weights="hf:belfner/{architecture}", note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/16", 384, 12, 21.6, "vit_small_patch16_lingbot.robbyant"),
            "B": Size("ViT-B/16", 768, 12, 85.7, "vit_base_patch16_lingbot.robbyant"),
            "L": Size("ViT-L/16", 1024, 24, 303.1, "vit_large_patch16_lingbot.robbyant"),
            "g": Size("ViT-g/16", 1536, 40, 1134.5, "vit_giant_patch16_lingbot.robbyant"),
        }
    )
    default_size = "B"
