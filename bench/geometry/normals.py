"""The blocks of surface normals: those of the predicted point map, and those that a model predicts as such.

The truth's are made from its depth, so they are measured where that is exact enough to have any: on the data sets of sharp
depth, away from depth edges. Normals need no alignment: they are the same for every positive scale and every shift of the
points. Depth without a camera and disparity of unknown shift have none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.core.cells import Measurement
from bench.core.scenes import Array
from bench.geometry.blocks import Comparison, Unmeasurable
from bench.geometry.camera import points_from_depth
from bench.metrics.catalogue import METRICS, NORMALS_WITHIN
from bench.metrics.normals import angles, normal_errors, normals_of_points, smooth

OF_POINTS, PREDICTED = "normals", "normals_predicted"  #: names of the blocks
NORMAL_METRICS = tuple(METRICS[name] for name in ("normal_error", "normal_error_median", *NORMALS_WITHIN))
_POINTS = ("points_metric", "points_scale_invariant", "points_affine_invariant")


def normal_rows(case: Comparison) -> list[Measurement]:
    """The rows of both blocks; none for a prediction that has neither points nor normals."""
    prediction = case.prediction
    points = next((found for name in _POINTS if (found := getattr(prediction, name)) is not None), None)
    rows: list[Measurement] = []
    if points is not None:
        rows += _rows(case, OF_POINTS, np.asarray(points), normals_of_points)
    if prediction.normal is not None:
        rows += _rows(case, PREDICTED, np.asarray(prediction.normal), np.asarray)
    return rows


def _rows(case: Comparison, block: str, predicted: Array, normals: Callable[[Array], Array]) -> list[Measurement]:
    """normals: makes normals (H, W, 3) of the predicted map (H, W, 3)."""
    view = case.sample.name
    try:
        values = _measured(case, predicted, normals)
    except Unmeasurable as problem:
        nan, note = float("nan"), str(problem)
        return [
            Measurement(metric.name, nan, view, metric.unit, metric.higher_is_better, block, problem.status, note)
            for metric in NORMAL_METRICS
        ]
    return [
        Measurement(metric.name, value, view, metric.unit, metric.higher_is_better, block)
        for metric, value in zip(NORMAL_METRICS, values, strict=True)
    ]


def _measured(case: Comparison, predicted: Array, normals: Callable[[Array], Array]) -> tuple[float, ...]:
    chosen = smooth(case.sample.depth, case.protocol.normal_jump)
    if not chosen.any():
        raise Unmeasurable("no pixel away from depth edges has four neighbours of known depth", "unavailable")
    if bad := np.count_nonzero(~np.isfinite(predicted[case.mask]).all(axis=-1)):
        raise Unmeasurable(f"the prediction is not finite at {bad} of {len(case.valid)} valid pixels")
    truth = normals_of_points(points_from_depth(case.sample.depth, case.sample.intrinsics))
    return normal_errors(angles(normals(predicted)[chosen], truth[chosen]))
