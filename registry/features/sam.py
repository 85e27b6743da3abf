"""Segment Anything."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from bench.types import Card
from registry.support.checkpoints import State, renamed, without
from registry.support.timm import TimmProvider


@features.register("sam")
class SAM(TimmProvider):
    """The ViT-B/16 image encoder, built for 1024 pixels and given any size: the last block, before the neck."""

    card = Card(name="SAM", arch="ViT-B/16", channels=768, stride=16, supervision="Segmentation", domain="2D", data="SA-1B",
                license="Apache-2.0", weights="hf:timm/samvit_base_patch16.sa1b", paper="arXiv:2304.02643")  # fmt: skip
    architecture = "samvit_base_patch16.sa1b"
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def build(self) -> Any:
        network = super().build()
        network.patch_embed.strict_img_size = False
        return network

    def forward(self, images: Tensor) -> Tensor:
        x = self.network.patch_embed(images)
        position = self.network.pos_embed.permute(0, 3, 1, 2)
        # Without antialiasing, unlike timm.
        position = F.interpolate(position, size=x.shape[1:3], mode="bicubic", align_corners=False)
        tokens: Tensor = self.network.blocks(x + position.permute(0, 2, 3, 1))
        return tokens

    def convert(self, state: State) -> State:
        encoder = without(state, r"prompt_encoder\.", r"mask_decoder\.", "pixel_(mean|std)$")
        return renamed(encoder, [(r"^image_encoder\.", ""), (r"\.mlp\.lin([12])\.", r".mlp.fc\1.")])
