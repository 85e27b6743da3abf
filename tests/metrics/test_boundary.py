from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.boundary import JUMPS, boundary_f1

ALL = np.ones((3, 5), bool)


def steps(*columns: float) -> np.ndarray:
    return np.tile(columns, (3, 1)).astype(float)


def test_the_same_step_has_f1_one_and_another_place_zero() -> None:
    truth = steps(1, 1, 2, 2, 2)
    assert boundary_f1(truth * 7, truth, ALL) == pytest.approx(1)
    assert boundary_f1(steps(1, 1, 1, 2, 2), truth, ALL) == 0
    assert boundary_f1(steps(1, 1, 1, 1, 1), truth, ALL) == 0


def test_a_smaller_step_counts_at_the_thresholds_it_passes() -> None:
    # A jump of 15 % passes the thresholds 5, 7.2, 9.4, 11.7, 13.9 %: five of ten, each with its own weight.
    found = boundary_f1(steps(1, 1, 1.15, 1.15, 1.15), steps(1, 1, 1.4, 1.4, 1.4), ALL)
    assert found == pytest.approx(sum(JUMPS[:5]) / sum(JUMPS))


def test_two_of_three_edges_found_and_one_invented() -> None:
    # Truth jumps up at columns 1|2 and 4|5, the prediction at 4|5 and 6|7; each is one of two: F1 = 1/2 at every threshold.
    truth, prediction = steps(1, 1, 2, 2, 2, 4, 4, 4, 4), steps(1, 1, 1, 1, 1, 2, 2, 4, 4)
    assert boundary_f1(prediction, truth, np.ones((3, 9), bool)) == pytest.approx(0.5)


def test_pairs_with_an_unknown_pixel_do_not_count() -> None:
    truth, valid = steps(1, 1, 2, 2, 2), ALL.copy()
    valid[:, 2] = False
    broken = truth.copy()
    broken[:, 2] = np.nan
    assert boundary_f1(broken, broken, valid) == 0  # the only edge lies beside an unknown pixel
    assert boundary_f1(truth, truth, ALL) == 1


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        boundary_f1(np.ones((3, 4)), np.ones((3, 5)), ALL)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_agrees_with_counting_every_pair(seed: int, radius: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (9, 10)
    truth = rng.choice([1.0, 1.07, 1.18, 1.3], shape)
    prediction = np.where(rng.random(shape) < 0.7, truth, rng.choice([1.0, 1.07, -1.0, 0.0], shape))
    valid = rng.random(shape) < 0.85
    scores = []
    for jump in JUMPS:
        both = in_truth = in_prediction = 0
        for i in range(radius, shape[0] - radius):
            for j in range(radius, shape[1] - radius):
                for di in range(-radius, radius + 1):
                    for dj in range(-radius, radius + 1):
                        if di * di + dj * dj > radius * radius or not (valid[i, j] and valid[i + di, j + dj]):
                            continue
                        with np.errstate(divide="ignore", invalid="ignore"):
                            a = truth[i + di, j + dj] / truth[i, j] > 1 + jump
                            b = prediction[i + di, j + dj] / prediction[i, j] > 1 + jump
                        both, in_truth, in_prediction = both + (a and b), in_truth + a, in_prediction + b
        precision, recall = both / max(in_prediction, 1), both / max(in_truth, 1)
        scores.append(2 * precision * recall / max(precision + recall, 1e-12))
    assert boundary_f1(prediction, truth, valid, radius) == pytest.approx(np.average(scores, weights=JUMPS), abs=1e-12)
