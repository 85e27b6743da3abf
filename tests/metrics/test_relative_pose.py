"""Relative poses: hand-worked pairs, and what changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from bench.metrics.relative_pose import auc, pair_errors, rotation_angle
from bench.types import Array


def _turn(axis: int, degrees: float) -> Array:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def _pose(centre: tuple[float, float, float], rotation: Array | None = None) -> Array:
    """World to camera."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if rotation is None else rotation
    matrix[:3, 3] = -matrix[:3, :3] @ centre
    return matrix


def test_three_cameras_by_hand() -> None:
    """True cameras look the same way from (0, 0), (1, 0) and (0, 1) in the plane of x and y. The estimate turns the third
    about z by 10 degrees, and puts it at (-1, 0): a right angle off as seen from the first, 45 degrees as seen from the
    second, whose true direction is the diagonal."""
    truth = np.stack([_pose((0, 0, 0)), _pose((1, 0, 0)), _pose((0, 1, 0))])
    estimated = np.stack([_pose((0, 0, 0)), _pose((2, 0, 0)), _pose((-1, 0, 0), _turn(2, 10))])
    found = pair_errors(estimated, truth)
    np.testing.assert_allclose(found, [[0, 0], [10, 90], [10, 45]], atol=1e-9)


def test_what_a_similarity_of_either_world_does_is_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = np.stack([_pose(tuple(rng.normal(size=3)), _turn(k % 3, 30 * k)) for k in range(5)])
    estimated = np.stack([_pose(tuple(rng.normal(size=3)), _turn((k + 1) % 3, 20 * k)) for k in range(5)])
    before = pair_errors(estimated, truth)
    assert before.shape == (10, 2)
    world, scale, shift = _turn(0, 40) @ _turn(1, 70), 7.5, np.array([3.0, -2, 1])
    moved = estimated.copy()
    moved[:, :3, :3] = estimated[:, :3, :3] @ world.T
    centres = np.stack([-pose[:3, :3].T @ pose[:3, 3] for pose in estimated])
    moved[:, :3, 3] = [-pose[:3, :3] @ (scale * world @ centre + shift) for pose, centre in zip(moved, centres, strict=True)]
    np.testing.assert_allclose(pair_errors(moved, truth), before, atol=1e-6)
    np.testing.assert_allclose(pair_errors(truth, truth), 0, atol=1e-5)


def test_the_other_way_round_is_the_same_line_and_no_baseline_has_none() -> None:
    truth = np.stack([_pose((0, 0, 0)), _pose((1, 0, 0))])
    assert pair_errors(np.stack([_pose((0, 0, 0)), _pose((-3, 0, 0))]), truth).tolist() == [[0, 0]]
    assert pair_errors(np.stack([_pose((2, 0, 0))] * 2), truth).tolist() == [[0, 90]]
    assert pair_errors(truth, np.stack([_pose((2, 0, 0), _turn(0, 7))] * 2)) == pytest.approx(np.array([[0, 0]]), abs=1e-9)
    assert np.isnan(auc(pair_errors(truth[:1], truth[:1]), 5))


def test_area_by_hand() -> None:
    """Larger errors 0.5, 2.5, 4 and 40 degrees. Below 1, 2, 3, 4, 5 degrees: 1, 1, 2, 2, 3 of 4 pairs."""
    errors = np.array([[0.5, 0.1], [1, 2.5], [4, 0], [3, 40]])
    assert auc(errors, 5) == pytest.approx((1 + 1 + 2 + 2 + 3) / 20)
    assert auc(errors, 15) == pytest.approx((1 + 1 + 2 + 2 + 11 * 3) / 60)
    assert auc(errors, 30) == pytest.approx((1 + 1 + 2 + 2 + 26 * 3) / 120)
    assert auc(np.zeros((3, 2)), 5) == 1
    assert auc(np.full((3, 2), 31.0), 30) == 0


def test_the_area_is_the_mean_of_the_histograms_running_sum() -> None:
    """The form in which the evaluation that is cited computes it."""
    errors = np.random.default_rng(1).exponential(8, (200, 2))
    for degrees in (5, 15, 30):
        counts, _ = np.histogram(errors.max(axis=1), bins=np.arange(degrees + 1))
        assert auc(errors, degrees) == pytest.approx(np.cumsum(counts / len(errors)).mean())


def test_angles_of_rotations() -> None:
    for degrees in (0.0, 1e-6, 45.0, 179.0, 180.0):
        assert rotation_angle(_turn(1, degrees)) == pytest.approx(degrees, abs=1e-9)
