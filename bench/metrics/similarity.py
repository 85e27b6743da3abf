"""Similarity transforms between point sets with known correspondences.

Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, equations
34 to 43, here with weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.core.errors import UserError
from bench.core.scenes import Array, Camera

#: Singular values of the centred points below this share of the largest count as zero.
_RANK_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation. scale > 0; rotation: (3, 3) proper; translation: (3,)."""

    scale: float
    rotation: Array
    translation: Array

    @staticmethod
    def identity() -> Similarity:
        return Similarity(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: Array) -> Array:
        """Points (..., 3) in the other frame, float64; NaN and inf are carried through."""
        with np.errstate(invalid="ignore"):
            return self.scale * (np.asarray(points, np.float64) @ self.rotation.T) + self.translation

    def inverse(self) -> Similarity:
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """The composition x -> self(first(x))."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self.apply(first.translation[None])[0])

    def transform_camera(self, camera: Camera) -> Camera:
        """The same camera in the other frame: a transformed point falls on the same pixel, its depth times `scale`."""
        pose = np.eye(4)
        pose[:3, :3] = camera.world_to_camera[:3, :3] @ self.rotation.T
        pose[:3, 3] = self.scale * camera.world_to_camera[:3, 3] - pose[:3, :3] @ self.translation
        return replace(camera, world_to_camera=pose)


def umeyama(source: Array, target: Array, weight: Array | None = None, with_scale: bool = True) -> Similarity:
    """The similarity that minimises sum_i w_i || scale R source_i + t - target_i ||^2.

    source, target: (N, 3) corresponding points, finite. weight: (N,) finite, not negative; None = equal. with_scale: False
    gives the best rigid motion (scale 1). The rotation is proper (no reflection).
    Raises UserError for fewer than 3 points, shapes that differ, values that are not finite, and points on a line or in one
    place, which leave the rotation undefined.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3:
        raise UserError(f"similarity: both point sets must be (N, 3) of one length; got {source.shape} and {target.shape}")
    weight = np.ones(len(source)) if weight is None else np.asarray(weight, np.float64)
    if weight.shape != (len(source),) or not np.isfinite(weight).all() or (weight < 0).any():
        raise UserError(f"similarity: the weights must be ({len(source)},), finite and not negative")
    if (weight > 0).sum() < 3:
        raise UserError(f"similarity: at least 3 points are needed, there are {int((weight > 0).sum())} of positive weight")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise UserError("similarity: the points hold NaN or infinite values; mask them out first")

    weight = weight / weight.sum()
    source_mean, target_mean = weight @ source, weight @ target
    source_centred, target_centred = source - source_mean, target - target_mean
    for name, centred in (("source", source_centred), ("target", target_centred)):
        spread = np.linalg.svd(centred * np.sqrt(weight)[:, None], compute_uv=False)
        if spread[1] <= _RANK_TOLERANCE * spread[0] or spread[0] == 0:
            raise UserError(f"similarity: the {name} points lie on one line or in one place; no rotation is defined")

    left, singular, right = np.linalg.svd(target_centred.T @ (source_centred * weight[:, None]))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    rotation = (left * signs) @ right
    scale = 1.0
    if with_scale:
        scale = float(singular @ signs / (weight @ (source_centred**2).sum(axis=1)))
        if scale <= 0:
            raise UserError("similarity: the two point sets are unrelated (the best scale is not positive)")
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)
