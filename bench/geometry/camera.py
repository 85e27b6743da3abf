"""Normalised pinhole cameras: field of view, unprojection, and the camera that an affine point map implies.

Intrinsics are (3, 3), normalised: the image is 1 wide and 1 high, so fx is in widths and fy in heights.
"""

from __future__ import annotations

import math
from typing import Literal

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
    points: Array,
    mask: Array | None = None,
    focal: float | None = None,
    size: int = 64,
    solver: Literal["robust", "official"] = "robust",
) -> tuple[float, float]:
    """Focal length and z-shift that make an affine point map a perspective one (MoGe, section 3.1, equation 2).

    Minimises sum || f (x, y) / (z + t) - (u, v) ||^2 over f and t, f in closed form; (u, v) is measured from the image
    centre in image widths, so any aspect ratio will do.

    Args:
        points: (H, W, 3).
        mask: (H, W) bool, the pixels to use.
        focal: Known, in image widths; then only t is sought.
        size: The map is sampled on a size x size raster.
        solver: "robust" searches t over a range of magnitudes, so that no starting value has to be near, without the nearest
            1 % of the samples: one stray point in front of the others would otherwise bound t. "official" is what MoGe's own
            code does: Levenberg and Marquardt's method from t = 0 until the error falls by less than a thousandth, which
            finds the answer where t = 0 lies near it, as in MoGe's own maps; where it leads to no camera (f not positive, or
            most points behind it) the robust answer is given.

    Returns:
        f in image widths, and t in the map's unit; add t to z.

    Raises:
        UserError: Where fewer than 8 samples are usable or the points have no extent.
    """
    usable: Array = np.asarray(np.isfinite(points).all(axis=-1))
    if mask is not None:
        usable &= np.asarray(mask, bool)
    found = _official(points, usable, focal, size) if solver == "official" else None
    return _robust(points, usable, focal, size) if found is None else found


def _official(points: Array, usable: Array, focal: float | None, size: int) -> tuple[float, float] | None:
    """As the official code recovers it; None where the answer is no camera."""
    from scipy.optimize import least_squares

    height, width = usable.shape
    row, column = np.divmod(np.arange(size * size), size)
    row, column = row * height // size, column * width // size
    kept = usable[row, column]
    row, column = row[kept], column[kept]
    if len(row) < 8:
        return None
    sampled = np.asarray(points[row, column], np.float64)
    lateral, z = sampled[:, :2], sampled[:, 2]
    plane = _image_plane(row, column, height, width)

    def best(shift: Array | float) -> tuple[float, Array]:
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = lateral / (z + shift)[:, None]
            return focal or float((seen * plane).sum() / (seen * seen).sum()), seen

    def residuals(shift: Array) -> Array:
        length, seen = best(shift)
        return np.nan_to_num(length * seen - plane, nan=1e6, posinf=1e6, neginf=-1e6).ravel()

    shift = float(least_squares(residuals, x0=0.0, ftol=1e-3, method="lm").x[0])
    length, _ = best(shift)
    in_front = float((z + shift > 0).mean())
    return (length, shift) if math.isfinite(length) and length > 0 and in_front > 0.5 else None


def _image_plane(row: Array, column: Array, height: int, width: int) -> Array:
    """(N, 2): where pixels lie from the image's centre, in image widths."""
    return np.stack([(column + 0.5 - width / 2) / width, (row + 0.5 - height / 2) / width], axis=-1)


def _robust(points: Array, usable: Array, focal: float | None, size: int) -> tuple[float, float]:
    """By a search over magnitudes of t; raises UserError as `recover_focal_and_shift` says."""
    height, width = usable.shape
    index, found = masked_nearest(usable, min(size, height), min(size, width))
    chosen = index[found]
    sampled = take(np.asarray(points, np.float64), chosen)
    row, column = np.divmod(chosen, width)
    plane = _image_plane(row, column, height, width)
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
