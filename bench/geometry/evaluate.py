"""Evaluation of one prediction for one photo: align, then measure (MoGe, arXiv:2410.19115, section 4 and appendix).

Each row of a block of the published tables is one Measurement, with the block's name as its alignment. What a model
predicts in a strong form (metric) is measured under every weaker alignment too, as the official code does. What cannot
be measured gives a Measurement that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.core.cells import Measurement
from bench.core.interfaces import GeometryEstimator
from bench.core.protocols import GeometryProtocol
from bench.core.scenes import Array, MonocularSample, Prediction
from bench.geometry.align import align_points_groups
from bench.geometry.blocks import DEPTH_BLOCKS, LOCAL_POINTS, POINT_BLOCKS, Block, Comparison, Unmeasurable, checked
from bench.geometry.camera import points_from_depth
from bench.geometry.fov import fov_crops, fov_rows
from bench.geometry.normals import normal_rows
from bench.metrics.boundary import boundary_f1
from bench.metrics.depth import depth_errors, local_point_errors, point_errors

LEAST_DISPARITY = 1e-6  #: clamp of aligned disparities where boundaries are measured, in the official code
_TILE = 1 << 14  #: pixels measured at a time
_SHARES = (("rel", False), ("delta", True))


def evaluate_estimator(
    estimator: GeometryEstimator, sample: MonocularSample, protocol: GeometryProtocol
) -> tuple[Prediction, list[Measurement]]:
    """The prediction of a loaded estimator for a sample, and all its rows, those of the cropped views for the FOV table
    included."""
    prediction = estimator.predict_sample(sample)
    rows = evaluate_sample(sample, prediction, protocol)
    if prediction.intrinsics is not None:
        for share, crop in fov_crops(sample, protocol):
            seen = prediction if share == 1 else estimator.predict_sample(crop)
            rows += fov_rows(crop, seen, "fov_crops")
    return prediction, rows


def evaluate_sample(sample: MonocularSample, prediction: Prediction, protocol: GeometryProtocol) -> list[Measurement]:
    """Every row of every block that the prediction's kinds allow.

    Metrics `rel` and `delta` are shares (0.05 is 5 %), `fov_x_error` (absolute) and `fov_x_deviation` (signed) degrees,
    `boundary_f1` is in [0, 1] (radius 1; `boundary_f1_radius2` and so on for the others), the angular errors of normals are
    degrees and the shares of pixels within a threshold in [0, 1] (bench.geometry.normals). A block that cannot be measured
    (no valid pixel in the truth, values that are not finite, a degenerate alignment) gives rows of status "invalid" with the
    reason; one for which the sample has no segments large enough, "unavailable". Raises UserError where the prediction is no
    Prediction or a field has not the photo's size.
    """
    case = Comparison(sample, prediction, protocol)
    rows: list[Measurement] = []
    for block in (*DEPTH_BLOCKS, *POINT_BLOCKS):
        if case.field(block) is not None:
            rows += _rows(block, sample.name, partial(_measure, case, block))
    if case.field(LOCAL_POINTS) is not None and sample.segmentation is not None:
        rows += _rows(LOCAL_POINTS, sample.name, partial(_measure_segments, case))
    rows += fov_rows(sample, prediction)
    if sample.sharp_boundaries:
        rows += _boundary_rows(case)
        rows += normal_rows(case)
    if not rows:
        note = "the prediction holds no depth, disparity, points or intrinsics that this sample can be measured on"
        rows = [
            Measurement(metric, float("nan"), sample.name, "share", better, "-", "invalid", note)
            for metric, better in _SHARES
        ]
    return rows


@dataclass(frozen=True, eq=False)
class AlignedPrediction:
    """A prediction brought to the truth, for pictures: points (H, W, 3) and depth (H, W) float64; block: the alignment
    used."""

    points: Array
    depth: Array
    block: str


def aligned_prediction(
    sample: MonocularSample, prediction: Prediction, protocol: GeometryProtocol
) -> AlignedPrediction | None:
    """The prediction under the alignment of the strongest block that can be measured, points before depth; None where
    there is none.

    Depth is unprojected with the true intrinsics.
    """
    case = Comparison(sample, prediction, protocol)
    for block in (*POINT_BLOCKS, *DEPTH_BLOCKS):
        if case.field(block) is None:
            continue
        try:
            case.chosen(block)
            aligned = case.aligned(block, case.values(block))
        except Unmeasurable:
            continue
        if block.quantity == "points":
            return AlignedPrediction(aligned, aligned[..., 2], block.name)
        return AlignedPrediction(points_from_depth(aligned, sample.intrinsics), aligned, block.name)
    return None


def _rows(block: Block, view: str, measure: Callable[[], tuple[float, float]]) -> list[Measurement]:
    try:
        values = measure()
        if not np.isfinite(values).all():
            raise Unmeasurable("the error is not finite")
    except Unmeasurable as problem:
        nan, note = float("nan"), str(problem)
        return [Measurement(metric, nan, view, "share", up, block.name, problem.status, note) for metric, up in _SHARES]
    return [
        Measurement(metric, value, view, "share", up, block.name)
        for (metric, up), value in zip(_SHARES, values, strict=True)
    ]


def _measure(case: Comparison, block: Block) -> tuple[float, float]:
    chosen = case.chosen(block)
    parts = [slice(start, start + _TILE) for start in range(0, len(chosen), _TILE)]
    results = []
    for part in parts:  # tiles that stay in the cache
        aligned = case.aligned(block, chosen[part])
        if block.quantity == "points":
            results.append(point_errors(aligned, case.points[part], case.norm[part]))
        else:
            results.append(depth_errors(aligned, case.depth[part]))
    rel, delta = np.average(results, axis=0, weights=[len(chosen[part]) for part in parts])
    return float(rel), float(delta)


def _measure_segments(case: Comparison) -> tuple[float, float]:
    """Local point map: each segment aligned by itself, its error over its diameter; the mean over the segments."""
    sample, least = case.sample, case.protocol.segment_samples
    assert sample.segmentation is not None
    chosen = case.chosen(LOCAL_POINTS)
    segment = sample.segmentation.ravel()[case.valid]
    labels = list(sample.labels) or np.unique(segment[segment != 0]).tolist()
    sampled = _members(segment[case.samples], labels)
    measured = [
        (label, pixels, case.samples[at])
        for label, pixels, at in zip(labels, _members(segment, labels), sampled, strict=True)
        if len(at) >= least
    ]
    if not measured:
        raise Unmeasurable(f"no segment has {least} samples", "unavailable")
    points = [case.points.take(pixels, axis=0) for _, pixels, _ in measured]
    diameters = [float(np.max(each.max(axis=0) - each.min(axis=0))) for each in points]
    at = np.concatenate([each for _, _, each in measured])
    counts = [len(each) for _, _, each in measured]
    fits = align_points_groups(
        chosen[at],
        case.points[at],
        np.repeat(1 / np.array(diameters), counts),
        np.concatenate([[0], np.cumsum(counts)]),
        shift="xyz",
        method=case.protocol.alignment,
    )
    results = [
        local_point_errors(checked(fit, f"segment {label}: ").apply(chosen.take(pixels, axis=0)), true, diameter)
        for fit, (label, pixels, _), true, diameter in zip(fits, measured, points, diameters, strict=True)
    ]
    rel, delta = np.mean(results, axis=0)
    return float(rel), float(delta)


def _members(segment: Array, labels: list[int]) -> list[Array]:
    """Where each label is, by one sort instead of one pass over the photo for each label."""
    order = np.argsort(segment, kind="stable")
    in_order = segment[order]
    starts, ends = (np.searchsorted(in_order, labels, side) for side in ("left", "right"))
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def _boundary_rows(case: Comparison) -> list[Measurement]:
    """F1 of the depth jumps of the prediction under its strongest depth alignment."""
    block = next((each for each in DEPTH_BLOCKS if case.field(each) is not None), None)
    if block is None:
        return []
    rows = []
    for radius in case.protocol.boundary_radii:
        metric = "boundary_f1" if radius == 1 else f"boundary_f1_radius{radius}"
        row = partial(Measurement, metric, view=case.sample.name, unit="share", higher_is_better=True, alignment="boundary")
        try:
            case.chosen(block)
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                depth = case.aligned(block, case.values(block), LEAST_DISPARITY)
            rows.append(row(value=boundary_f1(depth, case.sample.depth, case.mask, radius)))
        except Unmeasurable as problem:
            rows.append(row(value=float("nan"), status=problem.status, note=str(problem)))
    return rows
