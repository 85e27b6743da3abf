"""MiDaS 3.0 and its successor ZoeDepth: relative disparity, and metric depth on top of it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from bench.registry import estimators
from bench.types import Card, Prediction
from registry.support.images import HALF, at_size, normalised, resized, short_side_at
from registry.support.transformers import TransformersEstimator


@estimators.register("midas")
class MiDaS(TransformersEstimator):
    """MiDaS 3.0, DPT-Large: affine-invariant disparity; the shorter side at 384 pixels, both multiples of 32."""

    card = Card(
        name="MiDaS V3.0",
        arch="ViT-L/16",
        supervision="Depth regression",
        domain="3D",
        data=("MiDaS-Mix",),
        license="Apache-2.0",
        weights="hf:Intel/dpt-large",
        paper="arXiv:2103.13413",
        parameters=343.0,
    )
    library_class = "DPTForDepthEstimation"
    side: ClassVar[int] = 384

    def config(self, transformers: Any) -> Any:
        return transformers.DPTConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            backbone_out_indices=[5, 11, 17, 23],
            neck_hidden_sizes=[256, 512, 1024, 1024],
        )

    def infer(self, image: Tensor) -> Prediction:
        height, width = short_side_at(image, self.side, 32)
        pixels = normalised(resized(image, height, width), HALF)
        # The library's forward takes every photo for a square one; its parts do not.
        patch, kept = self.model.config.patch_size, self.model.config.backbone_out_indices
        tokens = self.model.dpt(pixels, output_hidden_states=True).hidden_states[1:]
        found = self.model.head(self.model.neck([tokens[block] for block in kept], height // patch, width // patch))
        return Prediction(disparity_affine_invariant=at_size(found, *image.shape[-2:]))


@estimators.register("zoedepth")
class ZoeDepth(TransformersEstimator):
    """ZoeD-NK: metric depth, averaged over the photo and its mirror image; reflected borders are added and cut off."""

    card = Card(
        name="ZoeDepth",
        arch="BEiT-L/16",
        supervision="Depth regression",
        domain="3D",
        data=("MiDaS-Mix", "NYUv2", "KITTI"),
        license="MIT",
        weights="hf:Intel/zoedepth-nyu-kitti",
        paper="arXiv:2302.12288",
        parameters=345.1,
    )
    library_class = "ZoeDepthForDepthEstimation"
    frame: ClassVar[tuple[int, int]] = (384, 512)  #: height and width

    def config(self, transformers: Any) -> Any:
        heads = [("nyu", 10.0), ("kitti", 80.0)]
        return transformers.ZoeDepthConfig(
            bin_configurations=[{"name": n, "n_bins": 64, "min_depth": 1e-3, "max_depth": far} for n, far in heads],
            neck_hidden_sizes=[256, 512, 1024, 1024],
            num_patch_transformer_layers=4,
            patch_transformer_hidden_size=128,
            patch_transformer_intermediate_size=1024,
            patch_transformer_num_attention_heads=4,
        )

    def infer(self, image: Tensor) -> Prediction:
        rows, columns = (int(3 * math.sqrt(length / 2)) for length in image.shape[-2:])
        padded = F.pad(image, (columns, columns, rows, rows), mode="reflect")
        depth = (self._depth(padded) + self._depth(padded.flip(-1)).flip(-1)) / 2
        whole = at_size(depth, *padded.shape[-2:])
        return Prediction(depth_metric=whole[rows : whole.shape[0] - rows, columns : whole.shape[1] - columns])

    def _depth(self, image: Tensor) -> Tensor:
        """(1, h, w) metres; the photo scaled, as little as may be, to the frame's height or width, both multiples of 32."""
        height, width = image.shape[-2:]
        scale = min(self.frame[0] / height, self.frame[1] / width, key=lambda factor: abs(1 - factor))
        rows, columns = (max(1, round(length * scale / 32)) * 32 for length in (height, width))
        found: Tensor = self.model(
            normalised(resized(image, rows, columns, mode="bilinear", align_corners=True), HALF)
        ).predicted_depth
        return found
