"""The view that the evaluation sees: the optical axis through the image centre, at a data set's working size (MoGe,
appendix)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.geometry.camera import rays
from bench.geometry.resample import masked_nearest, take
from bench.metrics.depth import norms

#: The photo is resized to at most so many times the pixels of the photo, or of the view where that has more.
LARGEST_MAGNIFICATION = 4.0
FARTHEST = 1000.0  #: depth beyond this multiple of the 1 % quantile is dropped


@dataclass(frozen=True, eq=False)
class WarpedView:
    """image (H, W, 3) uint8, depth (H, W) float32 (NaN unknown, +inf sky), intrinsics (3, 3) normalised and centred,
    segmentation (H, W) int32 or None."""

    image: Array
    depth: Array
    intrinsics: Array
    segmentation: Array | None


def warp_view(
    image: Array, depth: Array, intrinsics: Array, segmentation: Array | None, width: int, height: int
) -> WarpedView:
    """The largest centred view of width x height pixels inside a photo, with the optical axis through the photo's centre.

    image (H, W, 3) uint8; depth (H, W), NaN unknown, +inf sky; intrinsics (3, 3) normalised; segmentation (H, W) or
    None. The image is first resized with antialiasing to the view's pixel size, then sampled bilinearly (its border
    pixels repeated); depth is carried over as the distance along the ray, nearest and never across unknown pixels; the
    segmentation nearest. Depth beyond FARTHEST times the 1 % quantile becomes NaN.

    Raises UserError where the camera would ask for far more pixels than the photo and the view have.
    """
    from PIL import Image

    rotation, extent_x, extent_y = _target_view(intrinsics, width / height)
    source_height, source_width = image.shape[:2]
    # Rounded down, but not for a rounding error: a photo that is its own view must come out unchanged.
    rows = max(1, int(height / (extent_y * intrinsics[1, 1]) + 1e-6))
    columns = max(1, int(width / (extent_x * intrinsics[0, 0]) + 1e-6))
    if rows * columns > LARGEST_MAGNIFICATION * max(width * height, source_height * source_width):
        raise UserError(
            f"no sound camera: with the intrinsics {np.round(intrinsics, 4).tolist()} a view of {width} x {height} pixels "
            f"would need the photo at {columns} x {rows} pixels"
        )
    view = np.array([[1 / extent_x, 0, 0.5], [0, 1 / extent_y, 0.5], [0, 0, 1]])

    # Where each pixel of the view lies in the resized photo, in pixels whose centres are at + 0.5.
    seen = rays(height, width, view) @ (intrinsics @ rotation.T).T
    x, y = seen[..., 0] / seen[..., 2] * columns, seen[..., 1] / seen[..., 2] * rows
    row, column = (np.clip(np.floor(at).astype(np.int64), 0, n - 1) for at, n in ((y, rows), (x, columns)))

    resized = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.LANCZOS))
    warped_depth = _warp_depth(depth, intrinsics, view, row, column, rows, columns)
    labels = None
    if segmentation is not None:
        source_row = np.minimum(row * source_height // rows, source_height - 1)
        source_column = np.minimum(column * source_width // columns, source_width - 1)
        labels = segmentation[source_row, source_column].astype(np.int32)
    return WarpedView(_bilinear(resized, x - 0.5, y - 0.5), warped_depth, view, labels)


def _target_view(intrinsics: Array, aspect: float) -> tuple[Array, float, float]:
    """The rotation from the photo's camera to the view's, and the view's width and height at unit distance."""
    inverse = np.linalg.inv(intrinsics)
    rotation = _rotation_to_axis(inverse @ [0.5, 0.5, 1.0])
    corners = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]], np.float64) @ inverse.T @ rotation.T
    corners = corners[:, :2] / corners[:, 2:]
    # The photo in the view's plane is convex; each side n.x = d limits a centred box of half height h to h (a |n_x| +
    # |n_y|) <= d.
    along = np.roll(corners, -1, axis=0) - corners
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    offset = np.abs(np.sum(normal * corners, axis=1))
    inside = 2 * np.min(offset / (aspect * np.abs(normal[:, 0]) + np.abs(normal[:, 1])))
    # Never wider than the photo itself at unit distance: no pixel is magnified beyond what the photo holds.
    extent_y = min(inside, 1 / intrinsics[1, 1], 1 / (intrinsics[0, 0] * aspect))
    return rotation, extent_y * aspect, extent_y


def _rotation_to_axis(direction: Array) -> Array:
    """The smallest rotation that takes a direction to (0, 0, 1)."""
    a = direction / np.linalg.norm(direction)
    cross = np.array([[0, 0, -a[0]], [0, 0, -a[1]], [a[0], a[1], 0]])  # of the axis a x (0, 0, 1)
    return np.eye(3) + cross + cross @ cross / (1 + a[2])


def _warp_depth(depth: Array, intrinsics: Array, view: Array, row: Array, column: Array, rows: int, columns: int) -> Array:
    """Depth of the view (H, W) float32, from the resized photo's pixels (row, column)."""
    index, known = masked_nearest(np.isfinite(depth) & (depth > 0), rows, columns)
    resized = np.where(known, take(depth.astype(np.float64), index), np.nan)
    if np.isposinf(depth).any():
        _, sky = masked_nearest(np.isposinf(depth), rows, columns)
        resized[sky & ~known] = np.inf
    distance = (resized * _ray_lengths(rows, columns, intrinsics))[row, column]
    found = distance / _ray_lengths(row.shape[0], row.shape[1], view)
    finite = np.isfinite(found)
    if finite.any():
        found[finite & (found > FARTHEST * np.quantile(found[finite], 0.01))] = np.nan
    return found.astype(np.float32)


def _ray_lengths(height: int, width: int, intrinsics: Array) -> Array:
    return norms(rays(height, width, intrinsics).reshape(-1, 3)).reshape(height, width)


def _bilinear(image: Array, x: Array, y: Array) -> Array:
    """uint8 values of an image at real pixel indices (x, y), its border repeated."""
    height, width = image.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)
