"""Weighted L1 alignment of predicted points or depth to ground truth ("ROE alignment", MoGe, arXiv:2410.19115).

    fit = align_points(prediction, truth, weight, shift="xyz")     # (N, 3), (N, 3), (N,)
    aligned = fit.apply(prediction)

`method="exact"` finds the true optimum of sum_i w_i ||s p_i + t - q_i||_1 and certifies it with a lower bound;
`method="official"` gives the published solver's restricted answer, for rows that are compared with published tables.

Defined answers, for every function here:

- rows with NaN or infinity in the prediction, the truth or the weight, and rows of weight zero, do not count; `rows` says
  how many do;
- a negative weight, wrong shapes, or unknown options raise `UserError`;
- no row left, a single point where there is a shift, or a prediction that is constant (zero, where there is no shift) do
  not determine a fit: status "degenerate", NaN scale, shift and objective, and the reason in `note`;
- a constant truth is fitted by scale zero where there is a shift, and `note` says so;
- several optima (ties): one of them, the same on every run;
- the scale is not constrained to be positive, in any method; `note` remarks on a negative one. Evaluation uses it as it is:
  it is the optimum of the published objective, the official evaluation does the same, and an estimator whose depth is
  anti-correlated with the truth must not be flattered by a repair. (The official *training losses* drop a sample with a
  scale that is not positive.)
- float64 inside whatever comes in. Channels with a shift are centred first, so offsets of 1e5 cost no digits.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from bench.core.errors import UserError
from bench.geometry.align import baselines
from bench.geometry.align.fit import fit_groups
from bench.geometry.align.problem import (
    Alignment,
    Problem,
    as_float64,
    check_options,
    clean,
    degenerate,
    prepare,
    underdetermined,
)

__all__ = [
    "Alignment",
    "Method",
    "Shift",
    "align_depth",
    "align_least_squares",
    "align_median",
    "align_points",
    "align_points_groups",
]

Method = Literal["exact", "official"]
Shift = Literal["none", "z", "xyz"]
_SHIFTED = {"none": (False, False, False), "z": (False, False, True), "xyz": (True, True, True)}


def align_points(
    prediction: Any,
    truth: Any,
    weight: Any,
    *,
    shift: Shift,
    scale: bool = True,
    truncation: float | None = None,
    method: Method = "exact",
) -> Alignment:
    """The L1 fit truth ~ s * prediction + t of points.

    prediction, truth: (N, 3); weight: (N,) >= 0, or None for ones; arrays or tensors of any float type. shift: which
    coordinates of t are free. scale=False keeps s = 1 (metric points: shift only). truncation: each coordinate's term w |r|
    is capped at it. Raises UserError for bad shapes, a negative weight or unknown options; see the module for what is
    degenerate.
    """
    return _align(prediction, truth, weight, None, _shifted(shift, 3), scale, truncation, method)[0]


def align_points_groups(
    prediction: Any,
    truth: Any,
    weight: Any,
    offsets: Any,
    *,
    shift: Shift,
    scale: bool = True,
    truncation: float | None = None,
    method: Method = "exact",
) -> list[Alignment]:
    """`align_points` of many groups of points in one native call: thousands of segments or local balls.

    prediction, truth: (M, 3), weight: (M,), the groups one after the other; offsets: (G + 1,) integers from 0 to M,
    ascending: group g is the rows offsets[g] up to offsets[g + 1]. Groups may be empty; they are degenerate.
    """
    return _align(prediction, truth, weight, offsets, _shifted(shift, 3), scale, truncation, method)


def align_depth(
    prediction: Any,
    truth: Any,
    weight: Any,
    *,
    shift: bool,
    truncation: float | None = None,
    method: Method = "exact",
) -> Alignment:
    """The L1 fit truth ~ s * prediction (+ t where `shift`) of depth. prediction, truth: (N,); otherwise as
    `align_points`."""
    return _align(prediction, truth, weight, None, (bool(shift),), True, truncation, method)[0]


def align_least_squares(prediction: Any, truth: Any, weight: Any = None, *, shift: Shift | bool = True) -> Alignment:
    """The weighted least-squares fit of points (N, 3) or of depth or disparity (N,): the ablation's "L2 affine", and the
    disparity fit.

    weight: (N,) or None for ones. shift: as in `align_points`, or True for a shift in every channel. objective: the
    weighted sum of squares.
    """
    problem = _problem(prediction, truth, weight, shift)
    reason = underdetermined(problem)
    if reason:
        return degenerate(reason, "least-squares", problem.rows, len(problem.shifted))
    return baselines.solve_least_squares(problem)


def align_median(prediction: Any, truth: Any, weight: Any = None, *, shift: Shift | bool = True) -> Alignment:
    """The ablation's "median affine": shift from the medians, scale from the mean L1 spreads about them. Arguments as
    `align_least_squares`; the objective reported is the L1 one, which this fit does not minimise."""
    problem = _problem(prediction, truth, weight, shift)
    reason = underdetermined(problem)
    if reason:
        return degenerate(reason, "median", problem.rows, len(problem.shifted))
    return baselines.solve_median(problem)


def _shifted(shift: Shift | bool, channels: int) -> tuple[bool, ...]:
    if isinstance(shift, bool):
        return (shift,) * channels
    if shift not in _SHIFTED or channels != 3:
        raise UserError(f'alignment: shift must be "none", "z" or "xyz" for points and a bool for depth, not {shift!r}')
    return _SHIFTED[shift]


def _problem(prediction: Any, truth: Any, weight: Any, shift: Shift | bool) -> Problem:
    channels = 3 if as_float64(prediction, "prediction").ndim == 2 else 1
    rows = clean(prediction, truth, weight, channels)
    return prepare(rows.prediction, rows.truth, rows.weight, _shifted(shift, channels))


def _align(
    prediction: Any,
    truth: Any,
    weight: Any,
    offsets: Any,
    shifted: tuple[bool, ...],
    scaled: bool,
    truncation: float | None,
    method: Method,
) -> list[Alignment]:
    check_options(truncation, method)
    rows = clean(prediction, truth, weight, len(shifted))
    kept = np.concatenate([[0], np.cumsum(rows.keep)])  # rows that count before each row
    bounds = np.array([0, rows.keep.size]) if offsets is None else np.asarray(offsets)
    ascending = bounds.ndim == 1 and bounds.size > 0 and bounds.dtype.kind in "iu" and (np.diff(bounds) >= 0).all()
    if not ascending or bounds[0] != 0 or bounds[-1] != rows.keep.size:
        raise UserError(f"alignment: offsets must be ascending integers from 0 to the number of rows, {rows.keep.size}")
    return fit_groups(rows, kept[bounds], shifted, scaled, truncation, method)
