"""VGGT as a monocular estimator, through its authors' package: a scene of one photo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.geometry.camera import points_from_depth
from bench.registry import estimators
from bench.types import Array, Prediction
from registry.estimators._hf import LibraryEstimator
from registry.pointmaps import vggt as initialisers
from registry.pointmaps._common import Estimate


class _Views(initialisers.VGGT):
    """The initialiser's reconstruction by a network that is already there."""

    def __init__(self, model: Any, decode: Any, device: torch.device) -> None:
        self.model, self._decode, self._device = model, decode, device

    def of(self, image: Array) -> Estimate:
        return self._reconstruct([image])


@estimators.register("vggt")
class VGGT(LibraryEstimator):
    """The initialiser's reconstruction of one view: the depth head's depth, the camera head's field of view.

    Its authors feed a single photo as it is, without doubling it (README, "Single-view Reconstruction").
    """

    card = replace(initialisers.VGGT.card, note="one photo; not yet run on real weights")
    needs = initialisers.VGGT.needs
    random_weights = False

    def load(self, device: torch.device) -> None:
        network = self.module("vggt.models.vggt").VGGT
        decode = self.module("vggt.utils.pose_enc").pose_encoding_to_extri_intri
        folder = self.weights_folder("huggingface_hub")
        self._views = _Views(network.from_pretrained(str(folder), strict=True).to(device).eval(), decode, device)

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        seen = self._views.of(image)
        camera = np.diag([1 / width, 1 / height, 1]) @ seen.cameras[0].intrinsics
        depth = seen.depths[0]
        return Prediction(
            points_scale_invariant=points_from_depth(depth, camera), depth_scale_invariant=depth, intrinsics=camera
        )
