"""Models trained on images and text: CLIP and its successors, SigLIP 2, Perception Encoder, TIPSv2, BEiT-3, InternViT."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed, without
from registry.support.images import CLIP as CLIP_STATISTICS
from registry.support.images import HALF, NONE
from registry.support.timm import ResizedPositionProvider, TimmProvider, block_tokens, position_to_size

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
    """OpenAI's CLIP: the patch tokens after the last norm and the projection to the joint space; without either for a layer
    before the last."""

    card = Card(name="CLIP", stride=16, supervision="Contrastive VLM", domain="2D", data=("WIT-400M",), license="MIT",
                paper="arXiv:2103.00020")  # fmt: skip
    # The quick approximation of GELU that these weights were trained with.
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 512, 12, 86.2, "vit_base_patch16_clip_quickgelu_224.openai",
                      weights="hf:timm/vit_base_patch16_clip_224.openai"),
            "L": Size("ViT-L/14", 768, 24, 304.0, "vit_large_patch14_clip_quickgelu_224.openai", stride=14,
                      weights="hf:timm/vit_large_patch14_clip_224.openai"),
        }
    )  # fmt: skip
    default_size = "B"

    @classmethod
    def tapped(cls, card: Card) -> Card:
        return replace(card, channels={"B": 768, "L": 1024}[cls.size])

    def build(self) -> Any:
        import timm

        width = self.sizes[self.size].channels
        return timm.create_model(self.architecture, pretrained=False, num_classes=width, **self.options)

    def forward(self, images: Tensor) -> Tensor:
        if "layer" in self.settings:
            return super().forward(images)
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


@features.register("openclip")
class OpenCLIP(TimmProvider):
    """OpenCLIP's models: the last block, no final norm, no projection."""

    card = Card(name="OpenCLIP", stride=14, supervision="Contrastive VLM", domain="2D", data=("LAION-2B",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2212.07143",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 85.8, "vit_base_patch16_clip_224.laion2b", stride=16),
            "H": Size("ViT-H/14", 1280, 32, 630.8, "vit_huge_patch14_clip_224.laion2b"),
            "g": Size("ViT-g/14", 1408, 40, 1011.2, "vit_giant_patch14_clip_224.laion2b"),
            "G": Size("ViT-G/14", 1664, 48, 1842.8, "vit_gigantic_patch14_clip_224.laion2b"),
        }
    )
    default_size = "B"
    statistics = CLIP_STATISTICS


@features.register("metaclip2")
class MetaCLIP2(TimmProvider):
    """MetaCLIP 2, worldwide: the last block, no final norm, no projection."""

    card = Card(name="MetaCLIP 2", stride=14, supervision="Contrastive VLM", domain="2D", data=("MetaCLIP 2's pairs",),
                license="CC-BY-NC-4.0", weights="hf:timm/{architecture}", paper="arXiv:2507.22062",
                note="as timm runs it")  # fmt: skip
    # H was trained with the quick approximation of GELU, G with GELU.
    sizes = MappingProxyType(
        {
            "H": Size("ViT-H/14", 1280, 32, 630.8, "vit_huge_patch14_clip_quickgelu_224.metaclip2_worldwide",
                      weights="hf:timm/vit_huge_patch14_clip_224.metaclip2_worldwide"),
            "G": Size("ViT-G/14", 1664, 48, 1842.8, "vit_gigantic_patch14_clip_224.metaclip2_worldwide"),
        }
    )  # fmt: skip
    default_size = "H"
    statistics = CLIP_STATISTICS


@features.register("siglip2")
class SigLIP2(ResizedPositionProvider):
    """SigLIP 2: the last block, no final norm.

    As in its authors' release for transformers, GELU is the tanh approximation that JAX takes, and the position embedding is
    resized without antialiasing; timm has neither.
    """

    card = Card(name="SigLIP 2", stride=16, supervision="Sigmoid VLM", domain="2D", data=("WebLI",), license="Apache-2.0",
                weights="hf:timm/{architecture}", paper="arXiv:2502.14786")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 86.4, "vit_base_patch16_siglip_512.v2_webli"),
            "L": Size("ViT-L/16", 1024, 24, 304.1, "vit_large_patch16_siglip_512.v2_webli"),
            "so400m": Size("ViT-So400m/16", 1152, 27, 413.5, "vit_so400m_patch16_siglip_512.v2_webli"),
            "g": Size("ViT-g/16", 1536, 40, 1135.3, "vit_giantopt_patch16_siglip_384.v2_webli"),
        }
    )
    default_size = "B"
    statistics = HALF
    options = MappingProxyType({"global_pool": "", "dynamic_img_size": True, "act_layer": "gelu_tanh"})


class _Perception(TimmProvider):
    """Perception Encoder: the last block.

    At other sizes its authors resize the position embedding bilinearly and count rotary positions in patches; timm would
    take bicubic weights and stretch the count to the size of the training.
    """

    statistics = HALF
    options = MappingProxyType({"global_pool": "", "dynamic_img_size": True})

    def build(self) -> Any:
        network = super().build()
        network.rope.ref_feat_shape = None
        return network

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        prefix = 0 if self.network.cls_token is None else 1
        position = position_to_size(self.network.pos_embed, grid, "bilinear", prefix)
        rope = self.network.rope.get_embed(shape=grid)
        return block_tokens(self.network, images, position, self.setting("layer"), rope=rope)


_PERCEPTION = Card(name="PE", stride=16, domain="2D", supervision="Contrastive VLM", data=("5.4B image-text pairs",),
                   license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2504.13181")  # fmt: skip


@features.register("pe-spatial")
class PerceptionSpatial(_Perception):
    """Perception Encoder, spatial."""

    card = replace(_PERCEPTION, name="PE spatial", supervision="Contrastive VLM + spatial alignment")
    sizes = MappingProxyType(
        {
            "T": Size("ViT-T/16", 192, 12, 5.7, "vit_pe_spatial_tiny_patch16_512.fb"),
            "S": Size("ViT-S/16", 384, 12, 22.0, "vit_pe_spatial_small_patch16_512.fb"),
            "B": Size("ViT-B/16", 768, 12, 86.4, "vit_pe_spatial_base_patch16_512.fb"),
            "L": Size("ViT-L/14", 1024, 24, 304.0, "vit_pe_spatial_large_patch14_448.fb", stride=14),
            "G": Size("ViT-G/14", 1536, 50, 1851.9, "vit_pe_spatial_gigantic_patch14_448.fb", stride=14),
        }
    )
    default_size = "B"


@features.register("pe-core")
class PerceptionCore(_Perception):
    """Perception Encoder, core: what the others were trained from."""

    card = replace(_PERCEPTION, name="PE core")
    sizes = MappingProxyType(
        {
            "T": Size("ViT-T/16", 192, 12, 5.6, "vit_pe_core_tiny_patch16_384.fb"),
            "S": Size("ViT-S/16", 384, 12, 21.8, "vit_pe_core_small_patch16_384.fb"),
            "B": Size("ViT-B/16", 768, 12, 85.8, "vit_pe_core_base_patch16_224.fb"),
            "L": Size("ViT-L/14", 1024, 24, 303.5, "vit_pe_core_large_patch14_336.fb", stride=14),
            "G": Size("ViT-G/14", 1536, 50, 1851.7, "vit_pe_core_gigantic_patch14_448.fb", stride=14),
        }
    )
    default_size = "B"


@features.register("pe-lang")
class PerceptionLanguage(_Perception):
    """Perception Encoder, language."""

    card = replace(_PERCEPTION, name="PE lang", stride=14, supervision="Contrastive VLM + language alignment")
    sizes = MappingProxyType(
        {
            "L": Size("ViT-L/14", 1024, 23, 291.4, "vit_pe_lang_large_patch14_448.fb"),
            "G": Size("ViT-G/14", 1536, 47, 1740.9, "vit_pe_lang_gigantic_patch14_448.fb"),
        }
    )
    default_size = "L"


@features.register("tipsv2")
class TIPSv2(ResizedPositionProvider):
    """TIPSv2's image encoder; photos go in as they are, in [0, 1].

    As its authors run their code, and in their release for transformers, the position embedding is resized bilinearly,
    antialiased; timm would take bicubic weights.
    """

    card = Card(name="TIPSv2", stride=14, supervision="Contrastive VLM + Self Distillation", domain="2D", data=("WebLI",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2604.12012")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/14", 768, 12, 86.3, "vit_base_patch14_reg1_tipsv2.webli"),
            "L": Size("ViT-L/14", 1024, 24, 304.0, "vit_large_patch14_reg1_tipsv2.webli"),
            "so400m": Size("ViT-So400m/14", 1152, 27, 413.4, "vit_so400m_patch14_reg1_tipsv2.webli"),
            "g": Size("ViT-g/14", 1536, 40, 1135.9, "vit_giant_patch14_reg1_tipsv2.webli"),
        }
    )
    default_size = "B"
    statistics = NONE
    mode, antialias = "bilinear", True


@features.register("beit3")
class BEiT3(TimmProvider):
    """BEiT-3's vision expert after pre-training, before any fine-tuning."""

    card = Card(name="BEiT-3", stride=16, supervision="Masked Data Modelling, images and text", domain="2D",
                data=("BEiT-3-Mix",), license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2208.10442",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/16", 768, 12, 85.9, "beit3_base_patch16_224.pt"),
            "L": Size("ViT-L/16", 1024, 24, 303.5, "beit3_large_patch16_224.pt"),
        }
    )
    default_size = "B"


@features.register("internvit")
class InternViT(ResizedPositionProvider):
    """InternViT, 300M, of InternVL 2.5: the last block, after which it has no norm. Positions are resized as in its makers'
    release for transformers, without antialiasing."""

    card = Card(name="InternViT", stride=14, supervision="Contrastive VLM + Distillation + language alignment", domain="2D",
                data=("InternViT-Mix",), license="Apache-2.0", weights="hf:timm/{architecture}",
                paper="arXiv:2412.05271")  # fmt: skip
    sizes = MappingProxyType({"L": Size("ViT-L/14", 1024, 24, 304.0, "vit_intern300m_patch14_448.ogvl_2pt5")})
    default_size = "L"
