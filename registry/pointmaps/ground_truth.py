"""`ground-truth`, `noisy-ground-truth` and `simulated`: made from the data set's own depth and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import zoom
from scipy.spatial.transform import Rotation

from bench.metrics.similarity import Similarity
from bench.registry import pointmaps
from bench.types import Array, Camera, Card, Initialisation, MultiViewScene, PointmapInitialiser, UserError
from registry.support.reconstruction import Estimate, initialisation, posed_camera, seen, true_depth

#: Standard deviation of the smooth relative depth error within a view, and of the relative error of a view's whole depth.
DEPTH_ERROR = 0.02
DEPTH_SCALE_ERROR = 0.01
#: Knots of the smooth depth error along a photo's short and long side.
DEPTH_ERROR_KNOTS = (4, 5)
#: Standard deviation of the rotation error about each axis, in degrees, and of the translation error along each axis, as a
#: share of the scene's mean depth.
ROTATION_ERROR = 0.3
TRANSLATION_ERROR = 0.004
#: Standard deviation of the relative error of the focal length, which all views share.
FOCAL_ERROR = 0.01


#: How many millimetres the official probe takes for 1, and the noise that it adds to the true points of DTU (its script for
#: that data set, NOISE_STDS=10; the published numbers are read from its folder `_n10`).
MILLIMETRES = 1000.0
NOISE_MILLIMETRES = 10.0


@pointmaps.register("ground-truth")
class GroundTruth(PointmapInitialiser):
    """The true depth and cameras, in the data set's frame.

    The mask holds the pixels of finite true depth: sky and unknown pixels get no Gaussian.
    """

    start = "true"
    card = Card(name="Ground truth", supervision="ground truth", note="true depth and cameras")

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        depths = [true_depth(scene, view, "ground-truth") for view in scene.train]
        cameras = tuple(posed_camera(scene, view, "ground-truth") for view in scene.train)
        return Initialisation(
            points=tuple(camera.unproject(depth).astype(np.float32) for camera, depth in zip(cameras, depths, strict=True)),
            masks=tuple(seen(depth) for depth in depths),
            cameras=cameras,
            test_cameras=tuple(posed_camera(scene, view, "ground-truth") for view in scene.test),
            test_depths=tuple(view.depth for view in scene.test),
            unit=MILLIMETRES if scene.unit == "millimetre" else None,
        )


@pointmaps.register("noisy-ground-truth")
class NoisyGroundTruth(GroundTruth):
    """The true depth and cameras, and Gaussians that start 10 mm away from it in each coordinate: Feat2GS's DTU experiment.

    Of a data set in millimetres alone.
    """

    card = Card(
        name="Ground truth, 10 mm noise",
        supervision="ground truth + noise",
        note="true depth and cameras, seeded noise of 10 mm on the first positions; for DTU",
    )

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        if scene.unit != "millimetre":
            raise UserError(
                f"{scene.dataset}/{scene.name}: lengths are in the unit {scene.unit!r}; `noisy-ground-truth` adds 10 mm, "
                "for which they must be in millimetres: use `ground-truth`"
            )
        return replace(super().initialise(scene, seed), position_noise=NOISE_MILLIMETRES)


@pointmaps.register("simulated")
class Simulated(PointmapInitialiser):
    """Ground truth with the errors of an estimator: smooth in depth, and of pose, scale and focal length; seeded.

    As with an estimator, the training views are estimated on their own, then all views together, each time in a frame of its
    own; the second estimate is registered to the first by a similarity of the training views' point maps (Umeyama), and
    gives the cameras and depths of the test views.
    """

    start = "simulated"
    card = Card(name="Simulated", supervision="ground truth + error", note="true depth and cameras with seeded errors")

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        rng = np.random.default_rng(seed)
        cameras = [posed_camera(scene, view, "simulated") for view in scene.views]
        depths = [true_depth(scene, view, "simulated") for view in scene.views]
        count = len(scene.train)
        own = _estimate(cameras[:count], depths[:count], rng)
        return initialisation(own, _estimate(cameras, depths, rng))


def _estimate(cameras: Sequence[Camera], depths: Sequence[Array], rng: np.random.Generator) -> Estimate:
    """The views with errors, in a random frame."""
    mean_depth = float(np.mean(np.concatenate([depth[seen(depth)] for depth in depths])))
    focal = 1 + FOCAL_ERROR * rng.normal()
    frame = Similarity(
        float(np.exp(rng.normal())), Rotation.random(random_state=rng).as_matrix(), mean_depth * rng.normal(size=3)
    )
    wrong_cameras, wrong_depths = [], []
    for camera, depth in zip(cameras, depths, strict=True):
        pose = camera.world_to_camera.copy()
        pose[:3, :3] = Rotation.from_rotvec(np.radians(ROTATION_ERROR) * rng.normal(size=3)).as_matrix() @ pose[:3, :3]
        centre = camera.centre + TRANSLATION_ERROR * mean_depth * rng.normal(size=3)
        pose[:3, 3] = -pose[:3, :3] @ centre
        intrinsics = camera.intrinsics.copy()
        intrinsics[[0, 1], [0, 1]] *= focal
        wrong = frame.transform_camera(replace(camera, intrinsics=intrinsics, world_to_camera=pose))
        wrong_cameras.append(wrong)
        error = DEPTH_SCALE_ERROR * rng.normal() + DEPTH_ERROR * _smooth_field(depth.shape, rng)
        # A longer focal length is paid for with a larger depth: the surface keeps its size in space.
        wrong_depths.append(depth.astype(np.float64) * focal * np.exp(error) * frame.scale)
    return Estimate(tuple(wrong_cameras), tuple(wrong_depths), tuple(seen(depth) for depth in depths))


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """(H, W) a smooth random field of zero mean and about unit deviation, cubic through a few random knots."""
    knots = DEPTH_ERROR_KNOTS if shape[0] <= shape[1] else DEPTH_ERROR_KNOTS[::-1]
    field = zoom(rng.normal(size=knots), (shape[0] / knots[0], shape[1] / knots[1]), order=3, mode="nearest", grid_mode=True)
    return (field - field.mean()) / field.std()
