"""Frames of a depth camera with poses: 7-Scenes as KinectFusion-style tools write it, and TUM's sequences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.core.scenes import nearest
from bench.machine.pictures.depths import read_depth
from bench.machine.pictures.images import photo_size, pictures_in
from bench.machine.text import path_inside, read_text
from bench.types import Array, UserError
from registry.datasets.formats.mvsnet import lens_of
from registry.datasets.formats.transforms import check_proportions
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.lens import Lens
from registry.datasets.reading.photo_set import Photo, PhotoSet, ReadExtras, usable
from registry.datasets.reading.poses import from_camera_to_world, from_quaternion
from registry.datasets.reading.text import read_matrix

Value = TypeVar("Value")

#: Depth in millimetres at or above this, and 0, is no measurement (65535 marks it in 7-Scenes).
INVALID_DEPTH = 60000
CALIBRATION = "camera-intrinsics.txt"
#: 7-Scenes' poses carry few digits.
_ROTATION_TOLERANCE = 1e-2
#: TUM: depth units per metre, and the greatest time between photo, depth and pose (Sturm et al., IROS 2012, and its tools).
TUM_DEPTH_SCALE = 5000.0
_TUM_MOST_SECONDS = 0.02
#: TUM: focal lengths, principal point and k1, k2, p1, p2, k3 of the three cameras, as the data set's page gives them.
_TUM_CAMERAS = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "freiburg2": (520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    "freiburg3": (535.4, 539.2, 320.1, 247.6, 0.0, 0.0, 0.0, 0.0, 0.0),
}


def read_frames(folder: Path) -> PhotoSet:
    """A folder with `camera-intrinsics.txt` (3x3) and, in it or in `rgbd-frames`, `<frame>.color.png`, `<frame>.depth.png`
    (16 bit, millimetres) and `<frame>.pose.txt` (4x4 camera to world, metres).

    Raises:
        UserError: The calibration is damaged, or fewer than two frames can be used.
    """
    calibration = folder / CALIBRATION
    intrinsics = read_matrix(calibration, 3, 3)
    place = folder / "rgbd-frames" if (folder / "rgbd-frames").is_dir() else folder
    photos = [path for path in pictures_in(place) if re.fullmatch(r".+\.color", path.stem)]

    def files(photo: Path) -> tuple[Path, Path]:
        name = photo.stem.removesuffix(".color")
        return place / f"{name}.depth.png", place / f"{name}.pose.txt"

    def make(photo: Path) -> Photo:
        depth_file, pose_file = files(photo)
        for file in (depth_file, pose_file):
            if not file.is_file():
                raise UserError(f"{file.name} is missing beside {photo.name}")
        try:
            lens = lens_of(intrinsics, *photo_size(photo))
        except UserError as error:
            raise UserError(f"{calibration}: {error}") from error
        try:
            pose = from_camera_to_world(read_matrix(pose_file, 4, 4), _ROTATION_TOLERANCE)
        except UserError as error:
            raise error if str(pose_file) in str(error) else UserError(f"{pose_file}: the pose {error}") from error
        name = photo.stem.removesuffix(".color")
        return Photo(name, photo, lens, pose, (depth_file,), _depth(depth_file, 1000.0, INVALID_DEPTH), True)

    found, left_out = usable(((photo.name, photo) for photo in photos), make, one_size=True)
    used = (calibration, *(files(photo.path)[1] for photo in found))
    return PhotoSet(folder, "RGB-D frames", tuple(found), used, left_out=left_out, unit="metre")


def _depth(path: Path, units_per_metre: float, invalid: float) -> ReadExtras:
    def read(width: int, height: int) -> tuple[Array | None, Array | None]:
        stored = read_depth(path)
        check_proportions(path, stored, width, height)
        depth = nearest(stored, height, width).astype(np.float32)
        known = (depth > 0) & (depth < invalid)
        if not known.any():
            raise UserError(f"{path}: holds no measurement")
        return np.where(known, depth / units_per_metre, np.float32(np.nan)).astype(np.float32), None

    return read


RGBD_FRAMES = Layout(lambda folder: (folder / CALIBRATION).is_file() and not _is_tum(folder), read_frames)


# --------------------------------------------------------------------------------------------------------------------- TUM


def _is_tum(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("rgb.txt", "depth.txt", "groundtruth.txt"))


def read_tum(folder: Path) -> PhotoSet:
    """A sequence of the TUM RGB-D benchmark: `rgb.txt`, `depth.txt` (time, file) and `groundtruth.txt` (time, centre,
    quaternion x y z w), depth in 1/5000 metre.

    A photo's depth map and pose are the ones nearest in time, at most 0.02 s away. The calibration is
    `camera-intrinsics.txt` (3x3) where there is one, else the data set's own, by "freiburg1" to "freiburg3" in the folder's
    name.

    Raises:
        UserError: The camera is not known, a list is damaged, or fewer than two photos can be used.
    """
    lists = [folder / name for name in ("rgb.txt", "depth.txt", "groundtruth.txt")]
    photos, depths = (_timed_files(folder, path) for path in lists[:2])
    poses = _timed_poses(lists[2])
    calibration = folder / CALIBRATION
    own = read_matrix(calibration, 3, 3) if calibration.is_file() else None
    camera = next((values for name, values in _TUM_CAMERAS.items() if name in folder.name.lower()), None)
    if own is None and camera is None:
        raise UserError(
            f"{folder}: which camera took this TUM sequence? Keep freiburg1, freiburg2 or freiburg3 in the folder's name, "
            f"or put the calibration (3x3, pixels) into {CALIBRATION}"
        )

    def make(item: tuple[float, Path]) -> Photo:
        time, path = item
        if own is not None:
            lens = lens_of(own, *photo_size(path))
        else:
            assert camera is not None
            fx, fy, cx, cy, k1, k2, p1, p2, k3 = camera
            lens = Lens(640, 480, fx, fy, cx, cy, k1, k2, k3, p1, p2).checked()
        depth_file = _nearest_in_time(depths, time, "depth map")
        pose = from_camera_to_world(_nearest_in_time(poses, time, "pose"))
        extras = _depth(depth_file, TUM_DEPTH_SCALE, np.inf)
        return Photo(path.stem, path, lens, pose, (depth_file,), extras, True)

    found, left_out = usable(((item[1].name, item) for item in photos), make, one_size=own is not None)
    used = (*lists, *([calibration] if own is not None else []))
    unused = tuple(name for name in ("accelerometer.txt",) if (folder / name).is_file())
    return PhotoSet(folder, "TUM RGB-D", tuple(found), used, left_out=left_out, unused=unused, unit="metre")


def _rows(path: Path, count: int) -> list[tuple[float, list[str]]]:
    """Time and the other words of each line; raises UserError for a line of another count, whose columns have moved."""
    rows = []
    for line in read_text(path).splitlines():
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            time = float(words[0])
        except ValueError:
            time = np.nan
        if len(words) != count or not np.isfinite(time):
            raise UserError(f"{path}: a line must hold a time and {count - 1} more, not {line[:80]!r}")
        rows.append((time, words[1:]))
    return rows


def _timed_files(folder: Path, path: Path) -> list[tuple[float, Path]]:
    """Time and file of each line. Raises UserError for a file outside of the scene's folder."""
    found = []
    for time, (name,) in _rows(path, 2):
        file = path_inside(folder, name)
        if file is None:
            raise UserError(f"{path}: {name[:80]} lies outside of the scene's folder; name files in it")
        found.append((time, file))
    return found


def _timed_poses(path: Path) -> list[tuple[float, Array]]:
    """Camera-to-world (4, 4) by time; those that are no rotation are passed over."""
    poses = []
    for time, words in _rows(path, 8):
        try:
            x, y, z, qx, qy, qz, qw = (float(word) for word in words)
            poses.append((time, from_quaternion(np.array([qw, qx, qy, qz, x, y, z]))))
        except (ValueError, UserError):
            continue
    return poses


def _nearest_in_time(rows: Sequence[tuple[float, Value]], time: float, what: str) -> Value:
    if not rows:
        raise UserError(f"there is no {what}")
    times = np.array([row[0] for row in rows])
    best = int(np.argmin(np.abs(times - time)))
    if abs(times[best] - time) > _TUM_MOST_SECONDS:
        raise UserError(f"its nearest {what} is {abs(times[best] - time):.3g} s away, more than {_TUM_MOST_SECONDS:g} s")
    return rows[best][1]


TUM = Layout(_is_tum, read_tum)
