"""V-JEPA 2: prediction in feature space, trained on video."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.timm import TimmProvider


@features.register("v-jepa2")
class VJEPA2(TimmProvider):
    """V-JEPA 2: the encoder's tokens of a clip that repeats the photo twice (one tubelet), after the final norm."""

    card = Card(name="V-JEPA 2", stride=16, supervision="Joint-embedding Prediction", domain="2D", data=("VideoMix22M",),
                license="MIT", paper="arXiv:2506.09985")  # fmt: skip
    sizes = MappingProxyType(
        {
            "L": Size("ViT-L/16", 1024, 24, 303.9, weights="hf:facebook/vjepa2-vitl-fpc64-256"),
            "H": Size("ViT-H/16", 1280, 32, 631.6, weights="hf:facebook/vjepa2-vith-fpc64-256"),
            "g": Size("ViT-g/16", 1408, 40, 1012.2, weights="hf:facebook/vjepa2-vitg-fpc64-256"),
        }
    )
    default_size = "L"
    needs = MappingProxyType({"transformers": "pip install 'vfm3d-bench[hf]'"})

    def build(self) -> Any:
        from transformers.models.vjepa2 import configuration_vjepa2, modeling_vjepa2

        default: Any = configuration_vjepa2.VJEPA2Config  # ViT-L/16
        heads, ratio = {"L": (16, 4.0), "H": (16, 4.0), "g": (22, 48 / 11)}[self.size]
        size = self.sizes[self.size]
        shape = {"hidden_size": size.channels, "num_hidden_layers": size.depth, "num_attention_heads": heads}
        return modeling_vjepa2.VJEPA2Encoder(default(**shape, mlp_ratio=ratio, attn_implementation="sdpa"))

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (side // self.card.stride for side in images.shape[-2:])
        positions, side = square_positions(rows, columns)
        positions = positions.expand(len(images), -1).to(images.device)
        x = self.network.embeddings(images[:, None].expand(-1, 2, -1, -1, -1))
        for layer in self.network.layer[: self.setting("layer")]:
            layer.attention.grid_size = side
            x = layer(x, positions)[0]
        tokens: Tensor = self.network.layernorm(x)
        return tokens

    def convert(self, state: State) -> State:
        return renamed(without(state, r"predictor\.", r"pooler\.", r"classifier\."), [(r"^(vjepa2\.)?encoder\.", "")])


def square_positions(rows: int, columns: int) -> tuple[Tensor, int]:
    """The places (rows * columns,) of a photo's patches on a square grid that holds it, and that grid's side.

    The library reads rotary positions off a square of the training size; photos are neither square nor that small.
    """
    side = max(rows, columns)
    return (torch.arange(rows)[:, None] * side + torch.arange(columns)).flatten(), side
