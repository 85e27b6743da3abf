"""What the initialisers share: what they need of a scene, and the registration of test views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.metrics.similarity import Similarity, umeyama
from bench.types import Array, Camera, MultiViewScene, UserError, View


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
