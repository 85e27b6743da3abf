"""Students of several foundation models: RADIO, C-RADIO, EUPE."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.timm import StageProvider, TimmProvider

_PATCHES = "embeds.patch_generator."
#: Constants of the spectral reparametrisation: what is added to a norm, and the least scale of its second version.
_EPSILON, _LEAST_SCALE = 1e-6, 0.05


class _Radio(TimmProvider):
    """The last block of timm's flexible transformer, which resizes and cuts the position embedding as RADIO does."""

    def convert(self, state: State) -> State:
        parts = without(state, r".*input_conditioner\.", r"_heads\.", r"_feature_projections\.", r".*summary_idxs$")
        parts = renamed(
            folded(parts),
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


def folded(state: State) -> State:
    """The state with plain weights in place of spectrally reparametrised ones (RADIO v2 was trained with those).

    Such a layer has parametrizations.weight.original W and, under parametrizations.weight.0., a scale s and vectors u and v;
    a fused query-key-value layer has these once for each of its three parts (under 0.parts.0. and so on), and a part without
    them stays as it is. The weight is W s' / (u W v + epsilon), after the one step of the power method on u and v that the
    official code takes when it folds; s' = s, or softplus(s) + 0.05 where _sn_version is 2. Layers whose keys are not
    complete are not touched: the loader complains of them.
    """
    suffix = ".parametrizations.weight.original"
    plain = dict(state)
    for key in [key for key in state if key.endswith(suffix)]:
        layer = key.removesuffix(suffix)
        own = f"{layer}.parametrizations.weight.0."
        chunks, prefixes = (3, [f"{own}parts.{i}." for i in range(3)]) if layer.endswith(".qkv") else (1, [own])
        held = [{name.removeprefix(prefix): plain[name] for name in state if name.startswith(prefix)} for prefix in prefixes]
        if any(part and not {"_u", "_v", "scale"} <= set(part) for part in held) or not any(held):
            continue
        pieces = [_scaled(*pair) if pair[1] else pair[0] for pair in zip(state[key].chunk(chunks), held, strict=True)]
        plain = without(plain, re.escape(f"{layer}.parametrizations.")) | {f"{layer}.weight": torch.cat(pieces)}
    return plain


def _scaled(weight: Tensor, held: State) -> Tensor:
    """A weight (out, in) brought to the spectral norm that `held` (_u, _v, scale and perhaps _sn_version) asks for."""
    matrix = weight.double()
    u = F.normalize(matrix @ held["_v"].double(), dim=0, eps=_EPSILON)
    v = F.normalize(matrix.T @ u, dim=0, eps=_EPSILON)
    scale = held["scale"].double().reshape(())
    second = held.get("_sn_version", torch.ones((), device=scale.device)) == 2
    scale = torch.where(second, F.softplus(scale) + _LEAST_SCALE, scale)
    return (matrix * (scale / (u @ matrix @ v + _EPSILON))).to(weight.dtype)


@features.register("radio")
class RADIO(_Radio):
    """RADIO v2, the paper's version."""

    card = Card(name="RADIO", stride=16, supervision="Multi-teacher Distillation", domain="2D", data=("DataComp-1B",),
                license="NVIDIA non-commercial", weights="hf:nvidia/RADIO/radio_v2.pth.tar",
                paper="arXiv:2312.06709")  # fmt: skip
    sizes = MappingProxyType({"H": Size("ViT-H/16", 1280, 32, 651.6, "naflexvit_huge_patch16_radio_v4")})
    default_size = "H"
    options = MappingProxyType({"reg_tokens": 15})  # summary tokens and registers: 16 in all


@features.register("c-radio")
class CRADIO(_Radio):
    """C-RADIO v3, the openly licensed successor."""

    card = Card(name="C-RADIO", stride=16, supervision="Multi-teacher Distillation", domain="2D",
                license="NVIDIA open model", weights="hf:timm/{architecture}", paper="arXiv:2412.07679")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 98.3, "naflexvit_base_patch16_radio_v3.c_radio"),
            "L": Size("ViT-L/16", 1024, 24, 319.9, "naflexvit_large_patch16_radio_v3.c_radio"),
            "H": Size("ViT-H/16", 1280, 32, 651.6, "naflexvit_huge_patch16_radio_v3.c_radio"),
            "g": Size("ViT-g/16", 1536, 40, 1159.6, "naflexvit_giant_patch16_radio_v3.c_radio"),
        }
    )
    default_size = "B"
    options = MappingProxyType({})


@features.register("c-radio-v4")
class CRADIOv4(_Radio):
    """C-RADIO v4."""

    card = Card(name="C-RADIO v4", stride=16, supervision="Multi-teacher Distillation", domain="2D",
                license="NVIDIA open model", weights="hf:timm/{architecture}", paper="arXiv:2412.07679")  # fmt: skip
    sizes = MappingProxyType(
        {
            "so400m": Size("ViT-So400m/16", 1152, 27, 431.2, "naflexvit_so400m_patch16_radio_v4.c_radio"),
            "H": Size("ViT-H/16", 1280, 32, 651.6, "naflexvit_huge_patch16_radio_v4.c_radio"),
        }
    )
    default_size = "so400m"
    options = MappingProxyType({})


@features.register("eupe")
class EUPE(TimmProvider):
    """EUPE, small students of several teachers in DINOv3's architecture."""

    card = Card(name="EUPE", stride=16, supervision="Multi-teacher Distillation", domain="2D", data=("LVD-1689M",),
                license="FAIR non-commercial research", weights="hf:timm/{architecture}",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "T": Size("ViT-T/16", 192, 12, 5.5, "vit_tiny_patch16_dinov3_qkvb.eupe_lvd1689m"),
            "S": Size("ViT-S/16", 384, 12, 21.6, "vit_small_patch16_dinov3_qkvb.eupe_lvd1689m"),
            "B": Size("ViT-B/16", 768, 12, 85.7, "vit_base_patch16_dinov3_qkvb.eupe_lvd1689m"),
        }
    )
    default_size = "B"


@features.register("eupe-convnext")
class EUPEConvNeXt(StageProvider):
    """EUPE's convolutional students: the third of four stages."""

    card = replace(EUPE.family_card, name="EUPE ConvNeXt")
    sizes = MappingProxyType(
        {
            "T": Size("ConvNeXt-T", 384, 4, 27.8, "convnext_tiny.eupe_lvd1689m"),
            "S": Size("ConvNeXt-S", 384, 4, 49.5, "convnext_small.eupe_lvd1689m"),
            "B": Size("ConvNeXt-B", 512, 4, 87.6, "convnext_base.eupe_lvd1689m"),
        }
    )
    default_size = "B"
