from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from closed_form_scene import camera_at

from bench.core.protocols import PROBE_PROTOCOLS
from bench.metrics.similarity import Similarity
from bench.probe.frame import on_grid, unit_frame
from bench.probe.measure.metrics import photo_tensor
from bench.probe.measure.poses import camera_alignment, pose_errors, pose_vectors, posed, refine_test_pose, scene_extent
from bench.probe.parameters import activated, initial_values
from bench.splat import Gaussians, pose_matrix, rasterize
from bench.types import Array, Camera, Initialisation, MultiViewScene

CPU = torch.device("cpu")


def rotation(axis: int, degrees: float) -> Array:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def turned(camera: Camera, axis: int, degrees: float, shift: tuple[float, float, float] = (0, 0, 0)) -> Camera:
    """The camera turned about its own axis and its translation shifted."""
    pose = camera.world_to_camera.copy()
    pose[:3] = rotation(axis, degrees) @ pose[:3]
    pose[:3, 3] += shift
    return replace(camera, world_to_camera=pose)


def cameras() -> list[Camera]:
    return [camera_at((1.0, 0.2, 0.0), yaw=20), camera_at((-1.0, 0.0, 0.3), yaw=-30), camera_at((0.1, 1.2, -0.2), yaw=5)]


def test_vectors_and_cameras_agree() -> None:
    for camera in cameras():
        again = posed(camera, pose_vectors([camera], CPU)[0])
        np.testing.assert_allclose(again.world_to_camera, camera.world_to_camera, atol=1e-6)


def test_scene_extent_by_hand() -> None:
    assert scene_extent([camera_at((x, 0, 0)) for x in (-1.0, 0.0, 4.0)]) == pytest.approx(1.1 * 3)
    assert scene_extent([camera_at((2.0, 1, 0))]) == 0


@pytest.mark.parametrize("count", [2, 3])
def test_a_similarity_is_no_error(count: int) -> None:
    """Also for two views, whose centres alone would leave the turn about their line open."""
    truth = cameras()[:count]
    hidden = Similarity(2.5, rotation(0, 40) @ rotation(2, 110), np.array([3.0, -2, 7]))
    moved = [hidden.transform_camera(camera) for camera in truth]
    found = camera_alignment(moved, truth)
    assert found.scale == pytest.approx(1 / 2.5)
    np.testing.assert_allclose(found.rotation, hidden.rotation.T, atol=1e-9)
    assert pose_errors(moved, truth) == pytest.approx((0, 0), abs=1e-7)


def test_rotation_error_by_hand() -> None:
    """Two cameras turned apart by 8 degrees: the mean rotation lies between them, so each is 4 off."""
    truth = [camera_at((-1.0, 0, 0)), camera_at((1.0, 0, 0))]
    estimated = [truth[0], turned(truth[1], 1, 8.0)]
    # turning about the camera's axis moves its centre too; put it back
    pose = estimated[1].world_to_camera.copy()
    pose[:3, 3] = -pose[:3, :3] @ truth[1].centre
    estimated[1] = replace(estimated[1], world_to_camera=pose)
    degrees, share = pose_errors(estimated, truth)
    assert degrees == pytest.approx(4.0)
    assert share == pytest.approx(2 * np.sin(np.radians(2.0)) / 1.1, rel=0.01)  # the centres, turned by 4 degrees


def test_translation_error_by_hand() -> None:
    """One of three centres off by 0.3 along z: the mean moves by 0.1, and least squares shrinks the whole by 2 / 2.06."""
    truth = [camera_at((x, 0, 0)) for x in (-1.0, 0.0, 1.0)]
    estimated = [truth[0], camera_at((0, 0, 0.3)), truth[2]]
    degrees, share = pose_errors(estimated, truth)
    assert degrees == pytest.approx(0, abs=1e-7)
    scale = 2 / (2 + 0.1**2 + 0.2**2 + 0.1**2)
    outer = np.hypot(1 - scale, 0.1 * scale)
    assert share == pytest.approx((2 * outer + 0.2 * scale) / 3 / 1.1)


def test_one_place_has_no_translation_error() -> None:
    truth = [camera_at((0, 0, 0)), camera_at((0, 0, 0), yaw=10)]
    assert np.isnan(pose_errors(truth, truth)[1])


@pytest.fixture(scope="module")
def opaque(tiny_scene: MultiViewScene, tiny_truth: Initialisation) -> tuple[Gaussians, Camera]:
    """The true surface as opaque Gaussians, and the held-out camera, in the probe's unit."""
    start = on_grid(unit_frame(tiny_truth).enter(tiny_truth), 24, 32)
    colours = np.stack([view.image for view in tiny_scene.train]).reshape(-1, 3) / 255
    values = initial_values(np.stack(start.points).reshape(-1, 3).astype(np.float64), colours, 0.9, CPU)
    return activated(values), start.test_cameras[0]


def _drawn(gaussians: Gaussians, camera: Camera) -> torch.Tensor:
    pose = pose_vectors([camera], CPU)[0]
    intrinsics = torch.from_numpy(camera.intrinsics).float()
    return rasterize(gaussians, pose_matrix(pose[:4], pose[4:]), intrinsics, camera.width, camera.height).rgb


def test_refinement_finds_the_true_pose(opaque: tuple[Gaussians, Camera]) -> None:
    gaussians, truth = opaque
    photo = _drawn(gaussians, truth)
    start = turned(truth, 1, 0.4, (0.005, -0.004, 0.0))
    protocol = replace(PROBE_PROTOCOLS["paper-v1"], test_pose_steps=40, test_pose_rotation_rate=3e-4)
    refined = refine_test_pose(gaussians, start, photo, torch.ones(24, 32), protocol)

    def error(camera: Camera) -> float:
        """How far, in the probe's unit, a point straight ahead is misplaced."""
        ahead = np.array([0.0, 0, 1, 1])
        return float(np.linalg.norm(camera.world_to_camera @ np.linalg.inv(truth.world_to_camera) @ ahead - ahead))

    assert error(refined.camera) < 0.5 * error(start)
    assert refined.losses.min() < 0.5 * refined.losses[0]
    kept = (_drawn(gaussians, refined.camera) - photo).abs().mean().item()
    assert kept == pytest.approx(refined.losses.min(), rel=1e-3)  # the best pose, not the last one


def test_refinement_looks_at_the_mask_only(opaque: tuple[Gaussians, Camera]) -> None:
    gaussians, camera = opaque
    photo = _drawn(gaussians, camera)
    mask = torch.zeros(24, 32)
    mask[:, :16] = 1
    protocol = replace(PROBE_PROTOCOLS["paper-v1"], test_pose_steps=3)
    spoiled = torch.where(mask[..., None] > 0, photo, 1 - photo)
    assert refine_test_pose(gaussians, camera, spoiled, mask, protocol).losses[0] == pytest.approx(0, abs=1e-6)
    nothing = refine_test_pose(gaussians, camera, photo, torch.zeros(24, 32), protocol)
    np.testing.assert_allclose(nothing.camera.world_to_camera, camera.world_to_camera, atol=1e-6)


def test_no_steps_leave_the_pose(opaque: tuple[Gaussians, Camera], tiny_scene: MultiViewScene) -> None:
    gaussians, camera = opaque
    protocol = replace(PROBE_PROTOCOLS["paper-v1"], test_pose_steps=0)
    photo = photo_tensor(tiny_scene.test[0], CPU)
    refined = refine_test_pose(gaussians, camera, photo, torch.ones(24, 32), protocol)
    np.testing.assert_allclose(refined.camera.world_to_camera, camera.world_to_camera, atol=1e-6)
