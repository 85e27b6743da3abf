"""Independent answers for the alignment tests: a linear-programming solver, exhaustive search, a literal reading of the
published solver; and the random problems that they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
from scipy.optimize import linprog

from bench.geometry.align import Alignment, align_depth, align_points
from bench.types import Array

SHIFTED = {"depth": (True,), "none": (False,) * 3, "z": (False, False, True), "xyz": (True,) * 3}


def align(prediction: Array, truth: Array, weight: Array, variant: str, **options: Any) -> Alignment:
    """The library's fit; variant: a shift of points, "depth" (scale and shift) or "depth scale"; arrays are (N, C)."""
    if variant.startswith("depth"):
        return align_depth(prediction[:, 0], truth[:, 0], weight, shift=variant == "depth", **options)
    return align_points(prediction, truth, weight, shift=variant, **options)


def channels_of(variant: str) -> int:
    return 1 if variant.startswith("depth") else 3


def problems(variant: str, count: int, low: int, high: int, seed: int) -> Iterator[tuple[Array, Array, Array]]:
    """Random (prediction, truth, weight): ties on small integers, zero weights, heavy tails, duplicated points, exact fits,
    noise."""
    rng = np.random.default_rng(seed)
    shape = channels_of(variant)
    for number in range(count):
        n = int(rng.integers(low, high + 1))
        kind = number % 6
        p = rng.normal(size=(n, shape))
        q = p * rng.normal() + rng.normal(size=shape) + rng.normal(size=(n, shape))
        w = rng.random(n)
        if kind == 0:
            p, q = rng.integers(-4, 5, (n, shape)).astype(float), rng.integers(-4, 5, (n, shape)).astype(float)
            w = rng.integers(0, 3, n).astype(float)
        elif kind == 1:
            p = np.sort(rng.standard_cauchy(size=(n, shape)), axis=0)
            q = p * rng.normal() + rng.standard_t(2, size=(n, shape))
        elif kind == 2:
            p, q = np.repeat(p, 4, axis=0)[:n], np.repeat(q, 4, axis=0)[:n]
        elif kind == 3:
            q = 2 * p + 1 + (rng.random((n, shape)) < 0.2) * rng.normal(size=(n, shape))
        elif kind == 4:
            w = w**4 * (rng.random(n) < 0.5)
        if np.count_nonzero(w) >= 2:
            yield p, q, w


def linear_programme(p: Array, q: Array, w: Array, shifted: tuple[bool, ...]) -> float:
    """The optimum of the untruncated fit by HiGHS. p, q: (N, C)."""
    n, channels = p.shape
    columns = [p.T.ravel()]
    for channel in np.flatnonzero(shifted):
        columns.append((np.arange(n * channels) // n == channel).astype(float))
    identity = scipy.sparse.identity(n * channels)
    matrix = scipy.sparse.hstack([scipy.sparse.csr_matrix(np.stack(columns, axis=1)), identity, -identity]).tocsr()
    cost = np.concatenate([np.zeros(len(columns)), np.tile(w, 2 * channels)])
    bounds = [(None, None)] * len(columns) + [(0, None)] * (2 * n * channels)
    result = linprog(cost, A_eq=matrix, b_eq=q.T.ravel(), bounds=bounds, method="highs")
    assert result.success, result.message
    return float(result.fun)


def exhaustive(p: Array, q: Array, w: Array, shifted: tuple[bool, ...], truncation: float) -> float:
    """The truncated optimum: every scale that two rows of a shifted channel (one of another) define, with every shift of a
    row."""
    rows = w > 0
    p, q, w = p[rows], q[rows], w[rows]
    scales = []
    for channel, has_shift in enumerate(shifted):
        x, y = p[:, channel], q[:, channel]
        if has_shift:
            first, second = np.triu_indices(len(x), 1)
            x, y = x[first] - x[second], y[first] - y[second]
        scales.append(y[x != 0] / x[x != 0])
    best = np.inf
    for scale in np.unique(np.concatenate(scales)):
        total = 0.0
        for channel, has_shift in enumerate(shifted):
            level = q[:, channel] - scale * p[:, channel]
            tried = level if has_shift else np.zeros(1)
            total += np.minimum(w * np.abs(tried[:, None] - level), truncation).sum(axis=1).min()
        best = min(best, total)
    return float(best)


def published(p: Array, q: Array, w: Array, shifted: tuple[bool, ...]) -> tuple[float, Array, float]:
    """(scale, shift, loss): the untruncated same-point solver as the paper and its code describe it, one anchor and one row
    at a time."""
    channels = p.shape[1]
    best = (np.inf, 0.0, np.zeros(channels))
    flags = np.array(shifted, float)
    for k in np.flatnonzero(w > 0) if any(shifted) else (0,):
        x, y = (p - flags * p[k]).ravel(), (q - flags * q[k]).ravel()
        weights = np.repeat(w, channels)
        ratio = np.where(x != 0, y * np.sign(x), 0.0) / np.maximum(np.abs(x), 1e-7)
        order = np.argsort(ratio, kind="stable")
        mass, total, chosen = 0.0, float((weights * np.abs(x)).sum()), order[-1]
        for row in order:
            mass += weights[row] * abs(x[row])
            if 2 * mass >= total:
                chosen = row
                break
        counted = x != 0  # rows equal to the anchor are left out of its loss
        loss = float((weights * np.abs(ratio[chosen] * x - y))[counted].sum())
        if loss <= best[0]:
            scale = ratio[chosen] if not any(shifted) else y[chosen] / x[chosen]
            best = (loss, float(scale), flags * (q[k] - scale * p[k]))
    return best[1], best[2], best[0]
