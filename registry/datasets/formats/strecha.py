"""Strecha's multi-view stereo benchmark (CVPR 2008): photos with `<photo>.camera` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.machine.text import read_text
from bench.types import Array, UserError
from registry.datasets.formats.mvsnet import lens_of
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.lens import Lens
from registry.datasets.reading.photo_set import Photo, PhotoSet, usable
from registry.datasets.reading.photos import is_hidden, photos_under, view_names
from registry.datasets.reading.poses import from_camera_to_world

#: Where the photos and the cameras lie: the benchmark's own archives, and its copies beside other packages.
_PHOTO_PLACES = ("images", "urd", ".")


def camera_files(folder: Path) -> list[Path]:
    """The `.camera` files of a scene: in its folder, or in a folder below."""
    return sorted(path for path in (*folder.glob("*.camera"), *folder.glob("*/*.camera")) if not is_hidden(path))


def read_strecha(folder: Path) -> PhotoSet:
    """Photos in `images/`, `urd/` or the scene's folder, each with a file `<photo>.camera` anywhere in it.

    A camera file holds the calibration (3x3), three numbers for distortion (zero: the photos are undistorted), the rotation
    of the camera in the world (3x3, a column per camera axis), its centre, and the photo's width and height.

    Raises:
        UserError: Two files belong to one photo, or fewer than two photos can be used.
    """
    paths = next((found for place in _PHOTO_PLACES if (found := photos_under(folder / place))), [])
    names = view_names(paths, folder)
    cameras: dict[str, Path] = {}
    for path in camera_files(folder):
        photo = path.name.removesuffix(".camera")
        if photo in cameras:
            raise UserError(f"{path}: {cameras[photo]} is of the same photo; keep one of them")
        cameras[photo] = path

    def make(item: tuple[str, Path]) -> Photo:
        name, path = item
        file = cameras.get(path.name) or cameras.get(path.stem)
        if file is None:
            raise UserError(f"its camera {path.name}.camera is missing")
        try:
            lens, pose = _camera(read_text(file))
        except UserError as error:
            raise UserError(f"{file}: {error}") from error
        return Photo(name, path, lens, pose)

    photos, left_out = usable(((item[1].name, item) for item in zip(names, paths, strict=True)), make)
    files = tuple(cameras.get(photo.path.name) or cameras[photo.path.stem] for photo in photos)
    unused = ("other files of the benchmark (.P, bounding, 3D models)",)
    return PhotoSet(folder, "Strecha (.camera)", tuple(photos), files, left_out=left_out, unused=unused, unit="metre")


def _camera(text: str) -> tuple[Lens, Array]:
    try:
        values = np.array(text.split(), np.float64)
    except ValueError:
        values = np.zeros(0)
    if values.size != 26 or not np.isfinite(values).all():
        raise UserError("must hold 26 finite numbers: K (9), distortion (3), rotation (9), centre (3), width, height")
    if np.any(values[9:12]):
        raise UserError(f"the distortion {values[9:12]} is not supported; undistort the photos first")
    rotation_and_centre = np.concatenate([values[12:21].reshape(3, 3), values[21:24, None]], axis=1)
    try:
        pose = from_camera_to_world(rotation_and_centre)
    except UserError as error:
        raise UserError(f"the rotation {error}") from error
    width, height = (round(float(side)) for side in values[24:])
    if min(width, height) <= 0:
        raise UserError(f"width and height must be positive, not {width} and {height}")
    return lens_of(values[:9].reshape(3, 3), width, height), pose


STRECHA = Layout(lambda folder: bool(camera_files(folder)), read_strecha)
