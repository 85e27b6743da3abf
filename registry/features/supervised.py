"""Classifiers: what labels alone teach."""

from __future__ import annotations

from types import MappingProxyType

from bench.registry import features
from bench.types import Card, Size
from registry.support.timm import StageProvider, TimmProvider


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


@features.register("convnext")
class ConvNeXt(StageProvider):
    """ConvNeXt, trained on all of ImageNet: the third of its four stages."""

    card = Card(name="ConvNeXt", stride=16, supervision="Classification", domain="2D", data=("ImageNet-22k",),
                license="Apache-2.0", weights="hf:timm/{architecture}", paper="arXiv:2201.03545",
                note="as timm runs it")  # fmt: skip
    sizes = MappingProxyType(
        {
            "T": Size("ConvNeXt-T", 384, 4, 27.8, "convnext_tiny.fb_in22k"),
            "S": Size("ConvNeXt-S", 384, 4, 49.5, "convnext_small.fb_in22k"),
            "B": Size("ConvNeXt-B", 512, 4, 87.6, "convnext_base.fb_in22k"),
            "L": Size("ConvNeXt-L", 768, 4, 196.2, "convnext_large.fb_in22k"),
            "XL": Size("ConvNeXt-XL", 1024, 4, 348.1, "convnext_xlarge.fb_in22k"),
        }
    )
    default_size = "B"
