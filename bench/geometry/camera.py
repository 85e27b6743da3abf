"""Normalised pinhole cameras: field of view, unprojection, and the camera that an affine point map implies.

Intrinsics are (3, 3), normalised: the image is 1 wide and 1 high, so fx is in widths and fy in heights.
"""

from __future__ import annotations

import math

import numpy as np

from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.geometry.resample import masked_nearest, take


def field_of_view(intrinsics: Array) -> tuple[float, float]:
    """Horizontal and vertical field of view in degrees, on the axes through the principal point."""
    angles = []
    for axis in (0, 1):
        focal, centre = float(intrinsics[axis, axis]), float(intrinsics[axis, 2])
        angles.append(math.degrees(math.atan2(centre, focal) + math.atan2(1 - centre, focal)))
    return angles[0], angles[1]


def intrinsics_from_focal(focal: float, aspect: float) -> Array:
    """Centred intrinsics (3, 3) float64 of square pixels. focal: in image widths; aspect: width / height."""
    return np.array([[focal, 0, 0.5], [0, focal * aspect, 0.5], [0, 0, 1]])


def intrinsics_from_fov(fov_x: float, aspect: float) -> Array:
    """Centred intrinsics (3, 3) float64 of square pixels. fov_x: degrees in (0, 180); aspect: width / height."""
    if not 0 < fov_x < 180:
        raise UserError(f"field of view {fov_x}: it must lie between 0 and 180 degrees")
    return intrinsics_from_focal(0.5 / math.tan(math.radians(fov_x) / 2), aspect)


def rays(height: int, width: int, intrinsics: Array) -> Array:
    """Rays (height, width, 3) float64 through the pixel centres, with z = 1."""
    inverse = np.linalg.inv(np.asarray(intrinsics, np.float64))
    u = (np.arange(width) + 0.5) / width
    v = (np.arange(height) + 0.5) / height
    return inverse[:, 2] + u[None, :, None] * inverse[:, 0] + v[:, None, None] * inverse[:, 1]


def points_from_depth(depth: Array, intrinsics: Array) -> Array:
    """Camera-space points (H, W, 3) float64 of a depth map (H, W); NaN and inf are carried through."""
    with np.errstate(invalid="ignore"):
        return rays(depth.shape[0], depth.shape[1], intrinsics) * np.asarray(depth, np.float64)[..., None]


def recover_focal_and_shift(
    points: Array, mask: Array | None = None, focal: float | None = None, size: int = 64
) -> tuple[float, float]:
    """Focal length and z-shift that make an affine point map (H, W, 3) a perspective one (MoGe, section 3.1, equation 2).

    Minimises sum || f (x, y) / (z + t) - (u, v) ||^2 over f > 0 and t, on a size x size sampling; (u, v) is measured
    from the image centre in image widths, so any aspect ratio will do. mask: (H, W) bool, the pixels to use. focal:
    known, in image widths; then only t is sought. Gives f in image widths, and t in the map's unit; add t to z. f is
    eliminated in closed form and t searched over a range of magnitudes, so that no starting value has to be near. The
    nearest 1 % of the samples are left out: one stray point in front of the others would otherwise bound t. Raises
    UserError where fewer than 8 samples are usable or the points have no extent.
    """
    height, width = points.shape[:2]
    usable: Array = np.asarray(np.isfinite(points).all(axis=-1))
    if mask is not None:
        usable &= np.asarray(mask, bool)
    index, found = masked_nearest(usable, min(size, height), min(size, width))
    chosen = index[found]
    sampled = take(np.asarray(points, np.float64), chosen)
    row, column = np.divmod(chosen, width)
    plane = np.stack([(column + 0.5 - width / 2) / width, (row + 0.5 - height / 2) / width], axis=-1)
    if len(sampled) >= 100:
        kept = sampled[:, 2] >= np.quantile(sampled[:, 2], 0.01)
        sampled, plane = sampled[kept], plane[kept]
    extent = float(np.sqrt(np.mean(sampled[:, :2] ** 2))) if len(sampled) else 0.0
    if len(sampled) < 8 or not extent > 0:
        raise UserError(
            f"focal length: {len(sampled)} usable points of lateral extent {extent:g}; 8 points with an extent are needed"
        )
    return _search(sampled[:, :2], sampled[:, 2], plane, extent, focal)


def _search(lateral: Array, z: Array, plane: Array, extent: float, focal: float | None) -> tuple[float, float]:
    from scipy.optimize import minimize_scalar

    nearest = float(z.min())

    def fit(log_distance: float) -> tuple[float, float]:
        """Squared error and focal length where the nearest sample is exp(log_distance) from the camera."""
        seen = lateral / (z - nearest + math.exp(log_distance))[:, None]
        best = focal if focal is not None else max(float((seen * plane).sum() / (seen * seen).sum()), 1e-6)
        return float(((best * seen - plane) ** 2).sum()), best

    # The error may have several valleys over t: a coarse look at seven decades first, then a refinement in the best one.
    grid = np.log(extent) + np.linspace(math.log(1e-3), math.log(1e4), 71)
    lowest = int(np.argmin([fit(value)[0] for value in grid]))
    low, high = grid[max(lowest - 1, 0)], grid[min(lowest + 1, len(grid) - 1)]
    found = minimize_scalar(lambda value: fit(value)[0], bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
    return fit(found)[1], math.exp(float(found)) - nearest
