"""UniDepth, versions 1 (arXiv:2403.18913) and 2 (arXiv:2502.20110), through its authors' package: metric points."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch

from bench.geometry.camera import points_from_depth
from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction
from registry.support.packages import LibraryModel

_PACKAGE = {"unidepth": "install it from github.com/lpiccinelli-eth/UniDepth (licence: CC BY-NC 4.0, non-commercial)"}


class _UniDepth(LibraryModel, GeometryEstimator):
    """What `infer` of the package's model gives (github.com/lpiccinelli-eth/UniDepth, unidepth/models).

    It takes a photo (3, H, W) uint8 and, where they are known, intrinsics (3, 3) in pixels, and resizes, pads and normalises
    by itself. network: the model's class.
    """

    network: ClassVar[str]
    random_weights = False
    needs = MappingProxyType(_PACKAGE)
    model: Any

    def load(self, device: torch.device) -> None:
        for package in self.needs:
            self.module(package)
        network = getattr(self.module("unidepth.models"), self.network)
        self.model, self._device = self.from_hub(network, device), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        pixels = np.array([[width], [height], [1.0]])
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(self._device)
        given = None if intrinsics is None else torch.from_numpy(intrinsics * pixels).float().to(self._device)
        found = self.model.infer(photo, given)
        depth = found["depth"][0, 0].float().cpu().numpy()
        if intrinsics is not None:  # the depth was found for this camera, so the points are its own
            return Prediction(points_metric=points_from_depth(depth, intrinsics), depth_metric=depth, intrinsics=intrinsics)
        points = found["points"][0].permute(1, 2, 0).float().cpu().numpy()
        camera = found["intrinsics"][0].double().cpu().numpy() / pixels
        return Prediction(points_metric=points, depth_metric=depth, intrinsics=camera)


def _card(name: str, data: str, weights: str, paper: str) -> Card:
    return Card(
        name=name,
        arch="ViT-L/14",
        supervision="Depth regression",
        domain="3D",
        data=(data,),
        license="CC-BY-NC-4.0",
        weights=f"hf:lpiccinelli/{weights}",
        paper=f"arXiv:{paper}",
        note="not yet run on real weights",
    )


@estimators.register("unidepth")
class UniDepth(_UniDepth):
    """UniDepth, version 1, ViT-L: the published tables' row."""

    card = _card("UniDepth", "UniDepth-Mix", "unidepth-v1-vitl14", "2403.18913")
    needs = MappingProxyType(
        {**_PACKAGE, "xformers": "version 1's attention is in those releases that have xformers.components"}
    )
    network = "UniDepthV1"


@estimators.register("unidepth-v2")
class UniDepthV2(_UniDepth):
    """UniDepth, version 2, ViT-L."""

    card = _card("UniDepth V2", "UniDepth-V2-Mix", "unidepth-v2-vitl14", "2502.20110")
    network = "UniDepthV2"
