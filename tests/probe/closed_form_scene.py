"""Scenes whose geometry is known in closed form: a textured slanted wall behind a ball."""

from __future__ import annotations

import numpy as np

from bench.types import Array, Camera, Initialisation, MultiViewScene, View

WALL_POINT, WALL_NORMAL = np.array([0.0, 0.0, 3.0]), np.array([0.3, 0.1, -1.0])
BALL_CENTRE, BALL_RADIUS = np.array([0.15, 0.1, 2.0]), 0.45


def camera_at(centre: tuple[float, float, float], height: int = 24, width: int = 32, yaw: float = 0.0) -> Camera:
    """Looks along z, turned by `yaw` degrees about the vertical axis."""
    angle = np.radians(yaw)
    rotation = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ np.asarray(centre)
    intrinsics = np.array([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1.0]])
    return Camera(intrinsics, pose, width, height)


def rendered(name: str, camera: Camera) -> View:
    """The photo and the exact depth that a camera sees."""
    rays = camera.unproject(np.ones((camera.height, camera.width))) - camera.centre  # one unit deep
    depth = (WALL_POINT - camera.centre) @ WALL_NORMAL / (rays @ WALL_NORMAL)
    squared, half = (rays**2).sum(-1), rays @ (camera.centre - BALL_CENTRE)
    inside = half**2 - squared * (((camera.centre - BALL_CENTRE) ** 2).sum() - BALL_RADIUS**2)
    hit = inside > 0
    depth = np.where(hit, (-half - np.sqrt(np.maximum(inside, 0))) / squared, depth)
    x, y, z = np.moveaxis(camera.centre + rays * depth[..., None], -1, 0)
    waves = [np.sin(4 * x + 1) * np.cos(3 * y), np.sin(3 * y + 2 * z), np.cos(5 * x - 2 * y)]
    colour = 0.5 + 0.3 * np.stack(waves, axis=-1) + np.where(hit, 0.15, -0.1)[..., None]
    return View(name, np.rint(colour.clip(0, 1) * 255).astype(np.uint8), camera, depth.astype(np.float32))


def truth(scene: MultiViewScene) -> Initialisation:
    """The initialisation that knows everything."""

    def points(view: View) -> Array:
        assert view.camera is not None
        return view.camera.unproject(view.depth).astype(np.float32)

    return Initialisation(
        points=tuple(points(view) for view in scene.train),
        masks=tuple(np.ones(view.image.shape[:2], bool) for view in scene.train),
        cameras=tuple(view.camera for view in scene.train),
        test_cameras=tuple(view.camera for view in scene.test),
        test_depths=tuple(view.depth for view in scene.test),
    )
