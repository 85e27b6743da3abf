"""COLMAP sparse models: cameras, images and points3D, binary and text (the format of COLMAP 3.x's documentation)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bench.types import Array, UserError
from registry.datasets.formats.lens import Lens

#: Camera models by number: name, count of parameters, how they make a Lens (None: refused).
_Maker = Callable[..., Lens]
_MODELS: dict[int, tuple[str, int, _Maker | None]] = {
    0: ("SIMPLE_PINHOLE", 3, lambda w, h, f, cx, cy: Lens(w, h, f, f, cx, cy)),
    1: ("PINHOLE", 4, lambda w, h, fx, fy, cx, cy: Lens(w, h, fx, fy, cx, cy)),
    2: ("SIMPLE_RADIAL", 4, lambda w, h, f, cx, cy, k: Lens(w, h, f, f, cx, cy, k)),
    3: ("RADIAL", 5, lambda w, h, f, cx, cy, k1, k2: Lens(w, h, f, f, cx, cy, k1, k2)),
    4: ("OPENCV", 8, lambda w, h, fx, fy, cx, cy, k1, k2, p1, p2: Lens(w, h, fx, fy, cx, cy, k1, k2, 0.0, p1, p2)),
    5: ("OPENCV_FISHEYE", 8, None),
    6: ("FULL_OPENCV", 12, None),
    7: ("FOV", 5, None),
    8: ("SIMPLE_RADIAL_FISHEYE", 4, None),
    9: ("RADIAL_FISHEYE", 5, None),
    10: ("THIN_PRISM_FISHEYE", 12, None),
}
_BY_NAME = {name: number for number, (name, _, _) in _MODELS.items()}
_KNOWN = ", ".join(name for name, _, maker in _MODELS.values() if maker)


@dataclass(frozen=True, eq=False)
class PosedImage:
    """An entry of images.{bin,txt}. world_to_camera: (4, 4)."""

    number: int
    name: str
    camera: int
    world_to_camera: Array


@dataclass(frozen=True, eq=False)
class Points:
    """points3D.{bin,txt}: positions (N, 3), colours (N, 3) uint8; `point`, `image`: parallel arrays, a pair an observation,
    the index of the point and the number of the image that sees it."""

    positions: Array
    colours: Array
    point: Array
    image: Array


def model_file(folder: Path, stem: str) -> Path | None:
    """folder/stem.bin, else folder/stem.txt, else None."""
    return next((path for suffix in (".bin", ".txt") if (path := folder / f"{stem}{suffix}").is_file()), None)


def read_cameras(path: Path) -> dict[int, Lens]:
    """Lenses by camera number. Raises UserError for a damaged file or a camera model that is not supported."""
    cameras = {}
    with _damage_named(path):
        for number, model, width, height, parameters in (
            _cameras_binary(path) if path.suffix == ".bin" else _cameras_text(path)
        ):
            maker = _MODELS[model][2]
            if maker is None:
                raise UserError(
                    f"{path}: camera {number} has the model {_MODELS[model][0]}, which is not supported (only {_KNOWN}); "
                    "undistort the photos with `colmap image_undistorter` first"
                )
            cameras[number] = maker(width, height, *parameters).checked(f"{path}: camera {number}")
    return cameras


def read_images(path: Path, cameras: Mapping[int, Lens]) -> list[PosedImage]:
    """The registered images by name. Raises UserError for a damaged file or an unknown camera."""
    with _damage_named(path):
        images = []
        for number, pose, camera, name in _images_binary(path) if path.suffix == ".bin" else _images_text(path, cameras):
            if camera not in cameras:
                raise UserError(f"{path}: image {name} names camera {camera}, which the cameras file does not hold")
            if not np.isfinite(pose).all() or not np.any(pose[:4]):
                raise UserError(f"{path}: the pose of image {name} is no rotation and translation of finite numbers: {pose}")
            images.append(PosedImage(number, name, camera, _pose(pose)))
    return sorted(images, key=lambda image: image.name)


def read_points(path: Path) -> Points:
    """Points with their tracks. Raises UserError for a damaged file."""
    positions: list[tuple[float, ...]] = []
    colours, tracks = [], []
    with _damage_named(path):
        for position, colour, track in _points_binary(path) if path.suffix == ".bin" else _points_text(path):
            if not np.isfinite(position).all():
                raise UserError(f"{path}: point number {len(positions)} lies at {position}; export the model again")
            positions.append(position)
            colours.append(colour)
            tracks.append(track)
        lengths = [len(track) for track in tracks]
        return Points(
            np.array(positions, np.float64).reshape(-1, 3),
            np.array(colours, np.uint8).reshape(-1, 3),
            np.repeat(np.arange(len(tracks)), lengths),
            np.concatenate([np.zeros(0, np.int64), *tracks]).astype(np.int64),
        )


class _damage_named:
    """Turns what reading a damaged file raises into a UserError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, struct.error | ValueError | IndexError | KeyError | OSError | UnicodeDecodeError):
            raise UserError(
                f"{self.path}: not a readable COLMAP file ({type(error).__name__}: {error}); export the model again"
            ) from error


def _pose(values: Array) -> Array:
    """(4, 4) world-to-camera of (qw, qx, qy, qz, tx, ty, tz)."""
    if not np.isfinite(values).all() or not np.linalg.norm(values[:4]) > 0:
        raise ValueError(f"pose {values} is not finite or has no rotation")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(np.roll(values[:4], -1)).as_matrix()
    pose[:3, 3] = values[4:]
    return pose


# --------------------------------------------------------------------------------------------------------------- binary


def _cameras_binary(path: Path) -> Iterator[tuple[int, int, int, int, tuple[float, ...]]]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", data, at)
        if model not in _MODELS:
            raise UserError(f"{path}: camera {number} has the unknown model number {model} (supported: {_KNOWN})")
        parameters = struct.unpack_from(f"<{_MODELS[model][1]}d", data, at + 24)
        at += 24 + 8 * len(parameters)
        yield number, model, width, height, parameters


def _images_binary(path: Path) -> Iterator[tuple[int, Array, int, str]]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        number, *pose, camera = struct.unpack_from("<i7di", data, at)
        end = data.index(b"\0", at + 64)
        name = data[at + 64 : end].decode("utf-8")
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
        yield number, np.array(pose), camera, name
    if at > len(data):
        raise ValueError("the file is cut short")


def _points_binary(path: Path) -> Iterator[tuple[tuple[float, ...], tuple[int, ...], Array]]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        _, x, y, z, red, green, blue, _, length = struct.unpack_from("<Q3d3BdQ", data, at)
        track = np.frombuffer(data, "<i4", 2 * length, at + 51)[::2]
        at += 51 + 8 * length
        yield (x, y, z), (red, green, blue), track


# ----------------------------------------------------------------------------------------------------------------- text


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line that is neither empty nor a comment."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _cameras_text(path: Path) -> Iterator[tuple[int, int, int, int, tuple[float, ...]]]:
    for number, model, width, height, *parameters in _lines(path):
        if model not in _BY_NAME:
            raise UserError(f"{path}: camera {number} has the unknown model {model} (supported: {_KNOWN})")
        if len(parameters) != _MODELS[_BY_NAME[model]][1]:
            raise ValueError(f"camera {number}: {model} has {_MODELS[_BY_NAME[model]][1]} parameters, not {len(parameters)}")
        yield int(number), _BY_NAME[model], int(width), int(height), tuple(map(float, parameters))


def _images_text(path: Path, cameras: Mapping[int, Lens]) -> Iterator[tuple[int, Array, int, str]]:
    """Each image has a line of its own and a line of 2D points, which may be empty or left out: what is no image line must
    be a line of 2D points (x, y, point)."""
    for words in _lines(path):
        if _is_image_line(words):
            yield int(words[0]), np.array(words[1:8], np.float64), int(words[8]), " ".join(words[9:])
        elif len(words) % 3 or not all(map(_is_number, words)):
            raise ValueError(f"neither an image nor 2D points: {' '.join(words)[:80]}")


def _is_image_line(words: list[str]) -> bool:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME: whole numbers first and ninth, and a quaternion of length one, which 2D
    points (pixel coordinates and point numbers) do not have."""
    if len(words) < 10 or not (words[0].isdigit() and words[8].isdigit() and all(map(_is_number, words[1:8]))):
        return False
    return abs(float(np.linalg.norm(np.array(words[1:5], np.float64))) - 1) < 1e-2


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _points_text(path: Path) -> Iterator[tuple[tuple[float, ...], tuple[int, ...], Array]]:
    for words in _lines(path):
        if len(words) < 8:
            raise ValueError(f"a point has at least 8 fields: {' '.join(words)[:80]}")
        yield tuple(map(float, words[1:4])), tuple(map(int, words[4:7])), np.array(words[8::2], np.int64)
