"""Networks that see all photos of a scene at once as initialisers: points and cameras of all views in one forward pass.

What each package does to photos and poses is in registry/networks/multiview. No alignment follows: each view has the pose
and the field of view that its network gives it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.registry import pointmaps
from bench.types import Initialisation, MultiViewScene, PointmapInitialiser, View
from registry.networks.multiview import cut3r, depth_anything_3, fast3r, mapanything, must3r, pi3, vggt
from registry.support.multiview import MultiviewNetwork
from registry.support.reconstruction import Estimate, initialisation, training_views


class AllPhotos(MultiviewNetwork, PointmapInitialiser):
    """One estimate of the training views, another of all views, from which the test cameras come."""

    photo_side = 512

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """The seed decides nothing: these networks have no randomness."""
        own = self._estimate(training_views(scene, self.card.name))
        return initialisation(own, self._estimate(scene.views) if scene.test else own)

    def _estimate(self, views: Sequence[View]) -> Estimate:
        return self.views([view.image for view in views]).at(*views[0].image.shape[:2]).estimate()


@pointmaps.register("vggt")
class VGGT(vggt.VGGT, AllPhotos):
    """VGGT."""


@pointmaps.register("vggt-omega")
class VGGTOmega(vggt.VGGTOmega, AllPhotos):
    """VGGT-Omega."""


@pointmaps.register("depth-anything-3")
class DepthAnything3(depth_anything_3.DepthAnything3, AllPhotos):
    """Depth Anything 3, the any-view models."""


@pointmaps.register("pi3")
class Pi3(pi3.Pi3, AllPhotos):
    """Pi3."""


@pointmaps.register("pi3x")
class Pi3X(pi3.Pi3X, AllPhotos):
    """Pi3X."""


@pointmaps.register("mapanything")
class MapAnything(mapanything.MapAnything, AllPhotos):
    """MapAnything, the release for research."""


@pointmaps.register("mapanything-apache")
class MapAnythingApache(mapanything.MapAnythingApache, AllPhotos):
    """MapAnything, the release under a free licence."""


@pointmaps.register("must3r")
class MUSt3R(must3r.MUSt3R, AllPhotos):
    """MUSt3R."""


@pointmaps.register("fast3r")
class Fast3R(fast3r.Fast3R, AllPhotos):
    """Fast3R."""


@pointmaps.register("cut3r")
class CUT3R(cut3r.CUT3R, AllPhotos):
    """CUT3R, the photos in their order."""
