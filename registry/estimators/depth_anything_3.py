"""Depth Anything 3's metric and relative models, through its authors' package (the any-view models: multiview.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.registry import estimators
from bench.types import Array, GeometryEstimator, Prediction
from registry.networks.multiview import depth_anything_3 as da3
from registry.support.multiview import from_depth

CANONICAL_FOCAL = 300.0  #: in pixels of the photo as the network sees it, at which the metric model's output is in metres


class _Monocular(da3.Network, GeometryEstimator):
    """A network of the package that gives depth and no camera."""

    def depth(self, image: Array) -> tuple[Array, Array | None, tuple[int, int]]:
        """(H, W) what the network calls depth; where it sees no sky, None where it does not tell; the size that it saw."""
        found = self.infer([image])
        depth = np.asarray(found.depth, np.float32)
        surface = None if found.sky is None else ~np.asarray(found.sky, bool)
        seen = from_depth(depth, np.eye(3)[None], np.eye(4)[None], depth > 0, surface).at(*image.shape[:2])
        return seen.depth[0], None if seen.surface is None else seen.surface[0], depth.shape[1:]


@estimators.register("depth-anything-3-metric")
class DepthAnything3Metric(_Monocular):
    """The metric model. Its output times the focal length in pixels over 300 is in metres (its authors' README): without
    intrinsics it is given up to scale."""

    card = replace(da3.CARD, name="DA3 metric", arch="ViT-L/14", data=("DA3-Metric-Mix",), license="Apache-2.0",
                   parameters=350.0, weights="hf:depth-anything/DA3METRIC-LARGE")  # fmt: skip

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        depth, surface, (rows, columns) = self.depth(image)
        if intrinsics is None:
            return Prediction(depth_scale_invariant=depth, mask=surface)
        focal = (float(intrinsics[0, 0]) * columns + float(intrinsics[1, 1]) * rows) / 2
        return Prediction(depth_metric=depth * focal / CANONICAL_FOCAL, intrinsics=intrinsics, mask=surface)


@estimators.register("depth-anything-3-mono")
class DepthAnything3Mono(_Monocular):
    """The monocular model: relative depth, measured up to a scale and a shift, since its authors promise no more."""

    card = replace(da3.CARD, name="DA3 mono", arch="ViT-L/14", data=("DA3-Mono-Mix",), license="Apache-2.0",
                   parameters=350.0, weights="hf:depth-anything/DA3MONO-LARGE")  # fmt: skip

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        depth, surface, _ = self.depth(image)
        return Prediction(depth_affine_invariant=depth, mask=surface)
