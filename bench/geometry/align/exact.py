"""The exact L1 fit with a shift, in NumPy.

F(s) = sum_c min_t sum_i w_i |s p_ci + t_c - q_ci| is convex and piecewise linear, and a weighted median per channel gives F
and a subgradient at any s. The solver brackets the minimum, folds every row whose residual keeps its sign in the bracket
into a linear term, and, when few rows are left, looks the minimum up among the breakpoints. The tangents at both ends of
the bracket give a lower bound at every moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align.line import weighted_quantile
from bench.geometry.align.problem import Problem

_FEW = 48  #: rows among which the breakpoints are enumerated
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Channel:
    """Rows of one channel, and the linear term tilt * t that the rows folded away have left."""

    prediction: Array
    truth: Array
    weight: Array
    shifted: bool
    tilt: float = 0.0


@dataclass(frozen=True, eq=False)
class Fit:
    """slope * s + constant + sum over channels of (sum of the rows' w |s p + t - q| + tilt * t)."""

    channels: tuple[Channel, ...]
    slope: float = 0.0
    constant: float = 0.0

    @property
    def rows(self) -> int:
        return sum(c.weight.size for c in self.channels)


@dataclass(frozen=True, eq=False)
class Tangent:
    """F and one of its subgradients at s, and the shifts (C,) that attain it."""

    scale: float
    value: float
    slope: float
    shift: Array


def fit_of(problem: Problem) -> Fit:
    """All rows of a problem."""
    rows = zip(problem.prediction, problem.truth, problem.shifted, strict=True)
    return Fit(tuple(Channel(p, q, problem.weight, bool(shifted)) for p, q, shifted in rows))


def tangent(fit: Fit, scale: float) -> Tangent:
    """F(s) = min_t of the fit, with a subgradient: rows tied at the median share what keeps t stationary."""
    value, slope, shift = fit.slope * scale + fit.constant, fit.slope, np.zeros(len(fit.channels))
    for index, channel in enumerate(fit.channels):
        p, w = channel.prediction, channel.weight
        level = channel.truth - scale * p
        t = 0.0
        if channel.shifted:
            t = weighted_quantile(level, w, 0.5 * (float(w.sum()) - channel.tilt)) if w.size else 0.0
        sign = np.sign(t - level)
        value += float((w * np.abs(t - level)).sum()) + channel.tilt * t
        slope += float((w * sign) @ p)
        tied = sign == 0
        if channel.shifted and tied.any():
            share = -channel.tilt - float((w * sign).sum())
            slope += share * float((w[tied] * p[tied]).sum() / w[tied].sum())
        shift[index] = t
    return Tangent(scale, value, slope, shift)


def fold(fit: Fit, left: float, right: float) -> Fit:
    """The same F on [left, right], with every row folded whose residual cannot change sign there at the optimal shift."""
    channels, slope, constant = [], fit.slope, fit.constant
    for channel in fit.channels:
        p, q, w = channel.prediction, channel.truth, channel.weight
        ends = np.stack([q - left * p, q - right * p])
        low, high = ends.min(axis=0), ends.max(axis=0)
        floor = ceiling = 0.0
        if channel.shifted:
            target = 0.5 * (float(w.sum()) - channel.tilt)
            floor, ceiling = weighted_quantile(low, w, target), weighted_quantile(high, w, target)
        sign = np.where(high < floor, 1.0, np.where(low > ceiling, -1.0, 0.0))
        moved, keep = sign * w, sign == 0
        slope += float(moved @ p)
        constant -= float(moved @ q)
        tilt = channel.tilt + float(moved.sum())
        channels.append(replace(channel, prediction=p[keep], truth=q[keep], weight=w[keep], tilt=tilt))
    return Fit(tuple(channels), slope, constant)


def breakpoints(fit: Fit, left: float, right: float) -> Array:
    """Sorted distinct s inside (left, right) where F can bend: two rows of a shifted channel meet, or a row of another is
    zero."""
    found = []
    for channel in fit.channels:
        p, q = channel.prediction, channel.truth
        if channel.shifted:
            first, second = np.triu_indices(p.size, 1)
            p, q = p[first] - p[second], q[first] - q[second]
        found.append(q[p != 0] / p[p != 0])
    points = np.unique(np.concatenate(found))
    return points[(points > left) & (points < right)]


def crossing(left: Tangent, right: Tangent) -> tuple[float, float]:
    """Where the tangents at both ends of a bracket meet: (s, the lower bound on F there)."""
    fall = left.slope - right.slope
    if fall == 0:
        return left.scale, min(left.value, right.value)
    offset = (right.value - left.value - right.slope * (right.scale - left.scale)) / fall
    offset = min(max(offset, 0.0), right.scale - left.scale)
    return left.scale + offset, left.value + left.slope * offset


def initial_bracket(fit: Fit) -> tuple[float, float]:
    """A guess: a band about the least-squares scale."""
    product = square = size_p = size_q = 0.0
    for channel in fit.channels:
        p, q, w = channel.prediction, channel.truth, channel.weight
        if channel.shifted and w.size:
            p, q = p - (w @ p) / w.sum(), q - (w @ q) / w.sum()
        product, square = product + float((w * p) @ q), square + float((w * p) @ p)
        size_p, size_q = size_p + float(w @ np.abs(p)), size_q + float(w @ np.abs(q))
    middle = product / square if square > 0 else 1.0
    half = 0.05 * abs(middle) + (1e-6 * size_q / size_p if size_p > 0 else 0.0)
    half = max(half, 8 * _EPS * abs(middle)) or 1.0
    return middle - half, middle + half


def minimise(fit: Fit, bracket: tuple[float, float] | None = None) -> tuple[Tangent, float]:
    """(the tangent at a minimiser of F, a lower bound on F). bracket: a guess of where the minimum lies, which need not
    hold it.

    The fit must determine the scale (problem.underdetermined): F grows without bound on both sides.
    """
    first, last = bracket or initial_bracket(fit)
    left, right = tangent(fit, first), tangent(fit, last)
    step = max(last - first, 1e-12 * abs(first), 1e-300)
    size = abs(fit.slope) + sum(float(c.weight @ np.abs(c.prediction)) for c in fit.channels)
    flat = 16 * _EPS * size  #: a slope below this is rounding
    while left.slope > flat:
        left, right, step = tangent(fit, left.scale - step), left, 2 * step
    while right.slope < -flat:
        left, right, step = right, tangent(fit, right.scale + step), 2 * step
    width, weight_left, weight_right = np.inf, 1.0, 1.0
    for trial in range(300):
        for end in (left, right):
            if abs(end.slope) <= flat:
                return end, end.value
        best = min(left, right, key=lambda end: end.value)
        middle, bound = crossing(left, right)
        gap = right.scale - left.scale
        if best.value - bound <= 2 * _EPS * abs(best.value) or gap <= 4 * _EPS * max(abs(left.scale), abs(right.scale)):
            return best, bound
        if fit.rows > _FEW and gap < 0.3 * width:
            fit, width = fold(fit, left.scale, right.scale), gap
        if fit.rows <= _FEW:
            return _search(fit, left, right)
        if trial % 3 != 2:  # regula falsi on the slopes (Illinois), every third step the crossing, which ends on a vertex
            low, high = left.slope * weight_left, right.slope * weight_right
            middle = left.scale + gap * min(max(-low / (high - low), 0.02), 0.98)
        if not left.scale < middle < right.scale:
            middle = left.scale + 0.5 * gap
        new = tangent(fit, middle)
        if new.slope <= 0:
            left, weight_left, weight_right = new, 1.0, 0.5 * weight_right if weight_left == 1.0 else 1.0
        else:
            right, weight_right, weight_left = new, 1.0, 0.5 * weight_left if weight_right == 1.0 else 1.0
    best = min(left, right, key=lambda end: end.value)
    return best, crossing(left, right)[1]


def _search(fit: Fit, left: Tangent, right: Tangent) -> tuple[Tangent, float]:
    """The minimum among the breakpoints in the bracket: bisection by the slope of the straight pieces between them."""
    points = breakpoints(fit, left.scale, right.scale)
    first, last = 0, len(points)  # the minimum is at points[first : last], or at an end where that is empty
    while last - first > 1:
        index = (first + last) // 2
        piece = tangent(fit, 0.5 * (points[index - 1] + points[index]))
        if piece.slope <= 0:
            left, first = piece, index
        else:
            right, last = piece, index
    ends = [left, right] + [tangent(fit, float(point)) for point in points[first:last]]
    return min(ends, key=lambda end: end.value), crossing(left, right)[1]
