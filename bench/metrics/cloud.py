"""How close a point cloud is to the true one (Feat2GS, arXiv:2412.09606, section 4.3: the DTU metrics).

Clouds are (N, 3) arrays in one frame, finite; results are in their unit. Raises ValueError for empty or not finite clouds.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bench.core.scenes import Array


def accuracy(prediction: Array, truth: Array) -> float:
    """Mean distance from each predicted point to the nearest true point."""
    return _mean_nearest(prediction, truth)


def completeness(prediction: Array, truth: Array) -> float:
    """Mean distance from each true point to the nearest predicted point."""
    return _mean_nearest(truth, prediction)


def distance(prediction: Array, truth: Array) -> float:
    """Mean distance between corresponding points: row i of one with row i of the other."""
    _check(prediction, truth)
    if prediction.shape != truth.shape:
        raise ValueError(f"corresponding clouds must be of one shape, not {prediction.shape} and {truth.shape}")
    return float(np.linalg.norm(prediction - truth, axis=1).mean())


def _mean_nearest(source: Array, target: Array) -> float:
    _check(source, target)
    distances, _ = cKDTree(target).query(source)
    return float(np.mean(distances))


def _check(*clouds: Array) -> None:
    for cloud in clouds:
        if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            raise ValueError(f"a cloud must be (N, 3) with at least one point, not {cloud.shape}")
        if not np.isfinite(cloud).all():
            raise ValueError(f"a cloud holds {int((~np.isfinite(cloud)).sum())} values that are NaN or infinite")
