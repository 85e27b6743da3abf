"""The published solver's answer: every anchor in turn is made exact, and the scale is found by sorting.

MoGe (arXiv:2410.19115), appendix "ROE alignment", as its official evaluation code does it. The shift is restricted to q_k -
s p_k for some row k, the same k in all three channels, so it is the optimum for one and two unknowns and only near it for a
shift in R^3. Kept on purpose, because published rows contain them:

- rows whose prediction equals the anchor's do not count in the anchor's loss (their residual is left out, not added), so
  ties can make the choice of the anchor worse than optimal;
- ratios are taken over max(|p_i - p_k|, 1e-7), an absolute threshold: predictions of size 1e-6 come out wrong;
- a negative scale is returned as it is;
- the truncated candidates are where the slope turns from negative to non-negative, or row 0 where there is none.

Not kept: the official code stops with an index error where no weight is positive, and lets one NaN decide the answer. Here
such rows are left out. Where its scale is a division by its own epsilon (ties under truncation: the scale it picks comes
from a row whose prediction equals the anchor's), the answer is "degenerate".

Untruncated, anchors are screened by lower bounds before any is tried in full (the answer is the same, far sooner).
Truncated, each is tried in full, as the official code does: seconds for 4096 rows.
"""

from __future__ import annotations

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align import exact
from bench.geometry.align.problem import ROUNDING, Alignment, Problem, degenerate

_THRESHOLD = 1e-7  #: the official code's eps
_ENOUGH, _ROUNDS = 32, 8  #: screening stops at so few anchors, or after so many rounds
_SCREENED_FROM = 64  #: rows from which not every anchor is tried in full
_BLOCK = 1 << 20  #: entries of the anchors' matrices held at a time


def solve_official(problem: Problem, truncation: float | None) -> Alignment:
    """The same-point fit of a problem that determines the scale; lower_bound is 0, nothing is certified."""
    p, q = problem.prediction.T, problem.truth.T
    rows, channels = p.shape
    origin, target = p * problem.shifted, q * problem.shifted
    anchors = np.arange(rows) if problem.shifted.any() else np.zeros(1, int)
    if truncation is None and rows > _SCREENED_FROM and problem.shifted.any():
        anchors = _screen(problem)
    loss, pick, ratio = _try(problem, anchors, truncation)
    winner = int(np.flatnonzero(loss == loss.min())[-1])  # the official scatter keeps the last of equal anchors
    anchor, scale = anchors[winner], float(ratio[winner])
    if problem.shifted.any():  # taken again from the two rows, as the official code does: without the threshold
        row, channel = divmod(int(pick[winner]), channels)
        rise, run = q[row, channel] - target[anchor, channel], p[row, channel] - origin[anchor, channel]
        if run == 0 and rise != 0:
            reason = "the official solver divides by its own epsilon here (two rows with equal predictions)"
            return degenerate(reason, "official", rows, channels)
        scale = float(rise / run) if run != 0 else 0.0
    return problem.answer(scale, target[anchor] - scale * origin[anchor], 0.0, "official", truncation)


def _screen(problem: Problem) -> Array:
    """The anchors that can still be the best, ascending.

    An anchor's loss is convex in s, and its value and slope at one s cost only a sorted sum for all anchors together.
    Tangents at shared values of s bound every anchor's minimum from below; whoever is above the best loss found so far is
    out."""
    optimum = exact.minimise(exact.fit_of(problem))[0]
    start, slack = optimum.scale, ROUNDING * problem.magnitude(optimum.scale, optimum.shift)
    anchors, offset = np.arange(problem.rows), _equal_rows(problem)
    left, right = np.full((3, anchors.size), np.inf), np.full((3, anchors.size), np.inf)  # scale, value, slope
    left[0] = -np.inf
    size_p, size_q = (float((np.abs(side) @ problem.weight).sum()) for side in (problem.prediction, problem.truth))
    best, reach = np.inf, np.geomspace(1e-4, 1e2, 7) * (abs(start) + 1e-3 * size_q / size_p)
    scales = np.concatenate([start - reach, [start], start + reach])
    for _ in range(_ROUNDS):
        for scale in scales:
            value, slope = _all_anchors(problem, float(scale))
            point = np.stack([np.full(anchors.size, scale), (value - offset)[anchors], slope[anchors]])
            left = np.where((slope[anchors] <= 0) & (scale > left[0]), point, left)
            right = np.where((slope[anchors] >= 0) & (scale < right[0]), point, right)
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = (right[1] - left[1] + left[2] * left[0] - right[2] * right[0]) / (left[2] - right[2])
            middle = np.clip(np.where(np.isfinite(middle), middle, start), left[0], right[0])
            bound = left[1] + left[2] * (middle - left[0])
        bound = np.where(np.isfinite(left[0]) & np.isfinite(right[0]), bound, -np.inf)
        best = min(best, float(_try(problem, anchors[[int(np.fmin(left[1], right[1]).argmin())]], None)[0][0]))
        alive = bound <= best * (1 + 1e-10) + slack
        anchors, left, right, middle = anchors[alive], left[:, alive], right[:, alive], middle[alive]
        if anchors.size <= _ENOUGH:
            break
        scales = np.unique(np.quantile(middle, np.linspace(0, 1, 8)))
    return anchors


def _all_anchors(problem: Problem, scale: float) -> tuple[Array, Array]:
    """Value and slope in s (N,), (N,) at `scale` of every anchor's sum_ci w_i |s (p_ci - p_ck) - (q_ci - q_ck)|."""
    w = problem.weight
    value, slope = np.zeros(problem.rows), np.zeros(problem.rows)
    for p, q, shifted in zip(problem.prediction, problem.truth, problem.shifted, strict=True):
        e = scale * p - q
        if not shifted:
            value, slope = value + (w * (p != 0)) @ np.abs(e), slope + (w * np.sign(e)) @ p  # zero rows: left out too
            continue
        order = np.argsort(e)
        sums = np.zeros((3, e.size + 1))
        np.cumsum(np.stack([w, w * e, w * p])[:, order], axis=1, out=sums[:, 1:])
        first, last = _runs(e[order])
        below, upto = np.empty((3, e.size)), np.empty((3, e.size))
        below[:, order], upto[:, order] = sums[:, first], sums[:, last]
        balance = sums[:, -1:] - upto - below  # weight above less weight below, and so on
        value += balance[1] - e * balance[0]
        slope += balance[2] - p * balance[0]
    return value, slope


def _runs(values: Array) -> tuple[Array, Array]:
    """For each of N sorted values where the run of values equal to it begins, and where it ends (exclusive), both (N,)."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(starts, append=values.size)
    return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)


def _equal_rows(problem: Problem) -> Array:
    """What the rows with exactly the anchor's prediction would add to its loss, (N,): the official code leaves it out."""
    total, w = np.zeros(problem.rows), problem.weight
    for p, q in zip(problem.prediction[problem.shifted], problem.truth[problem.shifted], strict=True):
        order = np.lexsort((q, p))
        first, last = _runs(p[order])
        if (last - first).max() == 1:
            continue
        sums = np.zeros((2, p.size + 1))
        np.cumsum(np.stack([w, w * q])[:, order], axis=1, out=sums[:, 1:])
        here = np.arange(p.size)
        balance = sums[:, last] - 2 * sums[:, here] + sums[:, first]
        total[order] += balance[1] - q[order] * balance[0]
    return total


def _try(problem: Problem, anchors: Array, truncation: float | None) -> tuple[Array, Array, Array]:
    """`_scales` for the given anchors, a block of them at a time; rows are numbered point by point, then channel."""
    p, q = problem.prediction.T, problem.truth.T
    weights = np.repeat(problem.weight, p.shape[1])
    found = []
    for block in np.array_split(anchors, anchors.size * weights.size // _BLOCK + 1):
        x, y = p[None] - (p[block] * problem.shifted)[:, None], q[None] - (q[block] * problem.shifted)[:, None]
        found.append(_scales(x.reshape(block.size, -1), y.reshape(block.size, -1), weights, truncation))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def _scales(x: Array, y: Array, w: Array, truncation: float | None) -> tuple[Array, Array, Array]:
    """For each of K anchors with x, y (K, M) and w (M,): its loss, the row its scale comes from, and that scale, all
    (K,)."""
    sign = np.sign(x)
    x, y = x * sign, y * sign
    ratio = y / np.maximum(x, _THRESHOLD)
    if truncation is None:
        order = np.argsort(ratio, axis=1, kind="stable")
        mass = np.take_along_axis(x * w, order, axis=1)
        balance = 2 * np.cumsum(mass, axis=1) - mass.sum(axis=1, keepdims=True)
        place = np.minimum((balance < 0).sum(axis=1, keepdims=True), x.shape[1] - 1)
        pick = np.take_along_axis(order, place, axis=1)
    else:
        pick = np.array([[_truncated_pick(*row, w, truncation)] for row in zip(x, y, ratio, strict=True)])
    scale = np.take_along_axis(ratio, pick, axis=1)
    terms = w * np.abs(scale * x - y)
    return (terms if truncation is None else np.minimum(terms, truncation)).sum(axis=1), pick[:, 0], scale[:, 0]


def _truncated_pick(x: Array, y: Array, ratio: Array, w: Array, truncation: float) -> int:
    """The row whose ratio is the best minimum of sum_i min(w |s x - y|, tau) over s, by the slopes left and right of each
    ratio."""
    mass = w * x
    size = np.maximum(mass, _THRESHOLD)
    left, right = np.zeros_like(x), np.zeros_like(x)
    for turns, bend in ((ratio, 2.0), ((w * y - truncation) / size, -1.0), ((w * y + truncation) / size, -1.0)):
        order = np.argsort(turns, kind="stable")
        prefix = np.concatenate([[0.0], np.cumsum(mass[order])])
        left += bend * prefix[np.searchsorted(turns[order], ratio, "left")]
        right += bend * prefix[np.searchsorted(turns[order], ratio, "right")]
    rows = np.flatnonzero((left < 0) & (right >= 0))
    if rows.size == 0:
        return 0
    values = [float(np.minimum(w * np.abs(ratio[row] * x - y), truncation).sum()) for row in rows]
    return int(rows[len(values) - 1 - int(np.argmin(values[::-1]))])
