"""Surface normals: made from a point map, and their angular errors (Fouhey, Gupta and Hebert, ICCV 2013, section 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.metrics.catalogue import NORMALS_WITHIN

Array = NDArray[np.floating]


def normals_of_points(points: Array) -> Array:
    """Unit normals (H, W, 3) float64 of a point map (H, W, 3) in a camera's axes.

    The cross product of two differences: of the lower and the upper, and of the right and the left neighbour; at the image
    border, of the pixel and its one neighbour.

    That is the sum of the cross products of the four pairs of neighbouring differences, as MoGe's code takes it (utils3d,
    point_map_to_normal_map). A surface that the camera sees from its front has normals that face the camera. Scaling all
    points by a positive number, or moving them all, changes nothing. NaN where a neighbour is not finite, and where the
    neighbours span no surface.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        wide = np.asarray(points, np.float64)
        normal = np.cross(np.gradient(wide, axis=0), np.gradient(wide, axis=1))
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        return np.where(length > 0, normal / length, np.nan)


def smooth(depth: Array, jump: float) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels whose four neighbours lie on one surface with them, as far as a depth map (H, W) tells.

    The inverse depth of a plane changes evenly over the image, however steep the plane is. So along a row and along a column
    the mean inverse depth of the two neighbours may differ from the pixel's own by at most half of `jump` of it. False at
    the image border and where a depth is not known (not finite, or not positive).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.where(np.isfinite(depth) & (depth > 0), 1 / np.asarray(depth, np.float64), np.nan)
        found = np.zeros(depth.shape, bool)
        middle = near[1:-1, 1:-1]
        bends = (near[1:-1, 2:] + near[1:-1, :-2] - 2 * middle, near[2:, 1:-1] + near[:-2, 1:-1] - 2 * middle)
        found[1:-1, 1:-1] = (np.abs(bends[0]) <= jump * middle) & (np.abs(bends[1]) <= jump * middle)
    return found


def angles(prediction: Array, truth: Array) -> Array:
    """Angles (N,) in degrees, from 0 to 180, between directions (N, 3) of any length; 180 where the predicted one is none
    (zero or not finite)."""
    first, second = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    with np.errstate(invalid="ignore"):
        sine, cosine = np.linalg.norm(np.cross(first, second), axis=-1), (first * second).sum(axis=-1)
        found = np.degrees(np.arctan2(sine, cosine))
        known = np.isfinite(found) & (np.linalg.norm(first, axis=-1) > 0)
    return np.where(known, found, 180.0)


def normal_errors(errors: Array) -> tuple[float, ...]:
    """The mean and the median of angular errors (N,) in degrees, N > 0, and the shares of them below
    each threshold of NORMALS_WITHIN."""
    return (
        float(errors.mean()),
        float(np.median(errors)),
        *(float((errors < limit).mean()) for limit in NORMALS_WITHIN.values()),
    )
