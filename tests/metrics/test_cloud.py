from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.metrics import cloud

finite = st.floats(-100, 100, width=32)
clouds = st.integers(1, 12).flatmap(lambda n: arrays(np.float64, (n, 3), elements=finite))


def test_by_hand() -> None:
    truth = np.array([[0.0, 0, 0], [4, 0, 0]])
    prediction = np.array([[0.0, 1, 0], [1, 0, 0]])
    assert cloud.accuracy(prediction, truth) == pytest.approx(1.0)  # both at 1 from the origin
    assert cloud.completeness(prediction, truth) == pytest.approx((1 + 3) / 2)
    assert cloud.distance(prediction, truth) == pytest.approx((1 + 3) / 2)


@settings(max_examples=40)
@given(clouds, clouds)
def test_nearest_neighbours_against_all_pairs(prediction: np.ndarray, truth: np.ndarray) -> None:
    pairs = np.linalg.norm(prediction[:, None] - truth[None], axis=-1)
    assert cloud.accuracy(prediction, truth) == pytest.approx(pairs.min(axis=1).mean())
    assert cloud.completeness(prediction, truth) == pytest.approx(pairs.min(axis=0).mean())


@settings(max_examples=20)
@given(clouds)
def test_distance_bounds_accuracy(points: np.ndarray) -> None:
    moved = points + np.array([0.5, -1.0, 2.0])
    assert cloud.distance(moved, points) == pytest.approx(np.linalg.norm([0.5, -1.0, 2.0]))
    assert cloud.accuracy(moved, points) <= cloud.distance(moved, points) + 1e-9


@pytest.mark.parametrize("function", [cloud.accuracy, cloud.completeness, cloud.distance])
def test_bad_clouds_are_refused(function) -> None:
    good = np.zeros((2, 3))
    with pytest.raises(ValueError, match="at least one point"):
        function(np.zeros((0, 3)), good)
    with pytest.raises(ValueError, match="NaN"):
        function(good, np.array([[0, 0, np.nan], [0, 0, 0]]))


def test_distance_needs_pairs() -> None:
    with pytest.raises(ValueError, match="one shape"):
        cloud.distance(np.zeros((2, 3)), np.zeros((3, 3)))
