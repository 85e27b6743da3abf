"""VGGT: its image encoder, and the tokens of its alternating-attention decoder."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.images import IMAGENET, centre_padded, normalised
from registry.support.timm import NetworkProvider, TimmProvider

_LICENSE, _WEIGHTS, _PAPER = "VGGT (non-commercial)", "hf:facebook/VGGT-1B", "arXiv:2503.11651"
_REST = (r"aggregator\.(frame_blocks|global_blocks)\.", r"aggregator\.(camera|register)_token$", r"\w+_head\.")


@features.register("vggt")
class VGGT(TimmProvider):
    """VGGT's encoder, a fine-tuned DINOv2 ViT-L/14 with registers: the patch tokens after the final norm."""

    card = Card(name="VGGT", stride=14, supervision="Point Regression", domain="3D",
                data=("VGGT-Mix",), license=_LICENSE, weights=_WEIGHTS, paper=_PAPER)  # fmt: skip
    sizes = MappingProxyType({"L": Size("ViT-L/14", 1024, 24, 304.4, "vit_large_patch14_reg4_dinov2")})
    default_size = "L"
    normed = True
    options = MappingProxyType({"dynamic_img_size": True, "init_values": 1.0})

    def convert(self, state: State) -> State:
        encoder = without(state, *_REST, r"aggregator\.patch_embed\.mask_token$")
        encoder = renamed(encoder, [(r"^aggregator\.patch_embed\.", ""), (r"^register_tokens$", "reg_token")])
        # The official class token has a position of its own; timm's stands without one.
        position = encoder["pos_embed"]
        return encoder | {"cls_token": encoder["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}


@features.register("vggt-decoder")
class VGGTDecoder(NetworkProvider):
    """The last layer of VGGT's aggregator, frame and global attention side by side, over all photos of a scene at once."""

    card = Card(name="VGGT decoder", arch="VGGT-1B", channels=2048, stride=14, supervision="Point Regression", domain="3D",
                data=("VGGT-Mix",), license=_LICENSE, weights=_WEIGHTS, paper=_PAPER,
                note="needs the package `vggt` from its authors' repository")  # fmt: skip

    needs = MappingProxyType({"vggt": "install it from github.com/facebookresearch/vggt"})

    def build(self) -> Any:
        from vggt.models.vggt import VGGT as Model

        return Model()

    @torch.no_grad()
    def extract(self, images: Tensor) -> Tensor:
        # The model normalises for itself: it is given back the mean colour where the padding is.
        padded = centre_padded(normalised(images, IMAGENET), self.card.stride)
        mean, deviation = (images.new_tensor(values)[:, None, None] for values in IMAGENET)
        layers, first_patch = self.network.aggregator((padded * deviation + mean)[None])
        rows, columns = (side // self.card.stride for side in padded.shape[-2:])
        return layers[-1][0, :, first_patch:].reshape(len(images), rows, columns, -1).float()
