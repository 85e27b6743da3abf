"""Ways of a camera through a scene, against rings, lines and points that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.core.scenes import Array, Camera
from bench.splat import Gaussians, SplatError, interpolated, looked_at, orbit

INTRINSICS = np.array([[40.0, 0, 16], [0, 40, 12], [0, 0, 1]])


def camera(place: Array, rotation: Array | None = None) -> Camera:
    """A camera at a place; rotation: to the world."""
    turned = np.eye(3) if rotation is None else rotation
    pose = np.eye(4)
    pose[:3, :3] = turned.T
    pose[:3, 3] = -turned.T @ np.asarray(place, float)
    return Camera(INTRINSICS, pose, 32, 24)


def ring(count: int, radius: float, height: float = 0.0, first: float = 0.3) -> list[Camera]:
    """Cameras in a ring about the y axis, which points down, all looking at the origin's height."""
    found = []
    for angle in first + 2 * math.pi * np.arange(count) / count:
        ahead = -np.array([math.cos(angle), 0, math.sin(angle)])
        right = np.cross([0.0, 1, 0], ahead)
        found.append(camera(np.array([0, height, 0]) - radius * ahead, np.stack([right, [0, 1, 0], ahead], axis=1)))
    return found


@given(turn=st.floats(-3, 3), shift=st.floats(-5, 5), stops=st.integers(2, 5), between=st.integers(1, 6))
def test_interpolation_passes_every_camera_at_one_speed(turn: float, shift: float, stops: int, between: int) -> None:
    """Along a screw about one axis the way between two cameras is known."""
    axis = np.array([0.6, 0.0, 0.8])

    def at(time: float) -> Camera:
        return camera(np.array([1.0, -2, 0.5]) * shift * time, Rotation.from_rotvec(axis * turn * time).as_matrix())

    found = interpolated([at(stop) for stop in range(stops)], (stops - 1) * between + 1)
    for number, each in enumerate(found):
        np.testing.assert_allclose(each.world_to_camera, at(number / between).world_to_camera, atol=1e-9)
        np.testing.assert_allclose(each.intrinsics, INTRINSICS)
        assert (each.width, each.height) == (32, 24)


def test_cameras_of_other_sizes_take_the_size_of_the_first() -> None:
    found = interpolated([camera(np.zeros(3)), camera(np.ones(3)).resized(64, 48)], 3)
    assert {(each.width, each.height) for each in found} == {(32, 24)}
    np.testing.assert_allclose([each.intrinsics for each in found], [INTRINSICS] * 3)


@pytest.mark.parametrize(("cameras", "count"), [(1, 10), (2, 1)])
def test_a_way_takes_two_ends(cameras: int, count: int) -> None:
    with pytest.raises(SplatError, match="takes two"):
        interpolated([camera(np.full(3, float(i))) for i in range(cameras)], count)


@pytest.mark.parametrize("count", [3, 8])
def test_a_ring_of_cameras_gives_its_ring(count: int) -> None:
    cameras = ring(count, 2.0, height=0.5)
    found = orbit(cameras, np.array([0.0, 0.5, 0]), 12)
    np.testing.assert_allclose([np.linalg.norm(each.centre - [0, 0.5, 0]) for each in found], 2.0)
    np.testing.assert_allclose([each.centre[1] for each in found], 0.5)
    np.testing.assert_allclose(found[0].world_to_camera, cameras[0].world_to_camera, atol=1e-9)
    for each, following in zip(found, [*found[1:], found[0]], strict=True):
        pixel, depth = each.project(np.array([0.0, 0.5, 0]))
        np.testing.assert_allclose([*pixel, depth], [16, 12, 2])
        np.testing.assert_allclose(each.world_to_camera[:3, :3] @ [0, 1, 0], [0, 1, 0], atol=1e-9)  # upright
        assert np.linalg.norm(each.centre - following.centre) == pytest.approx(4 * math.sin(math.pi / 12))


def test_two_cameras_in_front_of_a_scene_give_a_way_between_them() -> None:
    """Nothing is shown from farther away than a sqrt(2)th beyond the outermost photo."""
    target = np.array([0.0, 0, 4])
    found = orbit([camera(np.array([x, 0.0, 0])) for x in (-1.0, 1.0)], target, 40)
    places = np.array([each.centre for each in found])
    np.testing.assert_allclose(places[:, 1:], 0, atol=1e-9)
    assert np.abs(places[:, 0]).max() == pytest.approx(math.sqrt(2))
    for each in found:
        np.testing.assert_allclose(each.project(target)[0], [16, 12], atol=1e-9)
        assert np.linalg.det(each.world_to_camera[:3, :3]) == pytest.approx(1)


def test_cameras_in_one_place_have_no_orbit() -> None:
    with pytest.raises(SplatError, match="stand in one place"):
        orbit([camera(np.ones(3))] * 3, np.array([0.0, 0, 4]), 10)


def test_what_cameras_look_at_is_what_they_see() -> None:
    ball = Gaussians(
        torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.2), torch.ones(1), torch.zeros(1, 1, 3)
    )
    np.testing.assert_allclose(looked_at(ball, ring(5, 3.0)), np.zeros(3), atol=1e-5)
    with pytest.raises(SplatError, match="nothing to turn around"):
        looked_at(ball, [camera(np.array([0.0, 0, 5]))])
