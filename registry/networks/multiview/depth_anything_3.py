"""Depth Anything 3 (arXiv:2511.10647) through its authors' package: depth and cameras of any number of views.

The package's `inference` (depth_anything_3/api.py, version 0.1.1) resizes the photos to 504 pixels at most, runs the network
and gives depth (N, h, w), world-to-camera matrices and intrinsics in pixels of that size, whose corner is (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench.types import Array, Card, Size
from registry.support.multiview import MultiviewNetwork, Views, from_depth, whole_poses
from registry.support.packages import LibraryModel

NEEDS = MappingProxyType({"depth_anything_3": "pip install depth-anything-3 (best into an environment of its own)"})
CARD = Card(name="DA3", stride=14, supervision="Depth and Ray Regression", domain="3D", data=("DA3-Mix",),
            license="CC-BY-NC-4.0", weights="hf:depth-anything/{architecture}", paper="arXiv:2511.10647",
            note="not yet run on real weights")  # fmt: skip
#: The any-view models; of the larger two the releases that its authors made anew after an error in training.
SIZES = MappingProxyType(
    {
        "S": Size("ViT-S/14", 0, 12, 80.0, "DA3-SMALL", license="Apache-2.0"),
        "B": Size("ViT-B/14", 0, 12, 120.0, "DA3-BASE", license="Apache-2.0"),
        "L": Size("ViT-L/14", 0, 24, 350.0, "DA3-LARGE-1.1"),
        "g": Size("ViT-g/14", 0, 40, 1150.0, "DA3-GIANT-1.1"),
    }
)


class Network(LibraryModel):
    """Any network of the package."""

    needs = NEEDS
    random_weights = False

    def load(self, device: torch.device) -> None:
        network = self.module("depth_anything_3.api").DepthAnything3
        self._network: Any = self.from_hub(network, device)

    def infer(self, images: Sequence[Array]) -> Any:
        """What the package says of photos (H, W, 3) uint8."""
        return self._network.inference(list(images))


class DepthAnything3(Network, MultiviewNetwork):
    """The any-view models: the depth head's depth and the camera decoder's cameras.

    Every pixel of finite, positive depth that the package does not take for sky gets a Gaussian.
    """

    card, sizes, default_size = CARD, SIZES, "L"

    def views(self, images: Sequence[Array]) -> Views:
        found = self.infer(images)
        depth = np.asarray(found.depth, np.float32)
        surface = None if found.sky is None else ~np.asarray(found.sky, bool)
        intrinsics, poses = np.asarray(found.intrinsics, np.float64), whole_poses(found.extrinsics)
        placed = np.isfinite(depth) & (depth > 0)
        return from_depth(depth, intrinsics, poses, placed if surface is None else placed & surface, surface)
