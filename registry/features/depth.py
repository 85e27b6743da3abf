"""Encoders of monocular depth models: MiDaS and Depth Anything V2."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.images import HALF
from registry.support.timm import TimmProvider, block_tokens, position_by_scale


@features.register("midas")
class MiDaS(TimmProvider):
    """The encoder of MiDaS 3.0, DPT-Large: the last block, no final norm."""

    card = Card(name="MiDaS", stride=16, supervision="Depth Regression", domain="3D",
                data=("MiDaS-Mix",), license="MIT",
                weights="torchhub:https://github.com/isl-org/MiDaS/releases/download/v3/dpt_large_384.pt",
                paper="arXiv:2103.13413")  # fmt: skip
    sizes = MappingProxyType({"L": Size("ViT-L/16", 1024, 24, 303.7, "vit_large_patch16_384")})
    default_size = "L"
    statistics = HALF

    def convert(self, state: State) -> State:
        encoder = without(state, r"scratch\.", r"pretrained\.act_postprocess\d", r"pretrained\.model\.head\.")
        return renamed(encoder, [(r"^pretrained\.model\.", "")])


@features.register("depth-anything-v2")
class DepthAnythingV2(TimmProvider):
    """The encoder of Depth Anything V2, a fine-tuned DINOv2: the last block, normed as its head sees it."""

    card = Card(name="Depth Anything V2", stride=14, supervision="Depth Regression", domain="2.5D",
                data=("DA-V2-Mix",), license="CC-BY-NC-4.0", paper="arXiv:2406.09414")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 384, 12, 22.1, "vit_small_patch14_dinov2", license="Apache-2.0",
                      weights="hf:depth-anything/Depth-Anything-V2-Small/depth_anything_v2_vits.pth"),
            "B": Size("ViT-B/14", 768, 12, 86.6, "vit_base_patch14_dinov2",
                      weights="hf:depth-anything/Depth-Anything-V2-Base/depth_anything_v2_vitb.pth"),
            "L": Size("ViT-L/14", 1024, 24, 304.4, "vit_large_patch14_dinov2",
                      weights="hf:depth-anything/Depth-Anything-V2-Large/depth_anything_v2_vitl.pth"),
        }
    )  # fmt: skip
    default_size = "B"
    options = MappingProxyType({"dynamic_img_size": True, "init_values": 1.0})

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        tokens = block_tokens(self.network, images, position_by_scale(self.network.pos_embed, grid), self.setting("layer"))
        return self.network.norm(tokens)

    def convert(self, state: State) -> State:
        return renamed(without(state, r"depth_head\.", r"pretrained\.mask_token$"), [(r"^pretrained\.", "")])
