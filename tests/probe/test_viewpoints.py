"""The gap between held-out and training views, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from closed_form_scene import camera_at

from bench.metrics.similarity import Similarity
from bench.probe.measure.viewpoints import viewpoint_gaps

#: The middle of these is (0, 0, 5), whatever the far one does.
POINTS = np.array([[0.0, 0, 4.9], [0, 0, 5], [0, 0, 5.1], [-0.1, 0.1, 5], [0.1, -0.1, 1000]])


def test_the_nearest_training_view_counts() -> None:
    training = [camera_at((0.0, 0, 0)), camera_at((5.0, 0, 5))]  # a quarter turn about the middle
    held_out = [camera_at((0.0, 0, -5)), camera_at((5 * np.sin(np.radians(30)), 0, 5 - 5 * np.cos(np.radians(30))))]
    behind, between = viewpoint_gaps(held_out, training, POINTS)
    extent = 1.1 * np.hypot(5, 5) / 2
    assert behind.angle == pytest.approx(0, abs=1e-9)
    assert behind.distance == pytest.approx(5 / extent)
    assert between.angle == pytest.approx(30)
    assert between.distance == pytest.approx(2 * 5 * np.sin(np.radians(15)) / extent)


def test_a_similarity_changes_nothing_and_what_is_not_defined_is_nan() -> None:
    training = [camera_at((0.0, 0.2, 0)), camera_at((2.0, 0, 1), yaw=-20)]
    held_out = [camera_at((1.0, 0.5, -0.5), yaw=10)]
    (gap,) = viewpoint_gaps(held_out, training, POINTS)
    moved = Similarity(3.0, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([1.0, 2, 3]))
    cameras = [[moved.transform_camera(camera) for camera in each] for each in (held_out, training)]
    (again,) = viewpoint_gaps(*cameras, moved.apply(POINTS))
    assert (again.angle, again.distance) == pytest.approx((gap.angle, gap.distance))
    (single,) = viewpoint_gaps(held_out, training[:1], POINTS)
    assert np.isnan(single.distance)
    assert 0 < single.angle < 90
    (inside,) = viewpoint_gaps([camera_at((0.0, 0, 5))], training, POINTS)
    assert np.isnan(inside.angle)
