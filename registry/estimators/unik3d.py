"""UniK3D (arXiv:2503.16591) through its authors' package: metric points for cameras of any kind."""

from __future__ import annotations

import warnings
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench.geometry.camera import points_from_depth
from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, Size
from registry.support.multiview import centred_intrinsics
from registry.support.packages import LibraryModel


@estimators.register("unik3d")
class UniK3D(LibraryModel, GeometryEstimator):
    """What `infer` of the package's model gives (github.com/lpiccinelli-eth/UniK3D, unik3d/models/unik3d.py).

    It takes a photo (3, H, W) uint8 and, where it is known, a camera of the package, here always a pinhole in pixels whose
    corner is (0, 0), and resizes, pads and normalises by itself, within the bounds that it was trained in. It gives no
    intrinsics: they are the pinhole that fits its rays, with the principal point in the middle.
    """

    card = Card(name="UniK3D", supervision="Depth regression", domain="3D", data=("UniK3D-Mix",), stride=14,
                license="CC-BY-NC-SA-4.0", weights="hf:lpiccinelli/unik3d-{architecture}", paper="arXiv:2503.16591",
                note="not yet run on real weights")  # fmt: skip
    sizes = MappingProxyType(
        {
            "S": Size("ViT-S/14", 0, 12, 0.0, "vits"),
            "B": Size("ViT-B/14", 0, 12, 0.0, "vitb"),
            "L": Size("ViT-L/14", 0, 24, 0.0, "vitl"),
        }
    )
    default_size = "L"
    needs = MappingProxyType(
        {"unik3d": "install it from github.com/lpiccinelli-eth/UniK3D (licence: CC BY-NC-SA 4.0, non-commercial)"}
    )
    random_weights = False

    def load(self, device: torch.device) -> None:
        network = self.module("unik3d.models").UniK3D
        self._pinhole = self.module("unik3d.utils.camera").Pinhole
        self._model, self._device = self.from_hub(network, device), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(self._device)
        camera = None if intrinsics is None else self._camera(intrinsics, *image.shape[:2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the size, which is left to the package
            found = self._model.infer(photo, camera)
        points, rays = (found[key][0].permute(1, 2, 0).float().cpu().numpy() for key in ("points", "rays"))
        if intrinsics is not None:  # the points were found for this camera
            depth = points[..., 2]
            return Prediction(points_metric=points_from_depth(depth, intrinsics), depth_metric=depth, intrinsics=intrinsics)
        height, width = image.shape[:2]
        fitted = np.diag([1 / width, 1 / height, 1]) @ centred_intrinsics(rays[None])[0]
        return Prediction(points_metric=points, depth_metric=points[..., 2], intrinsics=fitted)

    def _camera(self, intrinsics: Array, height: int, width: int) -> Any:
        pixels = intrinsics * np.array([[width], [height], [1.0]])
        return self._pinhole(K=torch.from_numpy(pixels).float()[None])
