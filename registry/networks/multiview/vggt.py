"""VGGT (arXiv:2503.11651) and VGGT-Omega (arXiv:2605.15195) through their authors' packages: depth and cameras of views.

Both take photos in [0, 1], normalise by themselves and give a code of each pose, which their package decodes to matrices
from the first camera's world to each camera and to intrinsics in pixels of the network's picture, whose corner is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench.types import Array, Card
from registry.support.checkpoints import load_strictly, read_state
from registry.support.images import BICUBIC, long_side_at, resampled, to_tensors
from registry.support.multiview import MultiviewNetwork, Views, from_depth, whole_poses

#: Pixels of lower depth confidence (which is at least 1) get no Gaussian: the threshold of VGGT's authors' COLMAP export.
LEAST_CONFIDENCE = 5.0
#: The share of a scene's pixels, the least confident, that get none: what VGGT-Omega's authors' demonstration leaves out.
LEAST_CONFIDENT = 0.2
_NEEDED = "install it from github.com/facebookresearch/{} (licence: {})"


class VGGT(MultiviewNetwork):
    """VGGT-1B: the depth head's depth and the camera head's cameras, which its authors find better than the point head."""

    card = Card(name="VGGT", arch="VGGT-1B", stride=14, supervision="Point Regression", domain="3D", data=("VGGT-Mix",),
                license="VGGT (non-commercial)", weights="hf:facebook/VGGT-1B", paper="arXiv:2503.11651",
                note="not yet run on real weights")  # fmt: skip
    _decode: Callable[..., Any]
    needs = MappingProxyType({"vggt": _NEEDED.format("vggt", "VGGT, non-commercial")})

    def load(self, device: torch.device) -> None:
        network = self.module("vggt.models.vggt").VGGT
        self._decode = self.module("vggt.utils.pose_enc").pose_encoding_to_extri_intri
        folder = self.hub_folder()
        self._network, self._device = network.from_pretrained(str(folder), strict=True).to(device).eval(), device

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the network takes: the long side 518, multiples of 14."""
        return long_side_at(height, width, 518, 14)

    def forward(self, photos: torch.Tensor) -> dict[str, Any]:
        """For photos (N, 3, h, w): depth (1, N, h, w, 1), depth_conf (1, N, h, w) and pose_enc (1, N, 9)."""
        found: dict[str, Any] = self._network(photos[None])
        return found

    @torch.no_grad()
    def views(self, images: Sequence[Array]) -> Views:
        size = self.network_size(*images[0].shape[:2])
        found = self.forward(to_tensors(resampled(images, *size, shrinking=BICUBIC), self._device))
        poses, intrinsics = (values[0].double().cpu().numpy() for values in self._decode(found["pose_enc"], size))
        depth, confidence = (found[key][0].float().cpu().numpy() for key in ("depth", "depth_conf"))
        return from_depth(depth[..., 0], intrinsics, whole_poses(poses), self.placed(confidence))

    def placed(self, confidence: Array) -> Array:
        """Where a Gaussian may be placed, for depth confidences of any shape."""
        return confidence >= LEAST_CONFIDENCE


class VGGTOmega(VGGT):
    """VGGT-Omega 1B, 512 pixels, in float32: part by part, as its own forward asks for a GPU's half precision."""

    card = Card(name="VGGT-Omega", arch="VGGT-Omega-1B", stride=16, supervision="Point Regression", domain="3D",
                data=("VGGT-Omega-Mix",), license="FAIR Noncommercial Research", paper="arXiv:2605.15195",
                weights="hf:facebook/VGGT-Omega/vggt_omega_1b_512.pt",
                note="gated; not yet run on real weights", parameters=1143.8)  # fmt: skip
    needs = MappingProxyType({"vggt_omega": _NEEDED.format("vggt-omega", "FAIR Noncommercial Research")})

    def load(self, device: torch.device) -> None:
        network = self.module("vggt_omega.models").VGGTOmega()
        self._decode = self.module("vggt_omega.utils.pose_enc").encoding_to_camera
        path = self.weights_file()
        load_strictly(network, read_state(path), path)
        self._network, self._device = network.to(device).eval(), device

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """About 32 x 32 patches of 16 pixels at the photo's aspect: its authors' loader by default, without its crop."""
        columns = math.sqrt(32 * 32 * width / height)
        return max(1, round(32 * 32 / columns)) * 16, max(1, round(columns)) * 16

    def forward(self, photos: torch.Tensor) -> dict[str, Any]:
        batch = photos[None]
        tokens, first = self._network.aggregator(batch)
        depth, confidence = self._network.dense_head(tokens, images=batch, patch_token_start=first)
        poses = self._network.camera_head(tokens, patch_token_start=first)
        return {"depth": depth, "depth_conf": confidence, "pose_enc": poses}

    def placed(self, confidence: Array) -> Array:
        return confidence >= np.quantile(confidence, LEAST_CONFIDENT)
