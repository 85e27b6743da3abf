"""The frame that a probe works in: the initialiser's world, moved and scaled to the unit that the rates were chosen for.

Learning rates, the visibility threshold and the readout's own initialisation are lengths in the point map's unit. In the
paper that is the unit of DUSt3R's global alignment, which brings the pairwise maps to a common scale of 0.5; for DTU the
official code divides millimetres by 1000, which leaves points 0.6 away. Point maps of these two keep that unit
(`Initialisation.unit`). A scene in COLMAP's arbitrary unit, say, would be probed with rates that are wrong by orders of
magnitude: there the median distance of a point to the camera that sees it becomes UNIT_DISTANCE. The first training camera
stands at the origin; axes are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.core.errors import UserError
from bench.core.scenes import Array, Initialisation, nearest
from bench.metrics.similarity import Similarity
from bench.splat import Gaussians

UNIT_DISTANCE = 0.5  #: the median, not the mean: a few far hills must not shrink everything else


@dataclass(frozen=True, eq=False)
class UnitFrame:
    """unit coordinates = (world - origin) / length. origin: (3,) world. length: in the world's unit, positive."""

    origin: Array
    length: float

    def enter(self, initialisation: Initialisation) -> Initialisation:
        """The initialisation in this frame."""
        change = Similarity(1 / self.length, np.eye(3), -self.origin / self.length)
        return replace(
            initialisation,
            points=tuple(change.apply(points).astype(np.float32) for points in initialisation.points),
            cameras=tuple(change.transform_camera(camera) for camera in initialisation.cameras),
            test_cameras=tuple(change.transform_camera(camera) for camera in initialisation.test_cameras),
            test_depths=tuple(None if depth is None else depth / self.length for depth in initialisation.test_depths),
            unit=1.0,
            position_noise=initialisation.position_noise / self.length,
        )

    def leave(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians of this frame, back in the initialiser's world. Their colours stay: no axis was turned."""
        return replace(
            gaussians,
            means=gaussians.means * self.length + gaussians.means.new_tensor(self.origin),
            scales=gaussians.scales * self.length,
        )


def unit_frame(initialisation: Initialisation) -> UnitFrame:
    """The frame of an initialisation. Raises UserError where it has no point, or all points lie in the cameras."""
    distances = [
        np.linalg.norm(points[kept] - camera.centre, axis=1)
        for points, kept, camera in zip(
            initialisation.points, usable_masks(initialisation), initialisation.cameras, strict=True
        )
    ]
    joined = np.concatenate(distances)
    length = float(np.median(joined)) / UNIT_DISTANCE if len(joined) else 0.0
    if not length > 0:
        raise UserError("the point map is empty: its masks keep no pixel with a finite point away from its camera")
    return UnitFrame(np.asarray(initialisation.cameras[0].centre, np.float64), initialisation.unit or length)


def usable_masks(initialisation: Initialisation) -> tuple[Array, ...]:
    """Per training view (H, W) bool: the pixels that the initialiser keeps and whose point is finite."""
    return tuple(
        np.asarray(mask, bool) & np.isfinite(points).all(axis=-1)
        for points, mask in zip(initialisation.points, initialisation.masks, strict=True)
    )


def on_grid(initialisation: Initialisation, height: int, width: int) -> Initialisation:
    """The initialisation on the probe's grid: points, masks and depths of the nearest pixel, cameras of the smaller
    image."""
    return replace(
        with_images_of(initialisation, height, width),
        points=tuple(nearest(points, height, width) for points in initialisation.points),
        masks=tuple(nearest(mask, height, width) for mask in usable_masks(initialisation)),
        test_depths=tuple(None if depth is None else nearest(depth, height, width) for depth in initialisation.test_depths),
    )


def with_images_of(initialisation: Initialisation, height: int, width: int) -> Initialisation:
    """The initialisation with its cameras' images resampled to that size; points, masks and depths stay."""
    return replace(
        initialisation,
        cameras=tuple(camera.resized(width, height) for camera in initialisation.cameras),
        test_cameras=tuple(camera.resized(width, height) for camera in initialisation.test_cameras),
    )
