"""Photos on disk, and views brought to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.types import Array, UserError, View
from registry.datasets.formats.lens import resized_photo

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
#: Photo folders that a scene may hold, beside one another, at falling sizes.
FOLDERS = ("images", "images_2", "images_4", "images_8")
#: A photo folder is large enough from this long side on: the probe prepares its photos at 512 pixels.
ENOUGH = 512
#: A side that keeps less than this share of its length when the views are cut to one size is made smaller first.
_LEAST_SHARE = 0.8


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, sorted by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."))


def photo_folder(scene: Path) -> Path | None:
    """Of images, images_2, images_4, images_8 the one with the smallest photos whose long side reaches 512 pixels, else the
    one with the largest; None where a scene has no photos."""
    found = {folder: photos for name in FOLDERS if (photos := photos_in(folder := scene / name))}
    if len(found) < 2:
        return next(iter(found), None)
    sizes = {folder: max(photo_size(photos[0])) for folder, photos in found.items()}
    enough = [folder for folder, size in sizes.items() if size >= ENOUGH]
    if enough:
        return min(enough, key=lambda folder: sizes[folder])
    return max(sizes, key=lambda folder: sizes[folder])


def photo_size(path: Path) -> tuple[int, int]:
    """(width, height) as stored, from the file's header. Raises UserError where it is no readable image."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace the file or remove it") from error


def read_photo(path: Path, upright: bool) -> tuple[Array, Array | None]:
    """The photo (H, W, 3) uint8 and its alpha channel (H, W) uint8 or None; where there is one, the photo stands on black.

    upright: turned as its EXIF orientation says. Calibrations (COLMAP's, transforms.json) speak of the pixels as stored, so
    photos with a calibration are not turned. Raises UserError where the file is no readable image.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened) if upright else opened
            if "A" not in image.getbands() and "transparency" not in image.info:
                return np.array(image.convert("RGB")), None
            pixels = np.array(image.convert("RGBA"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace the file or remove it") from error
    colour, alpha = pixels[..., :3], pixels[..., 3]
    return np.rint(colour * (alpha[..., None] / 255)).astype(np.uint8), alpha


def one_size(views: Sequence[View]) -> tuple[View, ...]:
    """The views cut about their centres to the least width and the least height among them; cameras follow.

    A view that would lose more than a fifth of a side is first made smaller until one side fits. (Views read from disk have
    no ground-truth normals.)
    """
    width, height = (min(view.image.shape[axis] for view in views) for axis in (1, 0))
    return tuple(_cut(view, width, height) for view in views)


def _cut(view: View, width: int, height: int) -> View:
    rows, columns = view.image.shape[:2]
    if (rows, columns) == (height, width):
        return view
    if min(width / columns, height / rows) < _LEAST_SHARE:
        scale = max(width / columns, height / rows)
        view = _resized(view, max(width, round(columns * scale)), max(height, round(rows * scale)))
        rows, columns = view.image.shape[:2]
    left, top = (columns - width) // 2, (rows - height) // 2
    window = slice(top, top + height), slice(left, left + width)
    return replace(
        view,
        image=view.image[window],
        camera=view.camera and view.camera.cropped(left, top, width, height),
        depth=None if view.depth is None else view.depth[window],
        mask=None if view.mask is None else view.mask[window],
    )


def _resized(view: View, width: int, height: int) -> View:
    return replace(
        view,
        image=resized_photo(view.image, width, height),
        camera=view.camera and view.camera.resized(width, height),
        depth=None if view.depth is None else nearest(view.depth, width, height),
        mask=None if view.mask is None else nearest(view.mask, width, height),
    )


def nearest(layer: Array, width: int, height: int) -> Array:
    """The layer (H, W, ...) at another size: the source pixel under each target pixel's centre."""
    rows = ((np.arange(height) + 0.5) * layer.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * layer.shape[1] / width).astype(int)
    return layer[rows][:, columns]
