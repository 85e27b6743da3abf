"""DINO and its successors: self-distillation without labels."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from bench.registry import features
from bench.types import Card
from registry.support.checkpoints import State, without
from registry.support.timm import TimmProvider, block_tokens, position_by_scale


class _ScaledPosition(TimmProvider):
    """The last block's tokens, no final norm, the position embedding resized by scale factor."""

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        return block_tokens(self.network, images, position_by_scale(self.network.pos_embed, grid))

    def convert(self, state: State) -> State:
        return without(state, "mask_token$")


@features.register("dino")
class DINO(_ScaledPosition):
    """DINO ViT-B/16."""

    card = Card(name="DINO", arch="ViT-B/16", channels=768, stride=16, supervision="Self Distillation", domain="2D",
                data="ImageNet-1k", license="Apache-2.0", weights="hf:timm/vit_base_patch16_224.dino",
                paper="arXiv:2104.14294")  # fmt: skip
    architecture = "vit_base_patch16_224.dino"


@features.register("dinov2")
class DINOv2(_ScaledPosition):
    """DINOv2 ViT-B/14."""

    card = Card(name="DINOv2", arch="ViT-B/14", channels=768, stride=14, supervision="Self Distillation", domain="2D",
                data="LVD-142M", license="Apache-2.0", weights="hf:timm/vit_base_patch14_dinov2.lvd142m",
                paper="arXiv:2304.07193")  # fmt: skip
    architecture = "vit_base_patch14_dinov2.lvd142m"
    options = MappingProxyType({"dynamic_img_size": True, "init_values": 1.0})


@features.register("dinov3")
class DINOv3(TimmProvider):
    """DINOv3 ViT-B/16: the last block, no final norm; positions are rotary."""

    card = Card(name="DINOv3", arch="ViT-B/16", channels=768, stride=16, supervision="Self Distillation", domain="2D",
                data="LVD-1689M", license="DINOv3", weights="hf:timm/vit_base_patch16_dinov3.lvd1689m",
                paper="arXiv:2508.10104")  # fmt: skip
    architecture = "vit_base_patch16_dinov3.lvd1689m"
