"""MoGe-2 (arXiv:2507.02546) through its authors' package: metric points and the field of view."""

from __future__ import annotations

from typing import Any

import torch

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, Unavailable
from bench.weights import locate, sources
from registry.estimators._hf import required, to_tensor


@estimators.register("moge-2")
class MoGe2(GeometryEstimator):
    """MoGe-2, ViT-L, with values everywhere (its sky mask is given beside, not applied), as its authors evaluate it."""

    card = Card(
        name="MoGe-2",
        arch="ViT-L/14",
        supervision="Point regression",
        domain="3D",
        data="MoGe-2-Mix",
        license="MIT",
        weights="hf:Ruicheng/moge-2-vitl-normal/model.pt",
        paper="arXiv:2507.02546",
    )
    model: Any

    def load(self, device: torch.device) -> None:
        module = required("moge.model.v2", self.card.name, "install it from github.com/microsoft/MoGe")
        if self.weights == "random":
            raise Unavailable(f"{self.card.name}: its package builds no network without its checkpoint; run it with weights")
        path = self.checkpoint or locate(sources(type(self))[0], self.card.name)
        self.model, self._device = module.MoGeModel.from_pretrained(path).to(device).eval(), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        found = self.model.infer(to_tensor(image, self._device)[0], apply_mask=False)
        points, depth, camera, mask = (found[key].cpu().numpy() for key in ("points", "depth", "intrinsics", "mask"))
        return Prediction(points_metric=points, depth_metric=depth, intrinsics=camera, mask=mask.astype(bool))
