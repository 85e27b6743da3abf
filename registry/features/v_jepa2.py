"""V-JEPA 2: prediction in feature space, trained on video."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card
from registry.support.checkpoints import State, renamed, without
from registry.support.timm import NetworkProvider


@features.register("v-jepa2")
class VJEPA2(NetworkProvider):
    """V-JEPA 2 ViT-L/16: the encoder's tokens of a clip that repeats the photo twice (one tubelet), after the final norm."""

    card = Card(name="V-JEPA 2", arch="ViT-L/16", channels=1024, stride=16, supervision="Joint-embedding Prediction",
                domain="2D", data="VideoMix22M", license="MIT", weights="hf:facebook/vjepa2-vitl-fpc64-256",
                paper="arXiv:2506.09985")  # fmt: skip

    needs = MappingProxyType({"transformers": "pip install 'vfm3d-bench[hf]'"})

    def build(self) -> Any:
        from transformers.models.vjepa2 import configuration_vjepa2, modeling_vjepa2

        default: Any = configuration_vjepa2.VJEPA2Config  # ViT-L/16
        return modeling_vjepa2.VJEPA2Encoder(default(attn_implementation="sdpa"))

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (side // self.card.stride for side in images.shape[-2:])
        positions, side = square_positions(rows, columns)
        positions = positions.expand(len(images), -1).to(images.device)
        x = self.network.embeddings(images[:, None].expand(-1, 2, -1, -1, -1))
        for layer in self.network.layer:
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
