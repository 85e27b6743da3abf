"""A scene of one plane that photos of one colour each stand for, and what an initialiser must find in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scene_writers import pose_at

from bench.metrics.similarity import Similarity, umeyama
from bench.registry import pointmaps
from bench.types import Camera, Initialisation, MultiViewScene, View

WIDTH, HEIGHT, FOCAL = 64, 48, 60.0
NORMAL, OFFSET = np.array([0.2, -1.0, 0.3]) / np.linalg.norm([0.2, -1.0, 0.3]), -0.4  # the plane n.x = offset


def true_scene(principal_shift: float) -> MultiViewScene:
    """Five views of a plane. principal_shift: of the principal point from the photo's centre, in pixels."""
    views = []
    for number, x in enumerate((-0.6, 0.0, 0.6, -0.3, 0.9)):
        intrinsics = np.array([[FOCAL, 0, WIDTH / 2 + principal_shift], [0, FOCAL, HEIGHT / 2 + principal_shift], [0, 0, 1]])
        camera = Camera(intrinsics, pose_at(np.array([x, -4.0, 0.3 * number]), np.zeros(3)), WIDTH, HEIGHT)
        rays = camera.unproject(np.ones((HEIGHT, WIDTH))) - camera.centre
        depth = (OFFSET - NORMAL @ camera.centre) / (rays @ NORMAL)
        views.append(View(f"v{number}", np.full((HEIGHT, WIDTH, 3), 10 * number + 5, np.uint8), camera, depth))
    return MultiViewScene("toy", "plane", tuple(views[:3]), tuple(views[3:]))


def photos_only(scene: MultiViewScene) -> MultiViewScene:
    """What an estimator may see: no camera, no depth."""
    return replace(
        scene,
        train=tuple(View(view.name, view.image) for view in scene.train),
        test=tuple(View(view.name, view.image) for view in scene.test),
    )


def run(name: str, scene: MultiViewScene, seed: int = 0) -> Initialisation:
    initialiser = pointmaps[name]()
    initialiser.load(torch.device("cpu"))
    result: Initialisation = initialiser.initialise(scene, seed)
    return result


def to_truth(found: Initialisation, scene: MultiViewScene) -> Similarity:
    """The similarity from the estimate's frame to the truth, from all training points; they must agree after it."""
    truth = np.concatenate([view.camera.unproject(view.depth) for view in scene.train])  # type: ignore[union-attr, arg-type]
    points = np.concatenate(found.points)
    similarity = umeyama(points.reshape(-1, 3), truth.reshape(-1, 3))
    np.testing.assert_allclose(similarity.apply(points), truth, atol=2e-4)
    return similarity


def check_against_truth(found: Initialisation, scene: MultiViewScene) -> Similarity:
    similarity = to_truth(found, scene)
    for estimates, views in ((found.cameras, scene.train), (found.test_cameras, scene.test)):
        for estimate, view in zip(estimates, views, strict=True):
            camera = similarity.transform_camera(estimate)
            assert view.camera is not None
            np.testing.assert_allclose(camera.world_to_camera, view.camera.world_to_camera, atol=2e-4)
            np.testing.assert_allclose(camera.intrinsics, view.camera.intrinsics, rtol=1e-5)
            assert (camera.width, camera.height) == (WIDTH, HEIGHT)
    for depth, view in zip(found.test_depths, scene.test, strict=True):
        assert depth is not None
        assert depth.dtype == np.float32
        np.testing.assert_allclose(similarity.scale * depth, view.depth, rtol=1e-4)
    grid = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)
    for points, camera in zip(found.points, found.cameras, strict=True):
        assert points.dtype == np.float32
        np.testing.assert_allclose(camera.project(points)[0], grid, atol=1e-3)
    return similarity
