"""CroCo v2 and what was trained from it, DUSt3R, MASt3R, MUSt3R, Fast3R and CUT3R: a ViT-L/16 with rotary positions."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.networks.multiview import cut3r, fast3r, must3r
from registry.support.checkpoints import State, renamed, without
from registry.support.images import HALF
from registry.support.timm import TimmProvider

_HEADS, _WIDTH = 16, 1024


class _Encoder(TimmProvider):
    """The tokens after the encoder's final norm."""

    statistics = HALF
    sizes = MappingProxyType({"L": Size("ViT-L/16", 1024, 24, 303.1)})
    default_size = "L"
    normed = True

    def build(self) -> Any:
        from timm.models.eva import Eva

        # attn_type "rope": timm's default attention has no key bias, and these models have one.
        return Eva(
            img_size=512,
            patch_size=16,
            num_classes=0,
            embed_dim=_WIDTH,
            depth=24,
            num_heads=_HEADS,
            attn_type="rope",
            class_token=False,
            use_abs_pos_emb=False,
            use_rot_pos_emb=True,
            rope_temperature=100.0,
            dynamic_img_size=True,
            use_fc_norm=False,
        )

    def convert(self, state: State) -> State:
        encoder = without(state, "mask_token$", r"decoder_embed\.", r"dec_\w+\.", r"prediction_head\.", r"downstream_head")
        encoder = renamed(encoder, [(r"^(enc_blocks|blocks_enc)\.", "blocks."), (r"^(enc_norm|norm_enc)\.", "norm.")])
        return {key: _paired(value) if ".attn.qkv." in key else value for key, value in encoder.items()}


def _paired(qkv: Tensor) -> Tensor:
    """The rows of a fused projection (3 * width, …) with the query and key channels in timm's rotary layout.

    A head's channels are two parts, for rows and for columns. CroCo rotates channel i of a part of n with channel i + n/2,
    timm rotates neighbours: the halves of each part are interleaved. Values are not rotated and stay.
    """
    order = torch.arange(_WIDTH).reshape(_HEADS, 2, 2, -1).transpose(2, 3).flatten()
    query, key, value = qkv.chunk(3)
    return torch.cat([query[order], key[order], value])


@features.register("croco")
class CroCo(_Encoder):
    """CroCo v2 ViT-L/16, base decoder."""

    card = Card(name="CroCo v2", stride=16, supervision="Cross-view Completion", domain="3D",
                data=("CroCo-Mix",), license="CC-BY-NC-SA-4.0",
                weights="torchhub:https://download.europe.naverlabs.com/ComputerVision/CroCo/CroCo_V2_ViTLarge_BaseDecoder.pth",
                paper="arXiv:2211.10408")  # fmt: skip


@features.register("dust3r")
class DUSt3R(_Encoder):
    """DUSt3R ViT-L/16, 512, DPT head."""

    card = Card(name="DUSt3R", stride=16, supervision="Point Regression", domain="3D",
                data=("DUSt3R-Mix",), license="CC-BY-NC-SA-4.0", weights="hf:naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt",
                paper="arXiv:2312.14132")  # fmt: skip


@features.register("mast3r")
class MASt3R(_Encoder):
    """MASt3R ViT-L/16, 512, metric."""

    card = Card(name="MASt3R", stride=16, supervision="Point Regression", domain="3D",
                data=("MASt3R-Mix",), license="CC-BY-NC-SA-4.0",
                weights="hf:naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric", paper="arXiv:2406.09756")  # fmt: skip


@features.register("must3r")
class MUSt3R(_Encoder):
    """MUSt3R 512's encoder, whose file holds it apart from the decoder."""

    card = replace(must3r.MUSt3R.card, note="")


@features.register("fast3r")
class Fast3R(_Encoder):
    """Fast3R's encoder."""

    card = replace(fast3r.Fast3R.card, note="")

    def convert(self, state: State) -> State:
        encoder = without(state, r"decoder\.", r"downstream_head(_local)?\.")
        return super().convert(renamed(encoder, [(r"^encoder\.", "")]))


@features.register("cut3r")
class CUT3R(_Encoder):
    """CUT3R's encoder of photos, whose file holds the one of rays, the state and the memory of poses beside it."""

    card = replace(cut3r.CARD, note="cut3r_512_dpt_4_64.pth")

    def convert(self, state: State) -> State:
        rays, states = r"(patch_embed|enc_blocks|enc_norm)_ray_map\.", ("register_tokens", "decoder_embed_state")
        return super().convert(without(cut3r.weights_of(state), rays, *states, "pose_(token|retriever)", "masked_"))
