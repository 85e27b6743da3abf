"""Surface normals against analytic surfaces, and their errors against angles known beforehand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.normals import angles, normal_errors, normals_of_points, smooth
from bench.types import Array

HEIGHT, WIDTH = 48, 64


def _rays() -> Array:
    columns, rows = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH - 0.5, (np.arange(HEIGHT) + 0.5) / HEIGHT - 0.5)
    return np.stack([columns, rows, np.ones_like(rows)], axis=-1)


def _plane(normal: Array, distance: float) -> Array:
    """The points where the rays meet the plane normal . p = -distance."""
    return _rays() * (-distance / (_rays() @ normal))[..., None]


def _unit(vector: list[float]) -> Array:
    return np.array(vector) / np.linalg.norm(vector)


@pytest.mark.parametrize("normal", [_unit([0, 0, -1]), _unit([0.3, -0.8, -1]), _unit([-1, 0.2, -0.7])])
def test_a_plane_has_its_own_normal_everywhere(normal: Array) -> None:
    found = normals_of_points(_plane(normal, 3.0))
    np.testing.assert_allclose(found, np.broadcast_to(normal, (HEIGHT, WIDTH, 3)), atol=1e-12)
    assert smooth(_plane(normal, 3.0)[..., 2], 1e-9)[1:-1, 1:-1].all(), "a plane has no edge, however steep"


def test_a_sphere_has_the_directions_from_its_centre() -> None:
    centre, radius = np.array([0.1, -0.2, 5.0]), 3.5
    rays = _rays()
    along, inside = rays @ centre, (rays**2).sum(axis=-1)
    points = rays * ((along - np.sqrt(along**2 - inside * (centre @ centre - radius**2))) / inside)[..., None]
    truth = (points - centre) / radius
    found = normals_of_points(points)[1:-1, 1:-1]
    errors = angles(found.reshape(-1, 3), truth[1:-1, 1:-1].reshape(-1, 3))
    assert errors.max() < 0.1  # a second-order difference over steps of 1/64
    assert errors.max() > 0


def _by_four_corners(points: Array, row: int, column: int) -> Array:
    """The sum of the cross products of neighbouring differences, one after the other round the pixel."""
    around = [(-1, 0), (0, -1), (1, 0), (0, 1)]
    sides = [points[row + i, column + j] - points[row, column] for i, j in around]
    total = sum(np.cross(sides[k], sides[(k + 1) % 4]) for k in range(4))
    return np.asarray(total / np.linalg.norm(total))


def test_it_is_the_sum_over_the_four_corners_round_a_pixel() -> None:
    points = _rays() * (3 + np.random.default_rng(0).random((HEIGHT, WIDTH, 1)))
    found = normals_of_points(points)
    for row, column in itertools.product((1, 7, HEIGHT - 2), (1, 30, WIDTH - 2)):
        np.testing.assert_allclose(found[row, column], _by_four_corners(points, row, column), atol=1e-10)


@given(st.floats(0.01, 100), st.tuples(*[st.floats(-10, 10)] * 3), st.integers(0, 2**16))
def test_neither_scale_nor_shift_changes_it(scale: float, shift: tuple[float, float, float], seed: int) -> None:
    points = _rays()[:8, :9] * (3 + np.random.default_rng(seed).random((8, 9, 1)))
    moved = normals_of_points(scale * points + np.array(shift))
    np.testing.assert_allclose(moved, normals_of_points(points), atol=1e-6)


def test_a_step_is_an_edge_and_so_is_what_is_not_known() -> None:
    depth = np.full((7, 9), 2.0)
    depth[:, 5:] = 2.5
    depth[3, 1] = np.nan
    depth[5, 7] = np.inf
    found = smooth(depth, 0.05)
    expected = np.zeros((7, 9), bool)
    expected[1:-1, 1:-1] = True
    expected[:, 4:6] = False
    for row, column in ((3, 1), (5, 7)):
        for i, j in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
            expected[row + i, column + j] = False
    np.testing.assert_array_equal(found, expected)
    assert smooth(depth, 0.3)[1, 4], "a fifth of the inverse depth is no jump at 30 %"
    assert not smooth(-depth, 0.3).any()


def test_angles_are_those_turned_by() -> None:
    axis = np.array([0.0, 0.0, -1.0])
    for degrees in (0.0, 1e-7, 11.25, 90.0, 179.9999, 180.0):
        turned = np.array([np.sin(np.radians(degrees)), 0, -np.cos(np.radians(degrees))])
        assert angles(7.5 * turned[None], axis[None])[0] == pytest.approx(degrees, rel=1e-6, abs=1e-12)
    none = angles(np.array([[0.0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 0]]), np.broadcast_to(axis, (3, 3)))
    assert none.tolist() == [180.0] * 3, "no direction is no inlier"


def test_mean_median_and_shares_by_hand() -> None:
    errors = np.array([0.0, 11.0, 11.25, 20.0, 25.0, 29.0, 30.0, 100.0])
    assert normal_errors(errors) == pytest.approx((226.25 / 8, 22.5, 2 / 8, 4 / 8, 6 / 8))
