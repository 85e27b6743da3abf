"""The truncated L1 fit with a shift, sum_c sum_i min(w_i |s p_ci + t_c - q_ci|, tau), to its global optimum, in NumPy.

Branch and bound over boxes of (s, t). In a box each residual has a range; a term that is constant or linear over its range
is folded away for good, any other is replaced by its convex envelope (a chord, or a V with its tip at zero), so the box's
relaxation is an L1 fit that `exact.minimise` solves. Once no row of a box is truncated in one part of it only, the
relaxation is exact, which is why a few hundred boxes suffice. The incumbent starts from the untruncated fit, refitted to
its inliers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.core.scenes import Array
from bench.geometry.align import exact
from bench.geometry.align.exact import Channel, Fit
from bench.geometry.align.outside import scale_range
from bench.geometry.align.problem import ROUNDING, Alignment, Problem

LIMIT = 3e8  #: rows of boxes that are looked at before it gives up; a box counts as _BOX_COST rows more
_BOX_COST = 20_000
_TRIES = 128  #: random pairs of points that a start is sought among
_SMALL = 2e5  #: problems that cost no more to enumerate are enumerated at once
_GAP = 0.9e-9  #: relative; a box whose bound is within it of the incumbent is closed


@dataclass(frozen=True, eq=False)
class Box:
    """scale in [scale[0], scale[1]], shift in [low, high] (C,); fit: the terms not folded yet; bound: no point in it is
    better."""

    scale: tuple[float, float]
    low: Array
    high: Array
    fit: Fit
    bound: float


def solve_truncated(problem: Problem, truncation: float, limit: float = LIMIT) -> Alignment:
    """The certified optimum of a problem with a shift that determines the scale. Where `limit` is spent first and the
    problem is too large to enumerate, the best point found, with certified=False and the bound reached."""
    cost = _enumeration_cost(problem)
    if cost > _SMALL:
        scale, shift = _start(problem, truncation)
        reach, outside = scale_range(problem, truncation, scale, problem.objective(scale, shift, truncation))
        scale, shift, bound = _branch_and_bound(problem, truncation, (scale, shift), reach, min(limit, cost))
        found = problem.answer(scale, shift, min(bound, outside), "exact", truncation)
        if found.certified or cost > limit:
            return found
    scale, shift = _enumerate(problem, truncation)
    return problem.answer(scale, shift, np.inf, "exact", truncation)


def _enumeration_cost(problem: Problem) -> float:
    """What `_enumerate` costs, in units of one row of a box."""
    scales = sum(0.5 * problem.rows**2 if shifted else problem.rows for shifted in problem.shifted)
    return scales * problem.rows**2 * len(problem.shifted) / 16


def _enumerate(problem: Problem, truncation: float) -> tuple[float, Array]:
    """(s, t): the best s at which two rows of a shifted channel meet, or a row of another is exact, each with its best t.
    One of them is optimal, because between the hyperplanes "residual = 0" the objective is concave."""
    scales = exact.breakpoints(exact.fit_of(problem), -np.inf, np.inf)
    best, scale, shift = np.inf, 0.0, np.zeros(len(problem.shifted))
    for block in np.array_split(scales, scales.size * problem.rows // (1 << 20) + 1):
        totals, shifts = np.zeros(block.size), np.zeros((block.size, len(problem.shifted)))
        for index, (p, q, shifted) in enumerate(zip(problem.prediction, problem.truth, problem.shifted, strict=True)):
            level = q - block[:, None] * p
            tried = level if shifted else np.zeros((block.size, 1))
            values = np.zeros(tried.shape)
            for row, weight in enumerate(problem.weight):
                values += np.minimum(weight * np.abs(tried - level[:, row, None]), truncation)
            chosen = values.argmin(axis=1)[:, None]
            totals += np.take_along_axis(values, chosen, axis=1)[:, 0]
            shifts[:, index] = np.take_along_axis(tried, chosen, axis=1)[:, 0]
        winner = int(totals.argmin())
        if totals[winner] < best:
            best, scale, shift = float(totals[winner]), float(block[winner]), shifts[winner]
    return scale, shift


def _start(problem: Problem, truncation: float) -> tuple[float, Array]:
    """The untruncated fit or the best one through two random points, whichever is better once refitted to its inliers."""
    plain, _ = exact.minimise(exact.fit_of(problem))
    starts = [(plain.scale, plain.shift), _through_two_points(problem, truncation)]
    ends = [_refit(problem, truncation, *start) for start in starts]
    return min(ends, key=lambda end: problem.objective(end[0], end[1], truncation))


def _through_two_points(problem: Problem, truncation: float) -> tuple[float, Array]:
    rng = np.random.default_rng(0)
    p, q, flags = problem.prediction, problem.truth, problem.shifted
    sample = slice(None, None, max(1, problem.rows // 512))
    best, found = np.inf, (0.0, np.zeros(len(flags)))
    for first, second in rng.integers(0, problem.rows, (_TRIES, 2)):
        run, rise = p[:, first] - flags * p[:, second], q[:, first] - flags * q[:, second]
        channel = int(np.abs(run).argmax())
        if run[channel] == 0:
            continue
        scale = float(rise[channel] / run[channel])
        shift = flags * (q[:, first] - scale * p[:, first])
        residual = problem.weight[sample] * np.abs(scale * p[:, sample] + shift[:, None] - q[:, sample])
        value = float(np.minimum(residual, truncation).sum())
        if value < best:
            best, found = value, (scale, shift)
    return found


def _refit(problem: Problem, truncation: float, scale: float, shift: Array) -> tuple[float, Array]:
    """Fits to the rows that are not truncated, again and again while they get better."""
    fit, value = exact.fit_of(problem), problem.objective(scale, shift, truncation)
    for _ in range(20):
        channels = []
        for channel, t in zip(fit.channels, shift, strict=True):
            p, q, w = channel.prediction, channel.truth, channel.weight
            inlier = w * np.abs(scale * p + t - q) < truncation
            channels.append(replace(channel, prediction=p[inlier], truth=q[inlier], weight=w[inlier]))
        if not any(c.prediction.size > 1 and np.ptp(c.prediction) > 0 for c in channels):
            break
        new, _ = exact.minimise(Fit(tuple(channels)), (scale - 0.01 * abs(scale), scale + 0.01 * abs(scale)))
        new_value = problem.objective(new.scale, new.shift, truncation)
        if not new_value < value:
            break
        scale, shift, value = new.scale, new.shift, new_value
    return scale, shift


def _branch_and_bound(
    problem: Problem, truncation: float, start: tuple[float, Array], reach: float, limit: float
) -> tuple[float, Array, float]:
    """(s, t, lower bound) over |s| <= reach, depth first, towards the incumbent."""
    scale, shift = start
    value = problem.objective(scale, shift, truncation)
    slack = 0.5 * ROUNDING * problem.magnitude(scale, shift)
    size_p, size_q = (float((np.abs(side) @ problem.weight).sum()) for side in (problem.prediction, problem.truth))
    size_w = float(problem.weight.sum())
    spread = reach * np.abs(problem.prediction) + truncation / problem.weight
    low = np.where(problem.shifted, (problem.truth - spread).min(axis=1), 0.0)
    high = np.where(problem.shifted, (problem.truth + spread).max(axis=1), 0.0)
    stack, closed, spent = [Box((-reach, reach), low, high, exact.fit_of(problem), 0.0)], np.inf, 0
    while stack and spent < limit:
        box = stack.pop()
        if box.bound < value - _GAP * value - slack:
            spent += box.fit.rows + _BOX_COST
            box, relaxed, bent, cut = _relax(box, truncation)
            # What rounding may add to a bound: a part of the magnitudes that cancel in it (felt where scales are huge).
            most = max(map(abs, box.scale)), np.maximum(np.abs(box.low), np.abs(box.high)).sum()
            error = 8 * np.finfo(np.float64).eps * (most[0] * size_p + most[1] * size_w + size_q)
            bound = max(box.bound, _corner_bound(box, relaxed) - error)
            if bound < value - _GAP * value - slack and bent and (cut <= 0.5 * bent or bent + cut < 400):
                found, relaxed_bound = _minimise_in(box, relaxed)
                bound = max(bound, relaxed_bound - error)
                new_value = problem.objective(found.scale, found.shift, truncation)
                if new_value < value:
                    scale, shift, value = found.scale, found.shift, new_value
            box = replace(box, bound=bound)
        if box.bound >= value - _GAP * value - slack:
            closed = min(closed, box.bound)
            continue
        children = _split(box, scale, shift)
        if children:
            stack.extend(children)
        else:
            closed = min(closed, box.bound)
    return scale, shift, min([closed, *(box.bound for box in stack)])


def _relax(box: Box, truncation: float) -> tuple[Box, Fit, int, int]:
    """The box without the rows that are constant or linear in it; its convex relaxation; how many of the rows left are
    V-shaped, and how many are cut off by the truncation on one side only."""
    kept, convex, slope, constant = [], [], box.fit.slope, box.fit.constant
    relaxed_slope = relaxed_constant = 0.0
    bent = cut = 0
    for channel, low, high in zip(box.fit.channels, box.low, box.high, strict=True):
        p, q, w = channel.prediction, channel.truth, channel.weight
        ends = np.stack([box.scale[0] * p, box.scale[1] * p])
        least, most = ends.min(axis=0) + low - q, ends.max(axis=0) + high - q
        beyond = (w * least >= truncation) | (w * most <= -truncation)
        inside = (w * most <= truncation) & (w * least >= -truncation)
        sign = np.where(inside & ~beyond & (least >= 0), w, np.where(inside & ~beyond & (most <= 0), -w, 0.0))
        left = ~beyond & (sign == 0)
        slope += float(sign @ p)
        constant += truncation * int(beyond.sum()) - float(sign @ q)
        p, q, w, least, most = p[left], q[left], w[left], least[left], most[left]
        tilt = channel.tilt + float(sign.sum())
        kept.append(Channel(p, q, w, channel.shifted, tilt))
        mixed = (least < 0) & (most > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            up, down = np.minimum(w, truncation / most), np.minimum(w, truncation / -least)
            at_least, at_most = np.minimum(w * np.abs(least), truncation), np.minimum(w * np.abs(most), truncation)
            chord = np.where(mixed, 0.5 * (up - down), (at_most - at_least) / (most - least))
        offset = np.where(mixed, 0.0, at_least - chord * least)
        relaxed_slope += float(chord @ p)
        relaxed_constant += float(offset.sum() - chord @ q)
        convex.append(Channel(p[mixed], q[mixed], 0.5 * (up + down)[mixed], channel.shifted, tilt + float(chord.sum())))
        bent, cut = bent + int((mixed & inside[left]).sum()), cut + int((~(mixed & inside[left])).sum())
    fit = Fit(tuple(kept), slope, constant)
    return replace(box, fit=fit), Fit(tuple(convex), slope + relaxed_slope, constant + relaxed_constant), bent, cut


def _corner_bound(box: Box, relaxed: Fit) -> float:
    """A cheap bound: every V of the relaxation is replaced by a line below it, twice, and the lines are minimised over the
    box."""
    middle, half = 0.5 * (box.scale[0] + box.scale[1]), 0.5 * (box.scale[1] - box.scale[0])
    bounds = []
    for secant in (False, True):
        slope, value = relaxed.slope, relaxed.constant
        for channel, low, high in zip(relaxed.channels, box.low, box.high, strict=True):
            p, q, w = channel.prediction, channel.truth, channel.weight
            centre, reach = middle * p + 0.5 * (low + high) - q, half * np.abs(p) + 0.5 * (high - low)
            line = w * (centre / np.maximum(reach, np.abs(centre)) if secant else np.sign(centre)) if p.size else w
            slope, value = slope + float(line @ p), value - float(line @ q)
            tilt = channel.tilt + float(line.sum())
            value += tilt * 0.5 * (low + high) - abs(tilt) * 0.5 * (high - low)
        bounds.append(value + slope * middle - abs(slope) * half)
    return max(bounds)


def _minimise_in(box: Box, relaxed: Fit) -> tuple[exact.Tangent, float]:
    """The minimum of the relaxation over the box, and a lower bound on it. The shift is held in its range by two heavy
    rows."""
    channels, constant = [], relaxed.constant
    for channel, low, high in zip(relaxed.channels, box.low, box.high, strict=True):
        if channel.shifted:
            heavy = float(channel.weight.sum()) + abs(channel.tilt) + np.finfo(np.float64).tiny
            channel = replace(
                channel,
                prediction=np.append(channel.prediction, [0.0, 0.0]),
                truth=np.append(channel.truth, [low, high]),
                weight=np.append(channel.weight, [heavy, heavy]),
            )
            constant -= heavy * (high - low)
        channels.append(channel)
    held = Fit(tuple(channels), relaxed.slope, constant)
    first, last = exact.tangent(held, box.scale[0]), exact.tangent(held, box.scale[1])
    if first.slope >= 0:
        return first, first.value
    if last.slope <= 0:
        return last, last.value
    return exact.minimise(held, box.scale)


def _split(box: Box, scale: float, shift: Array) -> list[Box]:
    """Both halves across the side that the open rows feel most, the incumbent's half last; none where it is too thin to
    halve."""
    felt = [sum(float(c.weight @ np.abs(c.prediction)) for c in box.fit.channels) * (box.scale[1] - box.scale[0])]
    felt += [float(c.weight.sum()) * (high - low) for c, low, high in zip(box.fit.channels, box.low, box.high, strict=True)]
    side = int(np.argmax(felt)) - 1
    low, high = box.scale if side < 0 else (box.low[side], box.high[side])
    middle = 0.5 * (low + high)
    if not low < middle < high:
        return []
    if side < 0:
        halves = [replace(box, scale=(low, middle)), replace(box, scale=(middle, high))]
    else:
        below, above = box.high.copy(), box.low.copy()
        below[side] = above[side] = middle
        halves = [replace(box, high=below), replace(box, low=above)]
    incumbent = scale if side < 0 else shift[side]
    return halves[::-1] if incumbent <= middle else halves
