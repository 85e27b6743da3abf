"""Depth Anything, versions 1 (arXiv:2401.10891) and 2 (arXiv:2406.09414): affine-invariant disparity."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from bench.registry import estimators
from bench.types import Card, Prediction, Size
from registry.support.images import IMAGENET, at_size, normalised, resized, short_side_at
from registry.support.transformers import TransformersEstimator

#: width, heads, neck and fusion channels of the published sizes
SHAPES: dict[str, tuple[int, int, list[int], int]] = {
    "S": (384, 6, [48, 96, 192, 384], 64),
    "B": (768, 12, [96, 192, 384, 768], 128),
    "L": (1024, 16, [256, 512, 1024, 1024], 256),
}
#: which blocks' tokens the head reads, counted from 1
LAYERS = {1: {12: [9, 10, 11, 12], 24: [21, 22, 23, 24]}, 2: {12: [3, 6, 9, 12], 24: [5, 12, 18, 24]}}


class DepthAnything(TransformersEstimator):
    """The photo with its shorter side at 518 pixels, both multiples of 14, as the authors' code does it."""

    library_class = "DepthAnythingForDepthEstimation"
    version: ClassVar[int]
    side: ClassVar[int] = 518

    def config(self, transformers: Any) -> Any:
        width, heads, neck, fusion = SHAPES[self.size]
        layers = self.sizes[self.size].depth
        backbone = transformers.Dinov2Config(
            hidden_size=width,
            num_attention_heads=heads,
            num_hidden_layers=layers,
            image_size=518,
            patch_size=14,
            out_indices=LAYERS[self.version][layers],
            reshape_hidden_states=False,
        )
        return transformers.DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=width, neck_hidden_sizes=neck, fusion_hidden_size=fusion
        )

    def disparity(self, image: Tensor) -> Tensor:
        """(1, h, w) at the network's resolution."""
        height, width = short_side_at(image, self.side, 14)
        found: Tensor = self.model(normalised(resized(image, height, width), IMAGENET)).predicted_depth
        return found

    def infer(self, image: Tensor) -> Prediction:
        return Prediction(disparity_affine_invariant=at_size(self.disparity(image), *image.shape[-2:]))


@estimators.register("depth-anything-v2")
class DepthAnythingV2(DepthAnything):
    """Depth Anything V2; ViT-L is the published tables' row, ViT-S the one with an open licence."""

    card = Card(name="DA V2", supervision="Depth regression", domain="3D", data=("DA-V2-Mix",), license="CC-BY-NC-4.0",
                weights="hf:depth-anything/{architecture}", paper="arXiv:2406.09414")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 0, 12, 24.8, "Depth-Anything-V2-Small-hf", license="Apache-2.0"),
            "B": Size("ViT-B/14", 0, 12, 97.5, "Depth-Anything-V2-Base-hf"),
            "L": Size("ViT-L/14", 0, 24, 335.3, "Depth-Anything-V2-Large-hf"),
        }
    )
    default_size = "L"
    version = 2


@estimators.register("depth-anything-v1")
class DepthAnythingV1(DepthAnything):
    """Depth Anything V1; ViT-L is the published tables' row."""

    card = Card(name="DA V1", supervision="Depth regression", domain="3D", data=("DA-V1-Mix",), license="Apache-2.0",
                weights="hf:LiheYoung/{architecture}", paper="arXiv:2401.10891")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 0, 12, 24.8, "depth-anything-small-hf"),
            "B": Size("ViT-B/14", 0, 12, 97.5, "depth-anything-base-hf"),
            "L": Size("ViT-L/14", 0, 24, 335.3, "depth-anything-large-hf"),
        }
    )
    default_size = "L"
    version = 1
