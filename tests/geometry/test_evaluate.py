from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.geometry.camera import intrinsics_from_fov, points_from_depth
from bench.geometry.evaluate import aligned_prediction, evaluate_estimator, evaluate_sample
from bench.geometry.fov import crop_centre, fov_crops
from bench.metrics.catalogue import NORMALS_WITHIN
from bench.types import Card, GeometryEstimator, Measurement, MonocularSample, Prediction, UserError

OFFICIAL, EXACT = GEOMETRY_PROTOCOLS["moge-v1"], GEOMETRY_PROTOCOLS["exact-v1"]
KINDS = {
    "points_metric": ["points_metric", "points_scale_invariant", "points_affine_invariant", "local_points"],
    "points_scale_invariant": ["points_scale_invariant", "points_affine_invariant", "local_points"],
    "points_affine_invariant": ["points_affine_invariant", "local_points"],
    "depth_metric": [
        "depth_metric",
        "depth_scale_invariant",
        "depth_affine_invariant",
        "disparity_affine_invariant",
        "boundary",
    ],
    "depth_scale_invariant": ["depth_scale_invariant", "depth_affine_invariant", "disparity_affine_invariant", "boundary"],
    "depth_affine_invariant": ["depth_affine_invariant", "boundary"],
    "disparity_affine_invariant": ["disparity_affine_invariant", "boundary"],
    "intrinsics": ["fov"],
}


def scene(height: int = 24, width: int = 32, seed: int = 0) -> MonocularSample:
    """A room of two depths with texture, a hole of unknown depth, some sky, and two segments."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(3, 3.1, (height, width)).astype(np.float32)
    depth[:, width // 2 :] += 3
    depth[4:6, 4:6], depth[0] = np.nan, np.inf
    segmentation = np.where(np.arange(width) < width // 2, 1, 2) * np.ones((height, 1), int)
    return MonocularSample(
        "room",
        "a",
        np.zeros((height, width, 3), np.uint8),
        depth,
        intrinsics_from_fov(60, width / height),
        segmentation.astype(np.int32),
        {1: "near wall", 2: "far wall"},
        sharp_boundaries=True,
    )


def finite_depth(sample: MonocularSample) -> np.ndarray:
    """The true depth, and 5 where it is unknown or sky: a prediction has a value everywhere."""
    return np.where(np.isfinite(sample.depth), sample.depth, 5.0)


def field(sample: MonocularSample, kind: str) -> np.ndarray:
    """A perfect prediction of one kind: scaled and shifted as far as the kind leaves open."""
    depth = finite_depth(sample)
    points = points_from_depth(depth, sample.intrinsics)
    return {
        "points_metric": points,
        "points_scale_invariant": 4 * points,
        "points_affine_invariant": 0.2 * points + [1, -2, 3],
        "depth_metric": depth,
        "depth_scale_invariant": 0.5 * depth,
        "depth_affine_invariant": 3 * depth - 4,
        "disparity_affine_invariant": 2 / depth + 1,
        "intrinsics": sample.intrinsics,
    }[kind]


def table(rows: list[Measurement]) -> dict[tuple[str, str], float]:
    return {(row.alignment, row.metric): row.value for row in rows}


@pytest.mark.parametrize("protocol", [OFFICIAL, EXACT], ids=lambda p: p.name)
@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_has_no_error_in_any_block_its_kind_allows(kind: str, protocol) -> None:
    sample = scene()
    rows = evaluate_sample(sample, Prediction(**{kind: field(sample, kind)}), protocol)
    with_normals = ["normals"] if kind.startswith("points") else []
    assert list(dict.fromkeys(row.alignment for row in rows)) == [*KINDS[kind], *with_normals]
    for row in rows:
        perfect = 1.0 if row.metric in {"delta", "boundary_f1", *NORMALS_WITHIN} else 0.0
        assert (row.status, row.note, row.view) == ("ok", "", "a")
        assert row.value == pytest.approx(perfect, abs=1e-6), (row.alignment, row.metric)
    assert {row.higher_is_better for row in rows if row.metric == "rel"} <= {False}


def test_the_blocks_take_the_field_of_their_own_kind_first() -> None:
    """A wrong metric depth beside a right affine one: each block reads its own field."""
    sample = scene()
    wrong = np.random.default_rng(0).uniform(1, 20, sample.depth.shape)
    found = table(
        evaluate_sample(sample, Prediction(depth_metric=wrong, depth_affine_invariant=finite_depth(sample)), EXACT)
    )
    assert found["depth_metric", "rel"] > 0.3
    assert found["depth_scale_invariant", "rel"] > 0.1
    assert found["depth_affine_invariant", "rel"] == pytest.approx(0, abs=1e-9)
    assert found["disparity_affine_invariant", "rel"] > 0.1


def test_errors_worked_by_hand() -> None:
    """Six pixels: most are exactly twice too near, so the L1 fit is exactly 2 and only two pixels keep an error."""
    depth = np.array([[2.0, 4, 4, 8, 2, 4]], np.float32)
    prediction = np.array([[1.0, 2, 2, 4, 1.3, 2.4]])
    intrinsics = np.array([[1e6, 0, 0.5], [0, 1e6, 0.5], [0, 0, 1]])  # so narrow that a point is its depth
    sample = MonocularSample("hand", "a", np.zeros((1, 6, 3), np.uint8), depth, intrinsics, metric=True)
    found = table(evaluate_sample(sample, Prediction(depth_metric=prediction), EXACT))
    assert found["depth_metric", "rel"] == pytest.approx((4 * 0.5 + 0.7 / 2 + 1.6 / 4) / 6)
    assert found["depth_metric", "delta"] == 0
    assert found["depth_scale_invariant", "rel"] == pytest.approx((0.6 / 2 + 0.8 / 4) / 6)
    assert found["depth_scale_invariant", "delta"] == pytest.approx(5 / 6)  # ratios 1.3 and 1.2
    points = prediction[..., None] * [0, 0, 1.0]
    found = table(evaluate_sample(sample, Prediction(points_metric=points), EXACT))
    assert found["points_scale_invariant", "rel"] == pytest.approx((0.6 / 2 + 0.8 / 4) / 6, rel=1e-4)
    assert found["points_scale_invariant", "delta"] == pytest.approx(5 / 6)  # 0.6 > 0.25 * 2, 0.8 < 0.25 * 4
    # Metric points: a shift only; the gaps 1 2 2 4 0.7 1.6 with the weights 1/z have the median 1.
    errors = np.abs(np.array([1, 2, 2, 4, 0.7, 1.6]) - 1) / depth[0]
    assert found["points_metric", "rel"] == pytest.approx(errors.mean(), rel=1e-4)


def test_disparities_are_fitted_by_least_squares_and_clamped_at_the_farthest_truth() -> None:
    depth = np.array([[1.0, 2, 4, 5]], np.float32)
    disparity = np.array([[1.0, 0.5, 0.25, -0.9]])
    sample = MonocularSample("hand", "a", np.zeros((1, 4, 3), np.uint8), depth, np.diag([1.0, 1, 1]))
    found = table(evaluate_sample(sample, Prediction(disparity_affine_invariant=disparity), OFFICIAL))
    slope, offset = np.polyfit(disparity[0], 1 / depth[0], 1)
    fitted = 1 / np.maximum(slope * disparity[0] + offset, 1 / 5)
    assert found["disparity_affine_invariant", "rel"] == pytest.approx(np.mean(np.abs(fitted - depth[0]) / depth[0]))


def test_each_segment_is_aligned_by_itself() -> None:
    """Two segments, scaled and moved apart; in the first one point of 12 is off by half the segment's diameter."""
    sample = scene()
    points = points_from_depth(finite_depth(sample), sample.intrinsics)
    near = sample.segmentation == 1
    moved = np.where(near[..., None], 2 * points + 1, 0.3 * points - [4, 0, 9])
    found = table(evaluate_sample(sample, Prediction(points_affine_invariant=moved), EXACT))
    assert found["local_points", "rel"] == pytest.approx(0, abs=1e-9)
    assert found["points_affine_invariant", "rel"] > 0.05

    truth = points[near & np.isfinite(sample.depth)]
    diameter = np.ptp(truth, axis=0).max()
    moved[10, 3] += 2 * np.array([0.3, 0.4, 0]) * diameter  # half a diameter after the fit by 1/2
    found = table(evaluate_sample(sample, Prediction(points_affine_invariant=moved), EXACT))
    assert found["local_points", "rel"] == pytest.approx(0.5 / len(truth) / 2, rel=1e-6)
    assert found["local_points", "delta"] == pytest.approx(1 - 1 / len(truth) / 2)


def test_small_and_unnamed_segments_are_left_out() -> None:
    sample = scene()
    segmentation = sample.segmentation.copy()
    segmentation[10, :9] = 3  # nine pixels: below ten
    prediction = Prediction(points_metric=field(sample, "points_metric"))
    named = replace(sample, segmentation=segmentation, labels={3: "a pen"})
    for row in evaluate_sample(named, prediction, EXACT):
        if row.alignment == "local_points":
            assert row.status == "unavailable"
            assert "no segment has 10 samples" in row.note
    broken = np.where(
        (segmentation == 2)[..., None], np.random.default_rng(0).normal(size=(24, 32, 3)), prediction.points_metric
    )
    without = replace(sample, labels={1: "near wall"})
    found = table(evaluate_sample(without, Prediction(points_metric=broken), EXACT))
    assert found["local_points", "rel"] == pytest.approx(0, abs=1e-9)
    unlabelled = replace(sample, labels={})
    assert table(evaluate_sample(unlabelled, Prediction(points_metric=broken), EXACT))["local_points", "rel"] > 0.1


def test_metric_blocks_need_a_metric_truth() -> None:
    sample = replace(scene(), metric=False)
    prediction = Prediction(points_metric=field(sample, "points_metric"), depth_metric=field(sample, "depth_metric"))
    blocks = {row.alignment for row in evaluate_sample(sample, prediction, EXACT)}
    assert not blocks & {"points_metric", "depth_metric"}
    assert {"points_scale_invariant", "depth_scale_invariant", "boundary"} <= blocks


def test_official_and_exact_alignment_differ_where_they_should() -> None:
    """The exact optimum of the weighted L1 error can only be lower, and only where the shift is in R^3."""
    sample = scene(seed=1)
    rng = np.random.default_rng(2)
    points = field(sample, "points_metric") + rng.normal(0, 0.3, (24, 32, 3))
    prediction = Prediction(points_metric=points)
    full = replace(OFFICIAL, alignment_size=None)
    official, exact = (table(evaluate_sample(sample, prediction, p)) for p in (full, EXACT))
    assert official["points_scale_invariant", "rel"] == pytest.approx(exact["points_scale_invariant", "rel"], rel=1e-9)
    assert official["points_affine_invariant", "rel"] != pytest.approx(exact["points_affine_invariant", "rel"], rel=1e-6)


# ------------------------------------------------------------------------------------------------------------- failures


def test_values_that_are_not_finite_make_their_blocks_invalid_and_say_where() -> None:
    sample = scene()
    depth = finite_depth(sample)
    depth[10, 5], depth[11, 6] = np.nan, np.inf
    depth[4, 4] = np.nan  # where the truth is unknown nothing is asked
    rows = evaluate_sample(sample, Prediction(depth_metric=depth, intrinsics=sample.intrinsics), OFFICIAL)
    by_block = {row.alignment: row for row in rows}
    assert by_block["fov"].status == "ok"
    for block in KINDS["depth_metric"]:
        assert by_block[block].status == "invalid"
        assert math.isnan(by_block[block].value)
        quantity = "disparity" if block.startswith("disparity") else "depth"
        # 1 / inf is a disparity like any other
        assert f"{quantity} is not finite at {1 if quantity == 'disparity' else 2} of 732" in by_block[block].note
    assert len(rows) == 4 * 2 + 1 + 2


def test_a_depth_of_zero_has_no_disparity() -> None:
    sample = scene()
    depth = finite_depth(sample)
    depth[10, 5] = 0
    rows = {(r.alignment, r.metric): r for r in evaluate_sample(sample, Prediction(depth_metric=depth), OFFICIAL)}
    assert rows["depth_metric", "rel"].status == "ok"
    assert "disparity is not finite at 1" in rows["disparity_affine_invariant", "rel"].note


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "intrinsics"])
def test_a_constant_prediction_is_a_degenerate_alignment_not_a_number(kind: str) -> None:
    sample = scene()
    constant = np.zeros(np.shape(field(sample, kind)))
    for row in evaluate_sample(sample, Prediction(**{kind: constant}), OFFICIAL):
        if row.alignment in {"points_metric", "depth_metric", "normals"} or (
            kind == "depth_metric" and row.alignment == "boundary"
        ):
            assert row.status == "ok"  # these fit no scale: zero is a bad prediction, with an error of its own
        else:
            assert row.status == "invalid", row
            assert math.isnan(row.value)
            assert "degenerate" in row.note or "not finite" in row.note


def test_a_sample_without_known_depth_gives_invalid_rows() -> None:
    sample = replace(scene(), depth=np.full((24, 32), np.nan, np.float32))
    prediction = Prediction(depth_metric=np.ones((24, 32)), points_metric=np.ones((24, 32, 3)))
    rows = evaluate_sample(sample, prediction, OFFICIAL)
    assert len(rows) == 4 * 2 + 1 + 3 * 2 + 2 + 5
    fitted = [row for row in rows if row.alignment != "normals"]
    assert {(row.status, row.note) for row in fitted} == {("invalid", "the sample has no pixel of known depth")}
    assert {row.status for row in rows if row.alignment == "normals"} == {"unavailable"}


def test_an_empty_prediction_is_an_invalid_row_not_silence() -> None:
    rows = evaluate_sample(scene(), Prediction(), OFFICIAL)
    assert [(row.metric, row.status) for row in rows] == [("rel", "invalid"), ("delta", "invalid")]
    assert "no depth" in rows[0].note


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth_metric": np.ones((32, 24))}, r"depth_metric has the shape \(32, 24\), expected \(24, 32\)"),
        ({"points_metric": np.ones((24, 32))}, r"points_metric has the shape \(24, 32\), expected \(24, 32, 3\)"),
        ({"intrinsics": np.eye(4)}, r"expected \(3, 3\)"),
        ({"mask": np.ones((1, 24, 32), bool)}, "mask has the shape"),
        ({"depth_metric": np.full((24, 32), "far")}, "expected numbers"),
    ],
)
def test_a_wrong_shape_or_type_is_refused_by_name(wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_sample(scene(), Prediction(**wrong), OFFICIAL)


def test_what_is_no_prediction_is_refused() -> None:
    with pytest.raises(UserError, match="must return a Prediction, not ndarray"):
        evaluate_sample(scene(), np.ones((24, 32)), OFFICIAL)  # type: ignore[arg-type]


def test_a_sample_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(UserError, match="room/a: the depth is"):
        evaluate_sample(replace(scene(), depth=np.ones((3, 3), np.float32)), Prediction(), OFFICIAL)
    with pytest.raises(UserError, match="segmentation"):
        evaluate_sample(replace(scene(), segmentation=np.ones((3, 3), np.int32)), Prediction(), OFFICIAL)
    with pytest.raises(UserError, match="intrinsics"):
        evaluate_sample(replace(scene(), intrinsics=np.full((3, 3), np.nan)), Prediction(), OFFICIAL)


def test_half_precision_predictions_are_measured() -> None:
    sample = scene()
    found = table(evaluate_sample(sample, Prediction(depth_metric=finite_depth(sample).astype(np.float16)), OFFICIAL))
    assert found["depth_affine_invariant", "rel"] < 1e-3


# ----------------------------------------------------------------------------------------------------- pictures and FOV


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "intrinsics"])
def test_the_aligned_prediction_lies_on_the_truth(kind: str) -> None:
    sample = scene()
    found = aligned_prediction(sample, Prediction(**{kind: field(sample, kind)}), OFFICIAL)
    assert found is not None
    assert found.block == kind
    known = np.isfinite(sample.depth)
    np.testing.assert_allclose(found.depth[known], sample.depth[known], rtol=1e-5)
    np.testing.assert_allclose(
        found.points[known], points_from_depth(sample.depth, sample.intrinsics)[known], rtol=1e-4, atol=1e-4
    )


def test_there_is_nothing_to_draw_of_a_failed_prediction() -> None:
    assert aligned_prediction(scene(), Prediction(depth_metric=np.full((24, 32), np.nan)), OFFICIAL) is None


class HalfFocal(GeometryEstimator):
    """Says 60 degrees of whatever it sees."""

    card = Card("sixty")

    def predict(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> Prediction:
        return Prediction(intrinsics=intrinsics_from_fov(60, image.shape[1] / image.shape[0]))


def test_the_field_of_view_table_is_measured_on_centred_crops() -> None:
    sample = replace(scene(120, 160), dataset="nyuv2", intrinsics=intrinsics_from_fov(70, 160 / 120))
    _, rows = evaluate_estimator(HalfFocal(), sample, OFFICIAL)
    deviation = {(row.alignment, row.view): row.value for row in rows if row.metric == "fov_x_deviation"}
    truth = {share: np.degrees(2 * np.arctan(share * np.tan(np.radians(35)))) for share in (1.0, 0.85, 0.7, 0.55)}
    assert deviation == pytest.approx(
        {("fov", "a"): -10.0, **{("fov_crops", f"a@{share:g}"): 60 - angle for share, angle in truth.items()}}
    )
    assert all(row.unit == "degree" for row in rows)


def test_narrow_photos_and_other_data_sets_are_left_out_of_that_table() -> None:
    sample = replace(scene(120, 160), dataset="nyuv2")
    assert not list(fov_crops(replace(sample, intrinsics=intrinsics_from_fov(50, 4 / 3)), OFFICIAL))
    assert list(fov_crops(replace(sample, intrinsics=intrinsics_from_fov(60, 4 / 3)), OFFICIAL))
    assert not list(fov_crops(replace(sample, dataset="kitti"), OFFICIAL))


def test_a_crop_shows_the_same_points() -> None:
    sample = scene(25, 33)
    crop = crop_centre(sample, 0.6)
    assert crop.image.shape == (15, 20, 3)
    points = points_from_depth(sample.depth, sample.intrinsics)[5:20, 6:26]
    np.testing.assert_allclose(points_from_depth(crop.depth, crop.intrinsics), points, rtol=1e-12)


def test_an_impossible_focal_length_is_invalid() -> None:
    row, _ = evaluate_sample(scene(), Prediction(intrinsics=np.diag([-1.0, 1, 1])), OFFICIAL)
    assert (row.status, row.alignment) == ("invalid", "fov")
