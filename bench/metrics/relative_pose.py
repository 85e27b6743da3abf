"""Relative camera poses: the errors of all pairs of views, and the area under the curve of how many are right.

Source: PoseDiffusion (arXiv:2306.15667), section 4 (relative rotation and translation accuracy, their AUC), in the form of
VGGT's evaluation (arXiv:2503.11651, section 4.1; evaluation/test_co3d.py in its repository at 851d257).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_NO_DIRECTION = 90.0  #: the worst angle between two lines
_STANDING = 1e-9  #: two cameras stand in one place where their distance is below this share of the largest one


def pair_errors(estimated: Array, truth: Array) -> Array:
    """Rotation and translation errors (P, 2) in degrees of every pair of V views, P = V (V - 1) / 2.

    The rotation error is the angle between the two relative rotations, from 0 to 180; the translation error is the angle
    between the lines of the two relative translations, from 0 to 90: a translation the other way round counts as right, as
    in VGGT's evaluation. So a similarity of either world changes nothing. Where the true cameras of a pair stand in one
    place, there is no direction to find, and the error is 0; where only the estimated ones do, it is 90.

    Args:
        estimated: (V, 4, 4) world-to-camera matrices.
        truth: (V, 4, 4), of the same views.
    """
    spans = [_largest_baseline(poses) for poses in (estimated, truth)]
    found = []
    for i, j in itertools.combinations(range(len(truth)), 2):
        (mine, my_way), (true, true_way) = (_relative(poses[i], poses[j]) for poses in (estimated, truth))
        found.append((rotation_angle(mine.T @ true), _line_angle(my_way, true_way, *spans)))
    return np.array(found, np.float64).reshape(-1, 2)


def auc(errors: Array, degrees: int) -> float:
    """Area under the curve of pairs whose larger error is below a threshold, for errors (P, 2) in degrees; in [0, 1].

    The mean over the thresholds of 1, 2, …, `degrees` degrees of the share of pairs below them, as VGGT's evaluation sums up
    its histogram. NaN where there is no pair.
    """
    worst = errors.max(axis=1) if len(errors) else np.full(1, np.nan)
    shares = [(worst < threshold).mean() for threshold in range(1, degrees + 1)]
    return float(np.mean(shares)) if len(errors) else float("nan")


def rotation_angle(rotation: Array) -> float:
    """Degrees that a rotation (3, 3) turns by; by the arc tangent, which keeps its digits for tiny angles, where the arc
    cosine loses half of them."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return float(np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(rotation) - 1)))


def _relative(first: Array, second: Array) -> tuple[Array, Array]:
    """The rotation and the translation from the second camera into the first."""
    rotation = first[:3, :3] @ second[:3, :3].T
    return rotation, first[:3, 3] - rotation @ second[:3, 3]


def _largest_baseline(poses: Array) -> float:
    pairs = itertools.combinations(range(len(poses)), 2)
    return max((float(np.linalg.norm(_relative(poses[i], poses[j])[1])) for i, j in pairs), default=0.0)


def _line_angle(mine: Array, true: Array, my_span: float, true_span: float) -> float:
    if np.linalg.norm(true) <= _STANDING * true_span:
        return 0.0
    if np.linalg.norm(mine) <= _STANDING * my_span:
        return _NO_DIRECTION
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(mine, true)), abs(mine @ true))))
