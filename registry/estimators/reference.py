"""Reference rows that need no weights and calibrate the tables: the truth, the truth with a known error, and two planes."""

from __future__ import annotations

import hashlib

import numpy as np

from bench.geometry.camera import intrinsics_from_fov, points_from_depth, rays
from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, MonocularSample, Prediction, UserError

ASSUMED_FOV = 60.0  #: degrees; what an estimator says that does not look at the photo
PLANE_DISTANCE = 3.0  #: metres
CAMERA_HEIGHT = 1.65  #: metres above the floor
FARTHEST = 40.0  #: metres; the far plane above the horizon


def _whole(depth: Array, intrinsics: Array, metric: bool, mask: Array | None = None) -> Prediction:
    """Depth, points and intrinsics of one depth map, metric or up to scale."""
    points = points_from_depth(depth, intrinsics)
    if metric:
        return Prediction(points_metric=points, depth_metric=depth, intrinsics=intrinsics, mask=mask)
    return Prediction(points_scale_invariant=points, depth_scale_invariant=depth, intrinsics=intrinsics, mask=mask)


@estimators.register("oracle")
class Oracle(GeometryEstimator):
    """The truth itself: every error is 0."""

    card = Card(name="Oracle", license="-", note="reads the truth", role="oracle")

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        raise UserError("the oracle reads the truth: it needs a sample, not a photo alone")

    def predict_sample(self, sample: MonocularSample) -> Prediction:
        return _whole(sample.depth, sample.intrinsics, sample.metric, ~np.isposinf(sample.depth))


@estimators.register("oracle-noisy")
class NoisyOracle(GeometryEstimator):
    """The truth, its depth multiplied by a smooth random field (10 % deviation) and its focal length off by 5 %."""

    card = Card(name="Oracle, noisy", note="reads the truth; the error is seeded by the sample's name", role="oracle")

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        raise UserError("the noisy oracle reads the truth: it needs a sample, not a photo alone")

    def predict_sample(self, sample: MonocularSample) -> Prediction:
        from PIL import Image

        height, width = sample.depth.shape
        seed = hashlib.sha256(f"{sample.dataset}/{sample.name}".encode()).digest()[:8]
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        coarse = Image.fromarray(rng.normal(0, 0.1, (7, 9)).astype(np.float32))
        error = np.exp(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64))
        intrinsics = sample.intrinsics.copy()
        intrinsics[[0, 1], [0, 1]] *= np.exp(rng.choice([-0.05, 0.05]))
        return _whole(sample.depth * error, intrinsics, sample.metric, ~np.isposinf(sample.depth))


@estimators.register("plane")
class Plane(GeometryEstimator):
    """A fronto-parallel plane, up to scale."""

    card = Card(
        name="Plane",
        note="a constant depth determines no affine fit: affine-invariant depth and disparity are invalid",
        role="control",
    )

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        seen = intrinsics_from_fov(ASSUMED_FOV, width / height) if intrinsics is None else intrinsics
        return _whole(np.full((height, width), PLANE_DISTANCE), seen, metric=False)


@estimators.register("ground-plane")
class GroundPlane(GeometryEstimator):
    """A level camera 1.65 m above a floor, the horizon at the principal point; a far plane above it."""

    card = Card(name="Ground plane", note="a level camera at 1.65 m, 60 degrees wide", role="control")

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        seen = intrinsics_from_fov(ASSUMED_FOV, width / height) if intrinsics is None else intrinsics
        downwards = rays(height, width, seen)[..., 1]
        depth = CAMERA_HEIGHT / np.maximum(downwards, CAMERA_HEIGHT / FARTHEST)
        return _whole(depth, seen, metric=True)
