"""Depth Anything 3 as monocular estimators, through its authors' package: any-view, metric and relative depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.geometry.camera import points_from_depth
from bench.registry import estimators
from bench.types import Array, GeometryEstimator, Prediction
from registry.networks import depth_anything_3 as da3
from registry.support.packages import LibraryModel

CANONICAL_FOCAL = 300.0  #: in pixels of the photo as the network sees it, at which the metric model's output is in metres


class _DepthAnything3(LibraryModel, GeometryEstimator):
    """A network of the package on a single photo."""

    needs = da3.NEEDS
    random_weights = False
    _network: da3.Network

    def load(self, device: torch.device) -> None:
        self._network = da3.Network.load(self, device)

    def depth(self, image: Array) -> tuple[Array, Array | None, Any]:
        """(H, W) what the network calls depth, where it sees no sky (None where it does not tell), and all that it says."""
        found = self._network.predict([image])
        depth = da3.resized_depth(found.depth, *image.shape[:2])[0]
        surface = None if found.sky is None else ~da3.resized_mask(found.sky, *image.shape[:2])[0]
        return depth, surface, found


@estimators.register("depth-anything-3")
class DepthAnything3(_DepthAnything3):
    """The any-view model on one view: depth up to scale, and the camera decoder's field of view."""

    card, sizes, default_size = da3.CARD, da3.SIZES, "L"

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        depth, surface, found = self.depth(image)
        rows, columns = found.depth.shape[-2:]
        camera = np.diag([1 / columns, 1 / rows, 1]) @ found.intrinsics[0].astype(np.float64)
        return Prediction(
            points_scale_invariant=points_from_depth(depth, camera),
            depth_scale_invariant=depth,
            intrinsics=camera,
            mask=surface,
        )


@estimators.register("depth-anything-3-metric")
class DepthAnything3Metric(_DepthAnything3):
    """The metric model. Its output times the focal length in pixels over 300 is in metres (its authors' README): without
    intrinsics it is given up to scale."""

    card = replace(da3.CARD, name="DA3 metric", arch="ViT-L/14", license="Apache-2.0", parameters=350.0,
                   weights="hf:depth-anything/DA3METRIC-LARGE")  # fmt: skip

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        depth, surface, found = self.depth(image)
        if intrinsics is None:
            return Prediction(depth_scale_invariant=depth, mask=surface)
        rows, columns = found.depth.shape[-2:]
        focal = (float(intrinsics[0, 0]) * columns + float(intrinsics[1, 1]) * rows) / 2
        return Prediction(depth_metric=depth * focal / CANONICAL_FOCAL, intrinsics=intrinsics, mask=surface)


@estimators.register("depth-anything-3-mono")
class DepthAnything3Mono(_DepthAnything3):
    """The monocular model: relative depth, measured up to a scale and a shift, since its authors promise no more."""

    card = replace(da3.CARD, name="DA3 mono", arch="ViT-L/14", license="Apache-2.0", parameters=350.0,
                   weights="hf:depth-anything/DA3MONO-LARGE")  # fmt: skip

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        depth, surface, _ = self.depth(image)
        return Prediction(depth_affine_invariant=depth, mask=surface)
