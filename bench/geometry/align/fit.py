"""Which solver fits which problem: the native kernel where it is there, else NumPy."""

from __future__ import annotations

import itertools

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align import exact, line, native, official, truncated
from bench.geometry.align.problem import Alignment, Problem, Rows, degenerate, prepare, underdetermined


def fit_groups(
    rows: Rows, offsets: Array, shifted: tuple[bool, ...], scaled: bool, truncation: float | None, method: str
) -> list[Alignment]:
    """One alignment per group, the rows offsets[g] up to offsets[g + 1]."""
    if method == "exact":
        found = native.solve_groups(rows, offsets, shifted, scaled, truncation)
        if found is not None:
            return found
    groups = [slice(start, stop) for start, stop in itertools.pairwise(offsets.tolist())]
    problems = [prepare(rows.prediction[:, g], rows.truth[:, g], rows.weight[g], shifted) for g in groups]
    return [fit(problem, scaled, truncation, method) for problem in problems]


def fit(problem: Problem, scaled: bool, truncation: float | None, method: str) -> Alignment:
    """The alignment of one problem, in NumPy."""
    reason = underdetermined(problem) if scaled or problem.rows == 0 else ""
    if reason:
        return degenerate(reason, method, problem.rows, len(problem.shifted))
    if not scaled:
        return _shift_only(problem, truncation, method)
    if method == "official":
        return official.solve_official(problem, truncation)
    if not problem.shifted.any():
        return _scale_only(problem, truncation)
    if truncation is not None:
        return truncated.solve_truncated(problem, truncation)
    found, bound = exact.minimise(exact.fit_of(problem))
    return problem.answer(found.scale, found.shift, bound, "exact")


def _shift_only(problem: Problem, truncation: float | None, method: str) -> Alignment:
    """Scale 1: one weighted median (or truncated line fit) per channel; the optimum, and what the official code does too."""
    shift, ones = np.zeros(len(problem.shifted)), np.ones(problem.rows)
    for channel in np.flatnonzero(problem.shifted):
        level = problem.truth[channel] - problem.prediction[channel]
        if truncation is None:
            shift[channel] = line.weighted_median(level, problem.weight)
        else:
            shift[channel] = line.minimise_truncated(ones, level, problem.weight, truncation)
    return problem.answer(1.0, shift, np.inf, method, truncation)


def _scale_only(problem: Problem, truncation: float | None) -> Alignment:
    """No shift: a weighted median of ratios (or a truncated line fit) over all coordinates."""
    p, q = problem.prediction.ravel(), problem.truth.ravel()
    w = np.tile(problem.weight, len(problem.shifted))
    scale = line.minimise(p, q, w) if truncation is None else line.minimise_truncated(p, q, w, truncation)
    return problem.answer(scale, np.zeros(len(problem.shifted)), np.inf, "exact", truncation)
