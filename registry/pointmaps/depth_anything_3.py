"""`depth-anything-3`: depth and cameras of all views in one forward pass, through its authors' package."""

from __future__ import annotations

import torch

from bench.registry import pointmaps
from bench.types import Initialisation, MultiViewScene, PointmapInitialiser
from registry.networks import depth_anything_3 as da3
from registry.support.packages import LibraryModel
from registry.support.reconstruction import initialisation, training_views


@pointmaps.register("depth-anything-3")
class DepthAnything3(LibraryModel, PointmapInitialiser):
    """Depth Anything 3, any-view: the depth head's depth, unprojected by the camera decoder's cameras."""

    card, needs, sizes, default_size = da3.CARD, da3.NEEDS, da3.SIZES, "L"
    random_weights = False
    photo_side = 512

    def load(self, device: torch.device) -> None:
        self._network = da3.Network.load(self, device)

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """The seed decides nothing: the network has no randomness."""
        own = self._network.of([view.image for view in training_views(scene, self.card.name)])
        joint = self._network.of([view.image for view in scene.views]) if scene.test else own
        return initialisation(own, joint)
