"""Classifiers: what labels alone teach."""

from __future__ import annotations

from types import MappingProxyType

from bench.registry import features
from bench.types import Card, Size
from registry.support.timm import TimmProvider


@features.register("deit3")
class DeiT3(TimmProvider):
    """DeiT III, trained at 224 pixels."""

    card = Card(name="DeiT III", stride=16, supervision="Classification", domain="2D", data=("ImageNet-1k",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2204.07118",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/16", 384, 12, 21.7, "deit3_small_patch16_224.fb_in1k"),
            "M": Size("ViT-M/16", 512, 12, 38.3, "deit3_medium_patch16_224.fb_in1k"),
            "B": Size("ViT-B/16", 768, 12, 85.8, "deit3_base_patch16_224.fb_in1k"),
            "L": Size("ViT-L/16", 1024, 24, 303.3, "deit3_large_patch16_224.fb_in1k"),
            "H": Size("ViT-H/14", 1280, 32, 630.8, "deit3_huge_patch14_224.fb_in1k", stride=14),
        }
    )
    default_size = "B"
