"""Errors of depth, point and local point predictions that are already aligned (MoGe, arXiv:2410.19115, section 4).

Every function takes the valid pixels only, as flat arrays, and returns the mean relative error and the share of inliers
(0.05 is 5 %). Nothing is averaged away: a value that is not finite makes the result not finite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

DEPTH_RATIO = 1.25  #: delta of depth: the larger of z/z^ and z^/z stays below it
POINT_SHARE = 0.25  #: delta of points: the error stays below this share of the shorter of the two vectors


def depth_errors(prediction: Array, truth: Array, ratio: float = DEPTH_RATIO) -> tuple[float, float]:
    """Rel^d = mean |z^ - z| / z and delta^d = share with max(z / z^, z^ / z) < ratio, of depths (N,), z > 0.

    A predicted depth of zero or less is never an inlier.
    """
    # Written without divisions, so that a zero or negative prediction needs no special case.
    inlier = (prediction * ratio > truth) & (prediction < truth * ratio)
    return _mean(np.abs(prediction - truth) / truth, inlier)


def point_errors(
    prediction: Array, truth: Array, truth_norm: Array | None = None, share: float = POINT_SHARE
) -> tuple[float, float]:
    """Rel^p = mean ||p^ - p|| / ||p|| and delta^p = share with ||p^ - p|| < share * min(||p||, ||p^||), of points (N, 3).

    truth_norm: ||p|| (N,), where the caller has it already.
    """
    length = norms(truth) if truth_norm is None else truth_norm
    error = norms(prediction - truth)
    return _mean(error / length, error < share * np.minimum(length, norms(prediction)))


def local_point_errors(prediction: Array, truth: Array, diameter: float, share: float = POINT_SHARE) -> tuple[float, float]:
    """Mean ||p^ - p|| / diameter, and the share in which that is below `share`, of the points (N, 3) of one segment."""
    error = norms(prediction - truth) / diameter
    return _mean(error, error < share)


def norms(vectors: Array) -> Array:
    """Euclidean norms (N,) of (N, 3)."""
    x, y, z = (vectors * vectors).T
    return np.sqrt(x + y + z)


def _mean(error: Array, inlier: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean error and share of inliers; both NaN where there is nothing to average or an error is NaN."""
    rel = float(np.mean(error)) if error.size else float("nan")
    return rel, float("nan") if np.isnan(rel) else float(np.count_nonzero(inlier) / inlier.size)
