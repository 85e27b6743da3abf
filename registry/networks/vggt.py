"""VGGT (arXiv:2503.11651) through its authors' package: depth and cameras of all views in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench.types import Array, Camera, Card
from registry.support.images import resized, to_tensor
from registry.support.packages import required
from registry.support.reconstruction import Estimate

PATCH = 14
LONG_SIDE = 518
#: Pixels of lower depth confidence (which is at least 1) get no Gaussian: the threshold of the authors' COLMAP export.
LEAST_CONFIDENCE = 5.0

CARD = Card(name="VGGT", arch="VGGT-1B", stride=PATCH, supervision="Point Regression", domain="3D", data=("VGGT-Mix",),
            license="VGGT (non-commercial)", weights="hf:facebook/VGGT-1B", paper="arXiv:2503.11651")  # fmt: skip
NEEDS = MappingProxyType({"vggt": "install it from github.com/facebookresearch/vggt (licence: VGGT, non-commercial)"})


@dataclass(frozen=True)
class Reconstruction:
    """The network, ready. decode: the package's function from a pose's code to extrinsics and intrinsics."""

    model: Any
    decode: Callable[..., Any]
    device: torch.device

    @classmethod
    def load(cls, folder: Callable[[], Path], device: torch.device) -> Reconstruction:
        """The network of a folder of weights, which is asked for once the package is known to be here.

        Raises Unavailable where it is not.
        """
        network = required("vggt.models.vggt", CARD.name, NEEDS["vggt"]).VGGT
        decode = required("vggt.utils.pose_enc", CARD.name, NEEDS["vggt"]).pose_encoding_to_extri_intri
        return cls(network.from_pretrained(str(folder()), strict=True).to(device).eval(), decode, device)

    @torch.no_grad()
    def of(self, images: Sequence[Array]) -> Estimate:
        """The views of images (H, W, 3) uint8, all of one size, in a frame of their own."""
        height, width = images[0].shape[:2]
        size = _network_size(height, width)
        photos = torch.cat([to_tensor(image, self.device) for image in images])
        found = self.model(resized(photos, *size).clamp(0, 1)[None])
        poses, intrinsics = (values[0].double().cpu().numpy() for values in self.decode(found["pose_enc"], size))
        # Bilinear in inverse depth, which keeps planes plane.
        inverse = _at_size(1 / found["depth"][0, ..., 0].clamp_min(1e-6), height, width)
        return Estimate(
            cameras=tuple(
                _camera(pose, matrix, size).resized(width, height) for pose, matrix in zip(poses, intrinsics, strict=True)
            ),
            depths=tuple(1 / inverse),
            masks=tuple(_at_size(found["depth_conf"][0], height, width) >= LEAST_CONFIDENCE),
        )


def _network_size(height: int, width: int) -> tuple[int, int]:
    """Height and width that the network takes: the long side 518, the other the nearest multiple of 14."""
    scale = LONG_SIDE / max(height, width)
    rows, columns = (max(1, round(side * scale / PATCH)) * PATCH for side in (height, width))
    return rows, columns


def _at_size(maps: torch.Tensor, height: int, width: int) -> Array:
    """Maps (B, h, w) bilinearly at (B, height, width), float32."""
    values: Array = F.interpolate(maps[:, None].float(), (height, width), mode="bilinear")[:, 0].cpu().numpy()
    return values


def _camera(world_to_camera: Array, intrinsics: Array, size: tuple[int, int]) -> Camera:
    """world_to_camera: (3, 4), OpenCV. size: (height, width)."""
    return Camera(intrinsics, np.vstack([world_to_camera, [0.0, 0.0, 0.0, 1.0]]), size[1], size[0])
