from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.depth import depth_errors, local_point_errors, norms, point_errors


def test_depth_errors_worked_by_hand() -> None:
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    prediction = np.array([1.2, 2.6, 4.0, 10.0])  # ratios 1.2, 1.3, 1, 1.25: the last is not below 1.25
    rel, delta = depth_errors(prediction, truth)
    assert rel == pytest.approx((0.2 + 0.3 + 0.0 + 0.25) / 4)
    assert delta == 0.5


def test_a_depth_of_zero_or_behind_the_camera_is_no_inlier() -> None:
    assert depth_errors(np.array([-1.0, 0.0, -5.0, 1.0]), np.ones(4)) == ((2 + 1 + 6 + 0) / 4, 0.25)


def test_point_errors_worked_by_hand() -> None:
    truth = np.array([[3.0, 0, 4], [0, 0, 2], [0, 0, 10]])  # lengths 5, 2, 10
    prediction = np.array(
        [[3.0, 1, 4], [0, 0, 1.55], [0, 0, 12.4]]
    )  # errors 1, 0.45, 2.4; the shorter of each pair: 5, 1.55, 10
    rel, delta = point_errors(prediction, truth)
    assert rel == pytest.approx((1 / 5 + 0.45 / 2 + 2.4 / 10) / 3)
    assert delta == pytest.approx(2 / 3)  # 1 < 1.25, 0.45 > 0.3875, 2.4 < 2.5
    assert point_errors(prediction, truth, norms(truth)) == (rel, delta)


def test_local_point_errors_are_shares_of_the_diameter() -> None:
    truth = np.zeros((4, 3))
    prediction = np.array([[0.0, 0, 0], [0.3, 0.4, 0], [0, 0, 1.0], [0, 0, -0.2]])
    rel, delta = local_point_errors(prediction, truth, diameter=2.0)
    assert rel == pytest.approx((0 + 0.25 + 0.5 + 0.1) / 4)
    assert delta == 0.5  # 0.25 is not below 0.25


def test_a_nan_is_never_averaged_away() -> None:
    truth = np.ones((3, 3))
    prediction = np.array([[1.0, 1, 1], [1, np.nan, 1], [1, 1, 1]])
    assert all(map(math.isnan, point_errors(prediction, truth)))
    assert all(map(math.isnan, depth_errors(prediction[:, 1], truth[:, 1])))
    assert all(map(math.isnan, local_point_errors(prediction, truth, 1.0)))
    assert all(map(math.isnan, depth_errors(np.empty(0), np.empty(0))))


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_errors_do_not_depend_on_the_unit_of_length(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = rng.lognormal(size=(20, 3)), rng.lognormal(size=(20, 3))
    assert point_errors(prediction * unit, truth * unit) == pytest.approx(point_errors(prediction, truth))
    depths = prediction[:, 0], truth[:, 0]
    assert depth_errors(depths[0] * unit, depths[1] * unit) == pytest.approx(depth_errors(*depths))
