"""Models trained on images and text: CLIP, SigLIP 2, Perception Encoder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card
from registry.support.checkpoints import State, renamed, without
from registry.support.images import HALF
from registry.support.timm import TimmProvider, block_tokens, position_to_size

_OPENAI_NAMES = [
    (r"^visual\.", ""),
    (r"^class_embedding$", "cls_token"),
    (r"^positional_embedding$", "pos_embed"),
    (r"^conv1\.", "patch_embed.proj."),
    (r"^ln_pre\.", "norm_pre."),
    (r"^ln_post\.", "norm."),
    (r"^transformer\.resblocks\.", "blocks."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
]


@features.register("clip")
class CLIP(TimmProvider):
    """OpenAI's CLIP ViT-B/16: the patch tokens after the last norm and the projection to the joint space."""

    card = Card(name="CLIP", arch="ViT-B/16", channels=512, stride=16, supervision="Contrastive VLM", domain="2D",
                data="WIT-400M", license="MIT", weights="hf:timm/vit_base_patch16_clip_224.openai",
                paper="arXiv:2103.00020")  # fmt: skip
    # The quick approximation of GELU that these weights were trained with.
    architecture = "vit_base_patch16_clip_quickgelu_224.openai"
    options: ClassVar[Mapping[str, Any]] = MappingProxyType({"num_classes": 512, "dynamic_img_size": True})

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.network.forward_features(images)[:, self.network.num_prefix_tokens :]
        return self.network.head(tokens)

    def convert(self, state: State) -> State:
        if "visual.proj" not in state:
            return state
        text = (r"transformer\.", "token_embedding", "positional_embedding$", "ln_final", "text_projection$")
        state = without(state, *text, "logit_scale$", "input_resolution$", "context_length$", "vocab_size$")
        projection = state.pop("visual.proj")
        visual = renamed(state, _OPENAI_NAMES)
        visual["cls_token"], visual["pos_embed"] = visual["cls_token"][None, None], visual["pos_embed"][None]
        return visual | {"head.weight": projection.T, "head.bias": torch.zeros(projection.shape[1])}


@features.register("siglip2")
class SigLIP2(TimmProvider):
    """SigLIP 2 ViT-B/16 at 512: the last block, no final norm.

    As in its authors' release for transformers, GELU is the tanh approximation that JAX takes, and the position embedding is
    resized without antialiasing; timm has neither.
    """

    card = Card(name="SigLIP 2", arch="ViT-B/16", channels=768, stride=16, supervision="Sigmoid VLM", domain="2D",
                data="WebLI", license="Apache-2.0", weights="hf:timm/vit_base_patch16_siglip_512.v2_webli",
                paper="arXiv:2502.14786")  # fmt: skip
    architecture = "vit_base_patch16_siglip_512.v2_webli"
    statistics = HALF
    options: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"global_pool": "", "dynamic_img_size": True, "act_layer": "gelu_tanh"}
    )

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        return block_tokens(self.network, images, position_to_size(self.network.pos_embed, grid, "bicubic", prefix=0))

    def convert(self, state: State) -> State:
        return without(state, r"attn_pool\.")


@features.register("pe-spatial")
class PerceptionEncoder(TimmProvider):
    """Perception Encoder, spatial, ViT-B/16 at 512: the last block.

    At other sizes its authors resize the position embedding bilinearly and count rotary positions in patches; timm would
    take bicubic weights and stretch the count to 32.
    """

    card = Card(name="PE spatial", arch="ViT-B/16", channels=768, stride=16,
                supervision="Contrastive VLM + spatial alignment", domain="2D", data="5.4B image-text pairs",
                license="Apache-2.0", weights="hf:timm/vit_pe_spatial_base_patch16_512.fb",
                paper="arXiv:2504.13181")  # fmt: skip
    architecture = "vit_pe_spatial_base_patch16_512.fb"
    statistics = HALF

    def build(self) -> Any:
        network = super().build()
        network.rope.ref_feat_shape = None
        return network

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        position = position_to_size(self.network.pos_embed, grid, "bilinear")
        return block_tokens(self.network, images, position, rope=self.network.rope.get_embed(shape=grid))
