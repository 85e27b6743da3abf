"""The alignment problem, its answer, and how raw arrays become a problem.

min over s, t of sum_c sum_i w_i |s p_ci + t_c - q_ci|, with t_c = 0 in the channels c that have no shift, each term capped
at tau where truncation is asked for (MoGe, arXiv:2410.19115, section 3.2 and appendix: "ROE alignment").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.core.errors import UserError
from bench.core.scenes import Array

#: Every double sum of the library is good to this many units of rounding, relative to the sum of its terms' magnitudes.
ROUNDING = 64 * float(np.finfo(np.float64).eps)

#: Numbers beyond it (and weights below its inverse) would overflow (vanish) in products; they count as infinite (zero).
_LARGEST = 1e100

#: Why rows do not determine a fit, by the code that the native kernel gives.
REASONS = (
    "",
    "no row has finite numbers and a positive weight",
    "one point does not determine a scale and a shift",
    "the prediction is constant: it does not determine the scale",
    "the prediction is zero",
)


@dataclass(frozen=True, eq=False)
class Alignment:
    """The fit truth ~ scale * prediction + shift.

    shift: (3,) for points, (1,) for depth, zero where the variant has none. objective: sum of the (capped) weighted absolute
    residuals. lower_bound: no fit of the variant can be better than this. certified: the objective equals the lower bound
    up to 1e-9 relative and the rounding of the sum. rows: those with finite numbers and a positive weight; only they count.
    status "degenerate": the data does not determine the fit; scale, shift and objective are NaN and note says why. note
    also remarks on a scale that is zero or negative.
    """

    scale: float
    shift: Array
    objective: float
    lower_bound: float
    certified: bool
    method: str
    rows: int
    status: Literal["ok", "degenerate"] = "ok"
    note: str = ""

    def apply(self, values: Any) -> Any:
        """scale * values + shift of points (..., 3) or depth (...): arrays become float64, tensors keep theirs."""
        shift = self.shift if self.shift.size > 1 else self.shift[0]
        if hasattr(values, "detach"):
            return self.scale * values + values.new_tensor(shift)
        return self.scale * np.asarray(values, np.float64) + shift


@dataclass(frozen=True, eq=False)
class Rows:
    """prediction, truth: (C, M) float64; weight: (M,): the M of N rows that count; keep: (N,) bool, which they are."""

    prediction: Array
    truth: Array
    weight: Array
    keep: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows with finite numbers and positive weights. prediction, truth: (C, N) float64, less `origin` and `target` (C,),
    which are zero in the channels without a shift; weight: (N,); shifted: (C,) bool."""

    prediction: Array
    truth: Array
    weight: Array
    shifted: Array
    origin: Array
    target: Array

    @property
    def rows(self) -> int:
        return int(self.weight.size)

    def objective(self, scale: float, shift: Array, truncation: float | None = None) -> float:
        """The objective at scale and shift (C,), the latter in the problem's own coordinates (less origin and target)."""
        total = 0.0
        for p, q, t in zip(self.prediction, self.truth, shift, strict=True):
            terms = self.weight * np.abs(scale * p + t - q)
            total += float((terms if truncation is None else np.minimum(terms, truncation)).sum())
        return total

    def magnitude(self, scale: float, shift: Array) -> float:
        """The sum of the magnitudes that cancel in the objective: what its rounding error is relative to."""
        size = abs(scale) * np.abs(self.prediction) + np.abs(shift)[:, None] + np.abs(self.truth)
        return float((size @ self.weight).sum())

    def answer(
        self, scale: float, shift: Array, lower_bound: float, method: str, truncation: float | None = None
    ) -> Alignment:
        """The alignment for a solution in the problem's own coordinates, its objective computed afresh from all rows."""
        moved = np.where(self.shifted, shift + self.target - scale * self.origin, 0.0)
        objective, magnitude = self.objective(scale, shift, truncation), self.magnitude(scale, shift)
        return finish(scale, moved, objective, lower_bound, magnitude, method, self.rows)


def finish(
    scale: float, shift: Array, objective: float, lower_bound: float, magnitude: float, method: str, rows: int
) -> Alignment:
    """The alignment for a solution in the user's coordinates. magnitude: what the objective's rounding is relative to."""
    if not np.isfinite(objective):
        return degenerate("the numbers overflow double precision", method, rows, len(shift))
    bound = max(0.0, min(lower_bound, objective))
    certified = bool(objective <= bound * (1 + 1e-9) + ROUNDING * magnitude)
    note = "" if scale > 0 else "the scale is zero" if scale == 0 else "the scale is negative"
    return Alignment(float(scale), shift, objective, bound, certified, method, rows, "ok", note)


def degenerate(reason: str, method: str, rows: int, channels: int) -> Alignment:
    """The answer where there is none: NaN everywhere, never a made-up scale."""
    nan = float("nan")
    return Alignment(nan, np.full(channels, nan), nan, nan, False, method, rows, "degenerate", reason)


def as_float64(values: Any, name: str) -> Array:
    """A float64 array of an array, a sequence or a tensor of any float type on any device."""
    if hasattr(values, "detach"):
        values = values.detach().double().cpu().numpy()
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"alignment: {name} must be an array of numbers, not {type(values).__name__}") from error


def check_options(truncation: float | None, method: str) -> None:
    """Raises UserError for a truncation or a method that does not exist."""
    if truncation is not None and not 0 < truncation < np.inf:
        raise UserError(f"alignment: truncation must be a positive number or None, not {truncation}")
    if method not in ("exact", "official"):
        raise UserError(f'alignment: method must be "exact" or "official", not {method!r}')


def clean(prediction: Any, truth: Any, weight: Any, channels: int) -> Rows:
    """The rows that count. weight None = ones. Raises UserError for shapes that do not match and for a negative weight."""
    p, q = as_float64(prediction, "prediction"), as_float64(truth, "truth")
    expected = "(N, 3)" if channels == 3 else "(N,)"
    if p.ndim != (2 if channels == 3 else 1) or (channels == 3 and p.shape[1] != 3):
        raise UserError(f"alignment: prediction has shape {p.shape}, expected {expected}")
    if q.shape != p.shape:
        raise UserError(f"alignment: truth has shape {q.shape}, expected the prediction's {p.shape}")
    w = np.ones(len(p)) if weight is None else as_float64(weight, "weight")
    if w.shape != (len(p),):
        raise UserError(f"alignment: weight has shape {w.shape}, expected ({len(p)},)")
    if (w < 0).any():
        raise UserError("alignment: weight has a negative entry; use zero for rows that must not count")
    columns_p, columns_q = p.reshape(len(p), channels).T, q.reshape(len(p), channels).T
    keep = (w >= 1 / _LARGEST) & (w <= _LARGEST)
    for column in (*columns_p, *columns_q):
        keep &= np.abs(column) <= _LARGEST
    if not keep.all():
        columns_p, columns_q, w = columns_p[:, keep], columns_q[:, keep], w[keep]
    return Rows(np.ascontiguousarray(columns_p), np.ascontiguousarray(columns_q), np.ascontiguousarray(w), keep)


def prepare(prediction: Array, truth: Array, weight: Array, shifted: tuple[bool, ...]) -> Problem:
    """The problem of clean rows. Channels with a shift are moved to the middle of the data, which changes the shift only
    and keeps huge offsets (a prediction of 1e5 + depth) from eating the digits of the residuals. Arrays are not changed in
    place."""
    flags = np.array(shifted, bool)
    origin, target = np.zeros(len(flags)), np.zeros(len(flags))
    if flags.any() and weight.size:
        origin[flags] = [_middle(row) for row in prediction[flags]]
        target[flags] = [_middle(row) for row in truth[flags]]
        prediction, truth = prediction - origin[:, None], truth - target[:, None]
    return Problem(prediction, truth, weight, flags, origin, target)


def _middle(values: Array) -> float:
    """An element near the median (so that equal and evenly spaced values stay so after it is subtracted)."""
    sample = values[:: max(1, values.size // 1000)]
    return float(np.partition(sample, sample.size // 2)[sample.size // 2])


def underdetermined(problem: Problem) -> str:
    """Why the rows do not determine the scale; "" where they do."""
    if problem.rows == 0:
        return REASONS[1]
    for p, shifted in zip(problem.prediction, problem.shifted, strict=True):
        if (p != p[0]).any() if shifted else p.any():
            return ""
    if not problem.shifted.any():
        return REASONS[4]
    return REASONS[2] if problem.rows == 1 else REASONS[3]
