"""RADIO: one student of several foundation models."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch

from bench.registry import features
from bench.types import Card
from registry.features._checkpoints import State, renamed, without
from registry.features._timm import TimmProvider

_PATCHES = "embeds.patch_generator."


class _Radio(TimmProvider):
    """The last block of timm's flexible transformer, which resizes and cuts the position embedding as RADIO does."""

    def convert(self, state: State) -> State:
        parts = without(state, r".*input_conditioner\.", r"_heads\.", r"_feature_projections\.", r".*summary_idxs$")
        parts = renamed(
            parts,
            [(r"^(base_model|radio_model\.model)\.", ""), (r"^patch_generator\.", _PATCHES), (r"\.grandma$", ".gamma")],
        )
        if f"{_PATCHES}embedder.weight" not in parts:
            return parts
        embedder, position, tokens = (
            parts.pop(_PATCHES + name) for name in ("embedder.weight", "pos_embed", "cls_token.token")
        )
        width, side = embedder.shape[0], round(position.shape[1] ** 0.5)
        # NVIDIA flattens a patch as (channel, row, column), timm as (row, column, channel).
        projection = embedder.reshape(width, 3, self.card.stride, self.card.stride).permute(0, 2, 3, 1).reshape(width, -1)
        return parts | {
            "embeds.proj.weight": projection,
            "embeds.proj.bias": torch.zeros(width),
            "embeds.pos_embed": position.reshape(1, side, side, width),
            "embeds.cls_token": tokens[None, :1],
            "embeds.reg_token": tokens[None, 1:],
        }


@features.register("radio")
class RADIO(_Radio):
    """RADIO v2 ViT-H/16, the paper's version."""

    card = Card(name="RADIO", arch="ViT-H/16", channels=1280, stride=16, supervision="Multi-teacher Distillation",
                domain="2D", data="DataComp-1B", license="NVIDIA non-commercial", weights="hf:nvidia/RADIO/radio_v2.pth.tar",
                paper="arXiv:2312.06709")  # fmt: skip
    architecture = "naflexvit_huge_patch16_radio_v4"
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({"reg_tokens": 15})  # summary tokens and registers: 16 in all


@features.register("c-radio")
class CRADIO(_Radio):
    """C-RADIO v3 ViT-B/16, the openly licensed successor."""

    card = Card(name="C-RADIO", arch="ViT-B/16", channels=768, stride=16, supervision="Multi-teacher Distillation",
                domain="2D", license="NVIDIA open model", weights="hf:timm/naflexvit_base_patch16_radio_v3.c_radio",
                paper="arXiv:2412.07679")  # fmt: skip
    architecture = "naflexvit_base_patch16_radio_v3.c_radio"
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
