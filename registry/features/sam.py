"""Segment Anything, versions 1, 2.1 and 3."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.images import HALF, centre_padded, normalised
from registry.support.timm import StageProvider, TimmProvider

_WINDOW = 32


@features.register("sam")
class SAM(TimmProvider):
    """The image encoder, built for 1024 pixels and given any size: the last block, before the neck."""

    card = Card(name="SAM", stride=16, supervision="Segmentation", domain="2D", data=("SA-1B",), license="Apache-2.0",
                weights="hf:timm/{architecture}", paper="arXiv:2304.02643")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 89.7, "samvit_base_patch16.sa1b"),
            "L": Size("ViT-L/16", 1024, 24, 308.3, "samvit_large_patch16.sa1b"),
            "H": Size("ViT-H/16", 1280, 32, 637.0, "samvit_huge_patch16.sa1b"),
        }
    )
    default_size = "B"
    options = MappingProxyType({})

    def build(self) -> Any:
        network = super().build()
        network.patch_embed.strict_img_size = False
        return network

    def forward(self, images: Tensor) -> Tensor:
        x = self.network.patch_embed(images)
        position = self.network.pos_embed.permute(0, 3, 1, 2)
        # Without antialiasing, unlike timm.
        position = F.interpolate(position, size=x.shape[1:3], mode="bicubic", align_corners=False)
        tokens: Tensor = self.network.blocks[: self.setting("layer")](x + position.permute(0, 2, 3, 1))
        return tokens

    def convert(self, state: State) -> State:
        encoder = without(state, r"prompt_encoder\.", r"mask_decoder\.", "pixel_(mean|std)$")
        return renamed(encoder, [(r"^image_encoder\.", ""), (r"\.mlp\.lin([12])\.", r".mlp.fc\1.")])


@features.register("sam2")
class SAM2(StageProvider):
    """SAM 2.1's image encoder, Hiera: the third of its four stages, before the neck.

    Its windows tile multiples of 32 pixels: other photos are padded around, and the padding stays, as for patches of 14.
    """

    card = Card(name="SAM 2.1", stride=16, supervision="Segmentation", domain="2D", data=("SA-1B", "SA-V"),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2408.00714",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "T": Size("Hiera-T", 384, 4, 26.9, "sam2_hiera_tiny.fb_r896_2pt1"),
            "S": Size("Hiera-S", 384, 4, 33.9, "sam2_hiera_small.fb_r896_2pt1"),
            "Bplus": Size("Hiera-B+", 448, 4, 68.7, "sam2_hiera_base_plus.fb_r896_2pt1"),
            "L": Size("Hiera-L", 576, 4, 212.2, "sam2_hiera_large.fb_r1024_2pt1"),
        }
    )
    default_size = "Bplus"

    def prepared(self, images: Tensor) -> Tensor:
        return centre_padded(normalised(images, self.statistics), _WINDOW)


@features.register("sam3")
class SAM3(TimmProvider):
    """SAM 3's image encoder, the transformers library's network: the last block, before the neck.

    Blocks with windows count positions within them; the others stretch the photo's longer side over the 24 patches of the
    pre-training, as the publisher stretches its square photos.
    """

    card = Card(name="SAM 3", stride=14, supervision="Segmentation", domain="2D", data=("SA-Co", "5.4B image-text pairs"),
                license="SAM (gated)", weights="hf:facebook/sam3", paper="arXiv:2511.16719")  # fmt: skip
    sizes = MappingProxyType({"L": Size("ViT-L+/14", 1024, 32, 446.2)})
    default_size = "L"
    statistics = HALF
    options = MappingProxyType({})
    needs = MappingProxyType({"transformers": "pip install 'vfm3d-bench[hf]'"})

    def build(self) -> Any:
        from transformers.models.sam3 import configuration_sam3, modeling_sam3

        configuration: Any = configuration_sam3.Sam3ViTConfig
        return modeling_sam3.Sam3ViTModel(configuration(attn_implementation="sdpa", **self.options))

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (side // self.card.stride for side in images.shape[-2:])
        positions = stretched_positions(rows, columns, self.network.config.window_size).to(images.device)
        x = self.network.layer_norm(self.network.embeddings(images).unflatten(1, (rows, columns)))
        for layer in self.network.layers[: self.setting("layer")]:
            if not layer.window_size:
                layer.position_ids = positions
            x = layer(x)
        return x

    def convert(self, state: State) -> State:
        encoder = without(state, "tracker_", r"detector_model\.(?!vision_encoder\.backbone\.)")
        return renamed(encoder, [(r"^detector_model\.vision_encoder\.backbone\.", "")])


def stretched_positions(rows: int, columns: int, side: int) -> Tensor:
    """(rows * columns, 2): column and row of each patch, in units in which the longer of both sides is `side` long."""
    places = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([places[1].flatten(), places[0].flatten()], dim=-1) * (side / max(rows, columns))
