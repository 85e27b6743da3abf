"""The blocks of surface normals: for which predictions they exist, and what they say of a tilt that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.geometry.camera import points_from_depth
from bench.geometry.evaluate import evaluate_sample
from bench.geometry.normals import NORMAL_METRICS, OF_POINTS, PREDICTED
from bench.types import Array, Measurement, MonocularSample, Prediction, UserError

INTRINSICS = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
PROTOCOL = GEOMETRY_PROTOCOLS["moge-v1"]


def _turn(degrees: float) -> Array:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _wall(degrees: float = 0.0) -> Array:
    """Points (24, 32, 3) of a wall three metres away, turned about the camera's x-axis."""
    rays = points_from_depth(np.ones((24, 32)), INTRINSICS)
    normal = _turn(degrees) @ [0, 0, -1]
    return np.asarray(rays * (-3 / (rays @ normal))[..., None])


def _sample(**changes: Any) -> MonocularSample:
    depth = _wall()[..., 2].astype(np.float32)
    sample = MonocularSample("set", "wall", np.zeros((24, 32, 3), np.uint8), depth, INTRINSICS, sharp_boundaries=True)
    return replace(sample, **changes)


def _found(prediction: Prediction, sample: MonocularSample | None = None) -> dict[str, list[Measurement]]:
    rows = evaluate_sample(sample or _sample(), prediction, PROTOCOL)
    names = [metric.name for metric in NORMAL_METRICS]
    blocks = {block: [row for row in rows if row.alignment == block] for block in (OF_POINTS, PREDICTED)}
    assert all([row.metric for row in found] in ([], names) for found in blocks.values())
    return {block: found for block, found in blocks.items() if found}


@pytest.mark.parametrize("kind", ["points_metric", "points_scale_invariant", "points_affine_invariant"])
def test_a_wall_that_is_turned_is_off_by_its_turn_whatever_its_scale_and_shift(kind: str) -> None:
    points = (0.2 * _wall(20) + [1, -2, 3]).astype(np.float32)
    found = _found(Prediction(**{kind: points}))
    assert list(found) == [OF_POINTS]
    values = [row.value for row in found[OF_POINTS]]
    assert values == pytest.approx([20, 20, 0, 1, 1], abs=1e-3)
    assert [(row.unit, row.status, row.view) for row in found[OF_POINTS][1:3]] == [
        ("degree", "ok", "wall"),
        ("share", "ok", "wall"),
    ]


def test_normals_that_a_model_predicts_are_a_block_of_their_own() -> None:
    normal = np.broadcast_to(_turn(12) @ [0, 0, -1], (24, 32, 3)).astype(np.float32)
    found = _found(Prediction(points_metric=_wall(), normal=5 * normal))
    assert [row.value for row in found[OF_POINTS]] == pytest.approx([0, 0, 1, 1, 1], abs=1e-3)
    assert [row.value for row in found[PREDICTED]] == pytest.approx([12, 12, 0, 1, 1], abs=1e-3)
    assert list(_found(Prediction(normal=normal))) == [PREDICTED]


def test_what_has_no_normals_has_no_rows() -> None:
    depth = _wall()[..., 2]
    for kind in ("depth_metric", "depth_scale_invariant", "depth_affine_invariant", "disparity_affine_invariant"):
        assert _found(Prediction(**{kind: depth})) == {}
    assert _found(Prediction(points_metric=_wall()), _sample(sharp_boundaries=False)) == {}


def test_what_cannot_be_measured_says_why() -> None:
    broken = _wall()
    broken[5, 5] = np.nan
    rows = _found(Prediction(points_metric=broken))[OF_POINTS]
    assert {(row.status, row.note) for row in rows} == {("invalid", "the prediction is not finite at 1 of 768 valid pixels")}
    sparse = np.full((24, 32), np.nan, np.float32)
    sparse[::2, ::2] = 3.0
    rows = _found(Prediction(points_metric=_wall()), _sample(depth=sparse))[OF_POINTS]
    assert {row.status for row in rows} == {"unavailable"}
    with pytest.raises(UserError, match=r"predicted normal has the shape \(24, 32\)"):
        _found(Prediction(normal=np.zeros((24, 32))))


def test_a_point_map_without_extent_has_no_inlier() -> None:
    rows = _found(Prediction(points_metric=np.ones((24, 32, 3))))[OF_POINTS]
    assert [row.value for row in rows] == [180.0, 180.0, 0, 0, 0]
