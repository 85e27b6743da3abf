"""`vggt`: depth and cameras of all views in one forward pass, through its authors' package."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch

from bench.registry import pointmaps
from bench.types import Initialisation, MultiViewScene, PointmapInitialiser
from registry.networks import vggt
from registry.support.packages import LibraryModel
from registry.support.reconstruction import initialisation, training_views


@pointmaps.register("vggt")
class VGGT(LibraryModel, PointmapInitialiser):
    """VGGT-1B: the depth head's depth, unprojected by the camera head's cameras, which its authors find more exact than the
    point head. No alignment follows; each view has the field of view that the camera head gives it.
    """

    card, needs = replace(vggt.CARD, note="unverified on real weights"), vggt.NEEDS
    random_weights = False
    photo_side = 512

    def load(self, device: torch.device) -> None:
        self._network = vggt.Reconstruction.load(functools.partial(self.weights_folder, "huggingface_hub"), device)

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """The seed decides nothing: the network has no randomness."""
        own = self._network.of([view.image for view in training_views(scene, self.card.name)])
        joint = self._network.of([view.image for view in scene.views]) if scene.test else own
        return initialisation(own, joint)
