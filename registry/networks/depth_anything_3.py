"""Depth Anything 3 (arXiv:2511.10647) through its authors' package: depth and cameras of any number of views.

The package's `inference` (depth_anything_3/api.py, version 0.1.1) resizes the photos to 504 pixels at most, runs the network
and gives depth (N, h, w), world-to-camera matrices and intrinsics in pixels of that size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench.types import Array, Camera, Card, Size
from registry.support.packages import LibraryModel, must_be_whole
from registry.support.reconstruction import Estimate

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


@dataclass(frozen=True)
class Network:
    """A network of the package, ready."""

    model: Any

    @classmethod
    def load(cls, model: LibraryModel, device: torch.device) -> Network:
        """The network of a model that `needs` the package, with its weights.

        Raises:
            Unavailable: Where the package or the weights cannot be had.
            UserError: Where the weights lack parameters, which the package would leave at random.
        """
        network = model.module("depth_anything_3.api").DepthAnything3
        folder = model.weights_folder("huggingface_hub")
        built = network.from_pretrained(str(folder))
        must_be_whole(built, folder / "model.safetensors")
        return cls(built.to(device).eval())

    def predict(self, images: Sequence[Array]) -> Any:
        """What the package says of photos (H, W, 3) uint8."""
        return self.model.inference(list(images))

    def of(self, images: Sequence[Array]) -> Estimate:
        """Depth and cameras of views (H, W, 3) uint8, all of one size, in a frame of their own, up to one scale.

        Every pixel of finite, positive depth that the package does not take for sky gets a Gaussian.
        """
        height, width = images[0].shape[:2]
        found = self.predict(images)
        rows, columns = found.depth.shape[-2:]
        depths = resized_depth(found.depth, height, width)
        known = [np.isfinite(depth) & (depth > 0) for depth in depths]
        if found.sky is not None:
            known = [each & ~sky for each, sky in zip(known, resized_mask(found.sky, height, width), strict=True)]
        cameras = []
        for pose, intrinsics in zip(found.extrinsics, found.intrinsics, strict=True):
            matrix = np.vstack([pose[:3, :4].astype(np.float64), [0.0, 0.0, 0.0, 1.0]])
            cameras.append(Camera(intrinsics.astype(np.float64), matrix, columns, rows).resized(width, height))
        return Estimate(tuple(cameras), tuple(depths), tuple(known))


def resized_depth(depth: Array, height: int, width: int) -> Array:
    """Depth (N, h, w) at (N, height, width): bilinear in its inverse, which keeps planes plane."""
    inverse = 1 / torch.from_numpy(np.asarray(depth, np.float32)).clamp_min(1e-6)
    found: Array = 1 / F.interpolate(inverse[:, None], (height, width), mode="bilinear")[:, 0].numpy()
    return found


def resized_mask(mask: Array, height: int, width: int) -> Array:
    """A mask (N, h, w) at (N, height, width), of the nearest pixel."""
    values = torch.from_numpy(np.asarray(mask)).float()[:, None]
    found: Array = F.interpolate(values, (height, width), mode="nearest-exact")[:, 0].numpy() > 0.5
    return found
