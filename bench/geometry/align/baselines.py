"""The ablation's other two alignments: least squares (L2 affine), and median with mean spread (median affine)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.geometry.align.line import weighted_median
from bench.geometry.align.problem import Alignment, Problem, degenerate


def solve_least_squares(problem: Problem) -> Alignment:
    """min sum_c sum_i w_i (s p_ci + t_c - q_ci)^2 of a problem that determines the scale; the objective is that sum of
    squares.

    Solved in centred coordinates, where the optimum is a ratio of two sums, so it is its own lower bound."""
    w = problem.weight / problem.weight.sum()
    flags = problem.shifted.astype(np.float64)
    mean_p, mean_q = (problem.prediction @ w) * flags, (problem.truth @ w) * flags
    p, q = problem.prediction - mean_p[:, None], problem.truth - mean_q[:, None]
    square = float(((p * p) @ w).sum())
    if square == 0:
        return degenerate("the prediction's spread underflows", "least-squares", problem.rows, len(flags))
    scale = float(((p * q) @ w).sum()) / square
    found = problem.answer(scale, mean_q - scale * mean_p, 0.0, "least-squares")
    residuals = scale * p - q
    total = float(((residuals * residuals) @ problem.weight).sum())
    return replace(found, objective=total, lower_bound=total, certified=bool(np.isfinite(total)))


def solve_median(problem: Problem) -> Alignment:
    """Both sides brought to median 0 (weighted, in the channels with a shift) and mean L1 spread 1, as MiDaS normalises
    disparity (Ranftl et al. 2020, equation 5). The objective reported is the L1 one, which this fit does not minimise."""
    sides = []
    for side in (problem.prediction, problem.truth):
        rows = zip(side, problem.shifted, strict=True)
        middle = np.array([weighted_median(row, problem.weight) if shifted else 0.0 for row, shifted in rows])
        sides.append((middle, float((np.abs(side - middle[:, None]) @ problem.weight).sum())))
    (middle_p, spread_p), (middle_q, spread_q) = sides
    if spread_p == 0:
        return degenerate("the prediction has no spread about its median", "median", problem.rows, len(problem.shifted))
    scale = spread_q / spread_p
    return problem.answer(scale, middle_q - scale * middle_p, 0.0, "median")
