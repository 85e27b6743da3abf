"""`vggt`: depth and cameras of all views in one forward pass, through its authors' package."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from bench.machine.weights import locate, sources
from bench.registry import pointmaps
from bench.types import Array, Camera, Card, Initialisation, MultiViewScene, PointmapInitialiser
from registry.estimators._hf import required, resized, to_tensor
from registry.pointmaps._common import Estimate, initialisation, training_views

PATCH = 14
LONG_SIDE = 518
#: Pixels of lower depth confidence (which is at least 1) get no Gaussian: the threshold of the authors' COLMAP export.
LEAST_CONFIDENCE = 5.0


@pointmaps.register("vggt")
class VGGT(PointmapInitialiser):
    """VGGT-1B: the depth head's depth, unprojected by the camera head's cameras, which its authors find more exact than the
    point head. No alignment follows; each view has the field of view that the camera head gives it.
    """

    card = Card(name="VGGT", arch="VGGT-1B", stride=PATCH, supervision="Point Regression", domain="3D", data="VGGT-Mix",
                license="VGGT (non-commercial)", weights="hf:facebook/VGGT-1B", paper="arXiv:2503.11651",
                note="unverified on real weights")  # fmt: skip
    weights_files: ClassVar[tuple[str, ...]] = ("config.json", "model.safetensors")
    needs = MappingProxyType({"vggt": "install it from github.com/facebookresearch/vggt (licence: VGGT, non-commercial)"})
    model: Any

    def load(self, device: torch.device) -> None:
        network = required("vggt.models.vggt", self.card.name, self.needs["vggt"]).VGGT
        self._decode = required("vggt.utils.pose_enc", self.card.name, self.needs["vggt"]).pose_encoding_to_extri_intri
        folder, *_ = (locate(source, self.card.name).parent for source in sources(type(self)))
        self.model, self._device = network.from_pretrained(str(folder), strict=True).to(device).eval(), device

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """The seed decides nothing: the network has no randomness."""
        own = self._reconstruct([view.image for view in training_views(scene, self.card.name)])
        joint = self._reconstruct([view.image for view in scene.views]) if scene.test else own
        return initialisation(own, joint)

    @torch.no_grad()
    def _reconstruct(self, images: Sequence[Array]) -> Estimate:
        """The views of images (H, W, 3) uint8, all of one size, in a frame of their own."""
        height, width = images[0].shape[:2]
        size = _network_size(height, width)
        photos = torch.cat([to_tensor(image, self._device) for image in images])
        found = self.model(resized(photos, *size).clamp(0, 1)[None])
        poses, intrinsics = (values[0].double().cpu().numpy() for values in self._decode(found["pose_enc"], size))
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
