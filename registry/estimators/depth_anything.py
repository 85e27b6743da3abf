"""Depth Anything, versions 1 (arXiv:2401.10891) and 2 (arXiv:2406.09414): affine-invariant disparity."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from bench.registry import estimators
from bench.types import Card, Prediction
from registry.support.images import IMAGENET, at_size, normalised, resized, short_side_at
from registry.support.transformers import TransformersEstimator

#: width, heads, layers, neck and fusion channels of the published sizes
SIZES: dict[str, tuple[int, int, int, list[int], int]] = {
    "S": (384, 6, 12, [48, 96, 192, 384], 64),
    "B": (768, 12, 12, [96, 192, 384, 768], 128),
    "L": (1024, 16, 24, [256, 512, 1024, 1024], 256),
}
#: which blocks' tokens the head reads, counted from 1
LAYERS = {1: {12: [9, 10, 11, 12], 24: [21, 22, 23, 24]}, 2: {12: [3, 6, 9, 12], 24: [5, 12, 18, 24]}}
TERMS = {"S": "Apache-2.0", "B": "CC-BY-NC-4.0", "L": "CC-BY-NC-4.0"}


class DepthAnything(TransformersEstimator):
    """The photo with its shorter side at 518 pixels, both multiples of 14, as the authors' code does it."""

    architecture = "DepthAnythingForDepthEstimation"
    version: ClassVar[int]
    size: ClassVar[str]
    side: ClassVar[int] = 518

    def config(self, transformers: Any) -> Any:
        width, heads, layers, neck, fusion = SIZES[self.size]
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


def _card(name: str, size: str, weights: str, paper: str, data: str, terms: str) -> Card:
    return Card(
        name=name,
        arch=f"ViT-{size}/14",
        supervision="Depth regression",
        domain="3D",
        data=data,
        license=terms,
        weights=f"hf:{weights}",
        paper=f"arXiv:{paper}",
    )


def _second(name: str, size: str, published: str) -> Card:
    return _card(name, size, f"depth-anything/Depth-Anything-V2-{published}-hf", "2406.09414", "DA-V2-Mix", TERMS[size])


def _first(name: str, size: str, published: str) -> Card:
    return _card(name, size, f"LiheYoung/depth-anything-{published}-hf", "2401.10891", "DA-V1-Mix", "Apache-2.0")


@estimators.register("depth-anything-v2")
class DepthAnythingV2(DepthAnything):
    """Depth Anything V2, ViT-L: the published tables' row."""

    card = _second("DA V2", "L", "Large")
    version, size = 2, "L"


@estimators.register("depth-anything-v2-base")
class DepthAnythingV2Base(DepthAnything):
    """Depth Anything V2, ViT-B."""

    card = _second("DA V2 (B)", "B", "Base")
    version, size = 2, "B"


@estimators.register("depth-anything-v2-small")
class DepthAnythingV2Small(DepthAnything):
    """Depth Anything V2, ViT-S: the one with an open licence."""

    card = _second("DA V2 (S)", "S", "Small")
    version, size = 2, "S"


@estimators.register("depth-anything-v1")
class DepthAnythingV1(DepthAnything):
    """Depth Anything V1, ViT-L: the published tables' row."""

    card = _first("DA V1", "L", "large")
    version, size = 1, "L"
