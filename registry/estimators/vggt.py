"""VGGT as a monocular estimator, through its authors' package: a scene of one photo."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch

from bench.geometry.camera import points_from_depth
from bench.registry import estimators
from bench.types import Array, GeometryEstimator, Prediction
from registry.networks import vggt
from registry.support.packages import LibraryModel


@estimators.register("vggt")
class VGGT(LibraryModel, GeometryEstimator):
    """The reconstruction of one view: the depth head's depth, the camera head's field of view.

    Its authors feed a single photo as it is, without doubling it (README, "Single-view Reconstruction").
    """

    card, needs = replace(vggt.CARD, note="one photo; not yet run on real weights"), vggt.NEEDS
    random_weights = False

    def load(self, device: torch.device) -> None:
        self._network = vggt.Reconstruction.load(functools.partial(self.weights_folder, "huggingface_hub"), device)

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        seen = self._network.of([image])
        camera = np.diag([1 / width, 1 / height, 1]) @ seen.cameras[0].intrinsics
        depth = seen.depths[0]
        return Prediction(
            points_scale_invariant=points_from_depth(depth, camera), depth_scale_invariant=depth, intrinsics=camera
        )
