"""COLMAP sparse models: cameras, images and points3D, binary and text (the format of COLMAP's documentation, 3.x and 4.x).

Read here rather than by pycolmap, which trusts a file's own counts: a damaged file must be named, not exhaust the memory.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.machine.text import decoded, read_text
from bench.types import Array, UserError
from registry.datasets.reading.lens import COLMAP_PARAMETERS, Lens, colmap_lens
from registry.datasets.reading.points import Points, checked_points
from registry.datasets.reading.poses import from_quaternion

_BY_NUMBER = dict(enumerate(COLMAP_PARAMETERS))
Entry = TypeVar("Entry", "StoredCamera", "StoredImage")


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An entry of images.{bin,txt}. pose: (7,) quaternion w x y z and translation, as stored."""

    number: int
    name: str
    camera: int
    pose: Array

    @property
    def world_to_camera(self) -> Array:
        """(4, 4). Raises UserError where the stored pose is none."""
        try:
            return from_quaternion(self.pose)
        except UserError as error:
            raise UserError(f"its pose {error}: {self.pose}") from error


@dataclass(frozen=True, eq=False)
class StoredCamera:
    """An entry of cameras.{bin,txt}, as stored."""

    number: int
    model: str
    width: int
    height: int
    parameters: tuple[float, ...]

    @property
    def lens(self) -> Lens:
        """Raises UserError where the model is unknown or not supported, or a value makes no sense."""
        try:
            return colmap_lens(self.model, self.width, self.height, self.parameters).checked()
        except UserError as error:
            raise type(error)(f"its camera {self.number}: {error}") from error


def model_file(folder: Path, stem: str) -> Path | None:
    """folder/stem.bin, else folder/stem.txt, else None."""
    return next((path for suffix in (".bin", ".txt") if (path := folder / f"{stem}{suffix}").is_file()), None)


def read_cameras(path: Path) -> dict[int, StoredCamera]:
    """Cameras by number. Raises UserError for a damaged file."""
    with _damage_named(path):
        cameras = list(_cameras_binary(path) if path.suffix == ".bin" else _cameras_text(path))
        return _by_number(cameras, "cameras")


def read_images(path: Path) -> list[StoredImage]:
    """The registered images by name. Raises UserError for a damaged file."""
    with _damage_named(path):
        images = list(_images_binary(path) if path.suffix == ".bin" else _images_text(path))
        return sorted(_by_number(images, "images").values(), key=lambda image: image.name)


def read_points(path: Path) -> Points:
    """Points with their tracks. Raises UserError for a damaged file, points that are not finite, colours out of range."""
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _points(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _points(path: Path, changed: int, length: int) -> Points:
    """changed, length: of the file, so that an edited one is read anew."""
    positions: list[tuple[float, ...]] = []
    colours, tracks = [], []
    with _damage_named(path):
        for position, colour, track in _points_binary(path) if path.suffix == ".bin" else _points_text(path):
            if not all(0 <= channel <= 255 for channel in colour):
                raise ValueError(f"point number {len(positions)} has the colour {colour}, not three numbers from 0 to 255")
            positions.append(position)
            colours.append(colour)
            tracks.append(track)
        lengths = [len(track) for track in tracks]
        found = Points(
            np.array(positions, np.float64).reshape(-1, 3),
            np.array(colours, np.uint8).reshape(-1, 3),
            np.repeat(np.arange(len(tracks)), lengths),
            np.concatenate([np.zeros(0, np.int64), *tracks]).astype(np.int64),
        )
    return checked_points(path, found)


def _by_number(entries: list[Entry], what: str) -> dict[int, Entry]:
    found = {entry.number: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError(f"several {what} have the same number")
    return found


class _damage_named:
    """Turns what reading a damaged file raises into a UserError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, struct.error | ValueError | IndexError | KeyError | OSError | OverflowError):
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            raise UserError(f"{self.path}: not a readable COLMAP file ({reason}); export the model again") from error


# --------------------------------------------------------------------------------------------------------------- binary


def _whole(data: bytes, at: int) -> None:
    if at != len(data):
        raise ValueError(f"its entries take {at} bytes, the file holds {len(data)}")


def _cameras_binary(path: Path) -> Iterator[StoredCamera]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", data, at)
        if model not in _BY_NUMBER:
            known = ", ".join(COLMAP_PARAMETERS)
            raise UserError(f"{path}: camera {number} has the unknown model number {model} (known: {known})")
        parameters = struct.unpack_from(f"<{COLMAP_PARAMETERS[_BY_NUMBER[model]]}d", data, at + 24)
        at += 24 + 8 * len(parameters)
        yield StoredCamera(number, _BY_NUMBER[model], width, height, parameters)
    _whole(data, at)


def _images_binary(path: Path) -> Iterator[StoredImage]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        number, *pose, camera = struct.unpack_from("<i7di", data, at)
        end = data.index(b"\0", at + 64)
        name = decoded(data[at + 64 : end])
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
        yield StoredImage(number, name, camera, np.array(pose))
    _whole(data, at)


def _points_binary(path: Path) -> Iterator[tuple[tuple[float, ...], tuple[int, ...], Array]]:
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(count):
        _, x, y, z, red, green, blue, _, length = struct.unpack_from("<Q3d3BdQ", data, at)
        track = np.frombuffer(data, "<i4", 2 * length, at + 51)[::2]
        at += 51 + 8 * length
        yield (x, y, z), (red, green, blue), track
    _whole(data, at)


# ----------------------------------------------------------------------------------------------------------------- text


def _lines(path: Path) -> Iterator[str]:
    """Each line that is neither empty nor a comment."""
    for line in read_text(path).split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def _cameras_text(path: Path) -> Iterator[StoredCamera]:
    for number, model, width, height, *parameters in map(str.split, _lines(path)):
        if model not in COLMAP_PARAMETERS:
            raise UserError(f"{path}: camera {number} has the unknown model {model} (known: {', '.join(COLMAP_PARAMETERS)})")
        yield StoredCamera(int(number), model, int(width), int(height), tuple(map(float, parameters)))


def _images_text(path: Path) -> Iterator[StoredImage]:
    """Each image has a line of its own and a line of 2D points, which may be empty or left out: what is no image line must
    be a line of 2D points (x, y, point)."""
    for line in _lines(path):
        words = line.split()
        if _is_image_line(words):
            name = line.split(maxsplit=9)[9]
            yield StoredImage(int(words[0]), name, int(words[8]), np.array(words[1:8], np.float64))
        elif len(words) % 3 or not all(map(_is_number, words)):
            raise ValueError(f"neither an image nor 2D points: {' '.join(words)[:80]}")


def _is_image_line(words: list[str]) -> bool:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME: whole numbers first and ninth, and a name that is no number or a
    quaternion of length one, which 2D points (pixel coordinates and point numbers) do not have."""
    if len(words) < 10 or not (words[0].isdigit() and words[8].isdigit() and all(map(_is_number, words[1:8]))):
        return False
    length = float(np.linalg.norm(np.array(words[1:5], np.float64)))
    return not np.isfinite(length) or abs(length - 1) < 1e-2 or not all(map(_is_number, words[9:]))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _points_text(path: Path) -> Iterator[tuple[tuple[float, ...], tuple[int, ...], Array]]:
    for words in map(str.split, _lines(path)):
        if len(words) < 8 or len(words) % 2:
            raise ValueError(f"a point has 8 fields and pairs of image and 2D point: {' '.join(words)[:80]}")
        yield tuple(map(float, words[1:4])), tuple(map(int, words[4:7])), np.array(words[8::2], np.int64)
