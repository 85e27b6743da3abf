"""Depth Pro (arXiv:2410.02073): metric depth and the horizontal field of view."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.geometry.camera import intrinsics_from_fov, points_from_depth
from bench.registry import estimators
from bench.types import Card, Prediction
from registry.support.images import HALF, at_size, normalised, resized
from registry.support.transformers import TransformersEstimator


@estimators.register("depth-pro")
class DepthPro(TransformersEstimator):
    """The photo squeezed to a square of 1536 pixels; the network gives inverse depth for a focal length of one width."""

    card = Card(
        name="Depth Pro",
        arch="2 x ViT-L/16",
        supervision="Depth regression",
        domain="3D",
        data=("Depth-Pro-Mix",),
        license="Apple-AMLR",
        weights="hf:apple/DepthPro-hf",
        paper="arXiv:2410.02073",
        parameters=952.0,
    )
    library_class = "DepthProForDepthEstimation"

    def config(self, transformers: Any) -> Any:
        encoder = {"model_type": "dinov2", "hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 24}
        encoder |= {"image_size": 384, "patch_size": 16}
        return transformers.DepthProConfig(
            patch_model_config=dict(encoder),
            image_model_config=dict(encoder),
            fov_model_config=dict(encoder),
            use_fov_model=True,
        )

    def infer(self, image: Tensor) -> Prediction:
        height, width = image.shape[-2:]
        side = round(self.model.config.patch_size / min(self.model.config.scaled_images_ratios))  # 384 / (1/4)
        found = self.model(normalised(resized(image, side, side, mode="bilinear"), HALF))
        fov = float(found.field_of_view.reshape(-1)[0])
        if not 0 < fov < 180:  # random weights say anything; no camera can be made of that
            return Prediction(depth_scale_invariant=_depth(found.predicted_depth, height, width))
        intrinsics = intrinsics_from_fov(fov, width / height)
        depth = _depth(found.predicted_depth / intrinsics[0, 0], height, width)
        return Prediction(depth_metric=depth, points_metric=points_from_depth(depth, intrinsics), intrinsics=intrinsics)


def _depth(inverse: Tensor, height: int, width: int) -> Any:
    """Inverse depth is interpolated, then clamped and inverted, as the authors' code does it."""
    return 1 / torch.from_numpy(at_size(inverse, height, width)).clamp(1e-4, 1e4).numpy()
