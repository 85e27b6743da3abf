"""Original LLFF scenes: `poses_bounds.npy` beside photos; a COLMAP model gives lens and points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.machine.pictures.depths import read_numpy
from bench.types import Array, SparsePoints, UserError
from registry.datasets.formats.colmap import models, points_of, read_model_points
from registry.datasets.formats.colmap_model import read_cameras
from registry.datasets.formats.plain import best_folder
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.lens import Lens
from registry.datasets.reading.photo_set import Photo, PhotoSet, usable
from registry.datasets.reading.photos import photos_under, view_names
from registry.datasets.reading.points import Points
from registry.datasets.reading.poses import from_camera_to_world

POSES_BOUNDS = "poses_bounds.npy"
#: Tracks are believed where this share of the points that they name for a view projects into it.
_LEAST_INSIDE = 0.8


def read_llff(folder: Path) -> PhotoSet:
    """`poses_bounds.npy` (N, 17) beside N photos, in the order of their names (the file holds none).

    A row holds a (3, 5) matrix, camera axes [down, right, backwards], the centre, and (height, width, focal length) at full
    size, then the near and far bounds. Where the COLMAP images file is missing, image number i is taken for the i-th photo
    by name if the points that it sees project into that photo; else the points have no tracks.

    Raises:
        UserError: The file is damaged, the numbers of rows and photos differ, or fewer than two photos can be used.
    """
    poses_file, place = folder / POSES_BOUNDS, best_folder(folder)
    rows = _poses_bounds(poses_file)
    paths = photos_under(place)
    if len(rows) != len(paths):
        raise UserError(
            f"{poses_file} holds {len(rows)} poses, {place} holds {len(paths)} photos; their numbers must agree, for the "
            "rows belong to the photos in the order of their names"
        )
    names = view_names(paths, place)
    model = next((model for model in models(folder) if model.home == folder), None)
    cameras = list(read_cameras(model.cameras_file).values()) if model else []
    # LLFF scenes have one camera; its distortion is known to COLMAP only.
    own_lens = cameras[0].lens if len(cameras) == 1 else None

    def make(index: int) -> Photo:
        row = rows[index]
        height, width, focal = (float(value) for value in row[:, 4])
        axes = np.stack(
            [row[:, 1], row[:, 0], -row[:, 2], row[:, 3]], axis=1
        )  # the camera's right, down, forward; its centre
        try:
            pose = from_camera_to_world(axes)
        except UserError as error:
            raise UserError(f"{POSES_BOUNDS}: row {index} (of 0 to {len(rows) - 1}) {error}") from error
        if not np.isfinite(row).all():
            raise UserError(f"{POSES_BOUNDS}: row {index} holds a size or focal length that is not finite: {row[:, 4]}")
        lens = own_lens or Lens(round(width), round(height), focal, focal, width / 2, height / 2).checked()
        return Photo(names[index], paths[index], lens, pose)

    photos, left_out = usable(((path.name, index) for index, path in enumerate(paths)), make)
    points_file, unused = points_of(model) if model else (None, ())
    numbers = {name: number for number, name in enumerate(names, start=1)}
    known = {photo.name: photo for photo in photos}

    def read_sparse(views: Sequence[str]) -> SparsePoints:
        assert points_file is not None
        points = read_model_points(points_file)
        return points.seen_by({view: numbers[view] for view in views if _fits(points, numbers[view], known[view])})

    return PhotoSet(
        folder,
        f"LLFF ({POSES_BOUNDS})",
        tuple(photos),
        tuple(file for file in (poses_file, model and model.cameras_file, points_file) if file),
        read_sparse if points_file else None,
        left_out=left_out,
        unused=(*unused, "near and far bounds"),
    )


def _fits(points: Points, number: int, photo: Photo) -> bool:
    """Whether the points that image `number` sees project into the photo, as they must if it is that image."""
    assert photo.lens is not None
    assert photo.world_to_camera is not None
    pixels, depth = photo.lens.camera(photo.world_to_camera).project(points.positions[points.point[points.image == number]])
    slack = 0.1 * np.array([photo.lens.width, photo.lens.height])  # a distorted photo sees a little more than its pinhole
    inside = (depth > 0) & (pixels >= -slack).all(axis=1) & (pixels <= 11 * slack).all(axis=1)
    return len(inside) > 0 and float(inside.mean()) >= _LEAST_INSIDE


def _poses_bounds(path: Path) -> Array:
    """(N, 3, 5) float64."""
    try:
        rows = read_numpy(path)
    except UserError as error:
        raise UserError(f"{path}: not a NumPy array file of numbers; replace it") from error
    if rows.ndim != 2 or rows.shape[1] != 17:
        raise UserError(f"{path}: must hold N rows of 17 numbers, not {rows.dtype} {rows.shape}")
    return rows[:, :15].reshape(-1, 3, 5).astype(np.float64)


LLFF = Layout(lambda folder: (folder / POSES_BOUNDS).is_file(), read_llff)
