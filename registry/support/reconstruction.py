"""What the initialisers share: what they need of a scene, and the registration of test views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.similarity import Similarity, umeyama
from bench.types import Array, Camera, Initialisation, MultiViewScene, UserError, View


def posed_camera(scene: MultiViewScene, view: View, initialiser: str) -> Camera:
    """The view's camera. Raises UserError where the data set gives none."""
    if view.camera is None:
        raise UserError(
            f"{scene.dataset}/{scene.name}: view {view.name} has no camera, which the initialiser `{initialiser}` needs; "
            "choose one that estimates the cameras (`bench list pointmaps`)"
        )
    return view.camera


def true_depth(scene: MultiViewScene, view: View, initialiser: str) -> Array:
    """The view's ground-truth depth. Raises UserError where the data set gives none."""
    if view.depth is None:
        raise UserError(
            f"{scene.dataset}/{scene.name}: view {view.name} has no ground-truth depth, which `{initialiser}` needs; choose "
            "`sparse` or an initialiser that estimates depth (`bench list pointmaps`)"
        )
    return view.depth


def seen(depth: Array) -> Array:
    """(H, W) bool: where a surface is known. Unknown depth (NaN), sky (inf) and points behind the camera are left out."""
    return np.isfinite(depth) & (depth > 0)


def register_similarity(source: Sequence[Array], target: Sequence[Array], masks: Sequence[Array]) -> Similarity:
    """The similarity from one estimate's frame to another's, from the point maps that both give of the same views.

    An estimator run on all views gives the test cameras in a frame of its own; this takes them to the frame of the training
    views (`Similarity.transform_camera`). source, target: per view (H, W, 3); masks: per view (H, W) bool. Points that are
    not finite in both are left out. Raises UserError where too few are left.
    """
    pairs = [
        (first[keep], second[keep])
        for first, second, mask in zip(source, target, masks, strict=True)
        for keep in [mask & np.isfinite(first).all(axis=-1) & np.isfinite(second).all(axis=-1)]
    ]
    return umeyama(np.concatenate([first for first, _ in pairs]), np.concatenate([second for _, second in pairs]))


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator says of some views, in a frame of its own. depths: per view (H, W); masks: (H, W) bool, where a
    Gaussian may be placed."""

    cameras: tuple[Camera, ...]
    depths: tuple[Array, ...]
    masks: tuple[Array, ...]

    @property
    def points(self) -> list[Array]:
        """Per view (H, W, 3) float64."""
        return [camera.unproject(depth) for camera, depth in zip(self.cameras, self.depths, strict=True)]


def initialisation(own: Estimate, joint: Estimate) -> Initialisation:
    """What an estimator initialises a probe with: own is its estimate of the training views alone, joint its estimate of all
    views, the training views first.

    The test views' cameras and depths are joint's, taken to own's frame by the similarity that fits the training views'
    points where own's masks hold. Raises UserError where too few points are left to find it.
    """
    count = len(own.cameras)
    points = own.points
    to_own = register_similarity(joint.points[:count], points, own.masks)
    return Initialisation(
        points=tuple(each.astype(np.float32) for each in points),
        masks=own.masks,
        cameras=own.cameras,
        test_cameras=tuple(to_own.transform_camera(camera) for camera in joint.cameras[count:]),
        test_depths=tuple((to_own.scale * depth).astype(np.float32) for depth in joint.depths[count:]),
    )


def training_views(scene: MultiViewScene, initialiser: str) -> tuple[View, ...]:
    """The training views. Raises UserError where there are fewer than two, from which no estimator finds cameras."""
    if len(scene.train) < 2:
        raise UserError(f"{scene.dataset}/{scene.name}: {initialiser} needs at least 2 training views; there is only one")
    return scene.train
