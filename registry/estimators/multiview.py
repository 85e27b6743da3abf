"""Networks that see all photos of a scene at once as monocular estimators: a scene of one photo.

What each package does to photos and poses is in registry/networks/multiview. The points are the network's own, brought to
the photo's size; the field of view is the one that it predicts or, where it predicts points alone, the one that fits them.
"""

from __future__ import annotations

import numpy as np

from bench.registry import estimators
from bench.types import Array, GeometryEstimator, Prediction
from registry.networks.multiview import cut3r, depth_anything_3, fast3r, mapanything, must3r, pi3, vggt
from registry.support.multiview import MultiviewNetwork


class OnePhoto(MultiviewNetwork, GeometryEstimator):
    """The first camera of a scene of one photo: its points, in metres where the network means metres, else up to scale."""

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        seen = self.views([image]).at(height, width)
        camera = np.diag([1 / width, 1 / height, 1]) @ seen.intrinsics[0]
        points, mask = seen.points[0].astype(np.float32), None if seen.surface is None else seen.surface[0]
        if self.metric:
            return Prediction(points_metric=points, depth_metric=points[..., 2], intrinsics=camera, mask=mask)
        return Prediction(points_scale_invariant=points, depth_scale_invariant=points[..., 2], intrinsics=camera, mask=mask)


@estimators.register("vggt")
class VGGT(vggt.VGGT, OnePhoto):
    """VGGT. Its authors feed a single photo as it is, without doubling it (README, "Single-view Reconstruction")."""


@estimators.register("vggt-omega")
class VGGTOmega(vggt.VGGTOmega, OnePhoto):
    """VGGT-Omega."""


@estimators.register("depth-anything-3")
class DepthAnything3(depth_anything_3.DepthAnything3, OnePhoto):
    """Depth Anything 3, the any-view models."""


@estimators.register("pi3")
class Pi3(pi3.Pi3, OnePhoto):
    """Pi3."""


@estimators.register("pi3x")
class Pi3X(pi3.Pi3X, OnePhoto):
    """Pi3X, whose points are meant to be metric."""


@estimators.register("mapanything")
class MapAnything(mapanything.MapAnything, OnePhoto):
    """MapAnything, the release for research."""


@estimators.register("mapanything-apache")
class MapAnythingApache(mapanything.MapAnythingApache, OnePhoto):
    """MapAnything, the release under a free licence."""


@estimators.register("must3r")
class MUSt3R(must3r.MUSt3R, OnePhoto):
    """MUSt3R."""


@estimators.register("fast3r")
class Fast3R(fast3r.Fast3R, OnePhoto):
    """Fast3R."""


@estimators.register("cut3r")
class CUT3R(cut3r.CUT3R, OnePhoto):
    """CUT3R."""
