"""MapAnything (arXiv:2509.13414) through its authors' package (github.com/facebookresearch/map-anything).

The network takes photos with the statistics of DINOv2 and gives each view's points in its own camera, poses from the cameras
to the first camera's world, in metres, and intrinsics fitted to its rays, in pixels whose first centre is (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.types import Array, Card
from registry.support.images import IMAGENET, long_side_at, normalised, resampled, to_tensors
from registry.support.multiview import MultiviewNetwork, Views, inverse_poses

LONG_SIDE, PATCH = 518, 14


class MapAnything(MultiviewNetwork):
    """MapAnything 1.1 from photos alone, in float32.

    The authors' loader cuts photos to the nearest of ten shapes; here nothing is cut: the long side becomes 518, the other
    the nearest multiple of 14. Gaussians are placed where the network finds depth unambiguous, edges included.
    """

    card = Card(name="MapAnything", arch="ViT-g/14, 24 + 16 blocks", stride=PATCH, supervision="Point Regression",
                domain="3D", data=("MapAnything-Mix",), license="CC-BY-NC-4.0", weights="hf:facebook/map-anything",
                paper="arXiv:2509.13414", note="not yet run on real weights")  # fmt: skip
    needs = MappingProxyType(
        {
            "mapanything": "pip install git+https://github.com/facebookresearch/map-anything (code: Apache-2.0); it fetches "
            "DINOv2's code by torch.hub when it builds its network"
        }
    )
    metric = True
    network: Any

    def load(self, device: torch.device) -> None:
        network = self.module("mapanything.models").MapAnything
        self.network, self._device = self.from_hub(network, device), device

    def answers(self, photos: Tensor) -> list[dict[str, Tensor]]:
        """What the package says of each of photos (N, 3, H, W), normalised, both sides multiples of 14."""
        # Unmasked: masks are applied by setting points to zero. One view at a time in the heads needs the least memory.
        found: list[dict[str, Tensor]] = self.network.infer(
            [{"img": photo[None], "data_norm_type": ["dinov2"]} for photo in photos],
            memory_efficient_inference=True,
            minibatch_size=1,
            use_amp=False,
            apply_mask=False,
            mask_edges=False,
        )
        return found

    @torch.no_grad()
    def views(self, images: Sequence[Array]) -> Views:
        height, width = images[0].shape[:2]
        rows, columns = long_side_at(height, width, LONG_SIDE, PATCH)
        found = self.answers(normalised(to_tensors(resampled(images, rows, columns), self._device), IMAGENET))
        points, poses, intrinsics, unambiguous = (
            np.concatenate([view[key].cpu().numpy() for view in found])
            for key in ("pts3d_cam", "camera_poses", "intrinsics", "non_ambiguous_mask")
        )
        intrinsics = intrinsics.astype(np.float64)
        intrinsics[:, :2, 2] += 0.5
        surface = unambiguous.astype(bool)
        return Views(points.astype(np.float32), intrinsics, inverse_poses(poses), surface, surface)


class MapAnythingApache(MapAnything):
    """The release under a free licence, trained on six data sets."""

    card = replace(MapAnything.card, name="MapAnything Apache", license="Apache-2.0", data=("MapAnything-Apache-Mix",),
                   weights="hf:facebook/map-anything-apache")  # fmt: skip
