"""Intrinsics as people have them (fx, fy, cx, cy in pixels), checked against the photo, and as the suite keeps them.

A calibration in the wrong unit gives numbers, and wrong ones: what does not fit a photo is refused with its values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.geometry.io.pairing import Pair
from bench.geometry.io.release import LEAST_FOCAL, MOST_FOCAL
from bench.machine.text import read_json, read_text

Array = NDArray[Any]
Camera = tuple[float, float, float, float]  #: fx, fy, cx, cy in pixels

#: No camera's pixels are so many times as wide as high, or as high as wide.
MOST_STRETCHED = 2.0
#: The principal point lies within this share of each side.
EDGE = 0.05
#: Where both coordinates of the principal point lie at one share of the sides, that is the middle, but for this much.
OFF_CENTRE = 0.2
SAME_SHARE = 0.02
PER_PHOTO = "intrinsics"  #: a folder beside the photos with one text file a photo, as in KITTI's selection


def cameras_of(source: Path, pairs: Sequence[Pair], given: Sequence[float] | Path | None) -> list[Camera]:
    """The camera of each pair, in pixels.

    Args:
        source: The folder that the pairs were found in.
        pairs: Photos with depth maps.
        given: fx, fy, cx, cy for all photos; or a file (see `read_cameras`); or None: what an annotation says of a photo, or
            the file `intrinsics/<photo's name>.txt`.

    Raises:
        UserError: A photo has no camera, or what is given is none.
    """
    if isinstance(given, Path):
        read = read_cameras(given)
        if isinstance(read, Mapping):
            stems = Counter(pair.photo.stem for pair in pairs)
            return [_of_photo(read, given, source, pair, stems[pair.photo.stem] == 1) for pair in pairs]
        return [read] * len(pairs)
    if given is not None:
        return [four(given, "intrinsics")] * len(pairs)
    return [_its_own(source, pair) for pair in pairs]


def read_cameras(path: Path) -> Camera | dict[str, Camera]:
    """A file of intrinsics in pixels: JSON (fx, fy, cx, cy as a list or an object, a 3x3 or 4x4 matrix, or an object from
    photos' names to either), or a text of such numbers. Raises UserError naming the file and the field."""
    if path.suffix.lower() != ".json":
        return _read_numbers(path)
    content = read_json(path, "JSON file of intrinsics")
    if isinstance(content, dict) and not {"fx", "fy", "cx", "cy"} <= content.keys():
        return {str(name): four(value, f"{path}: {name!r}") for name, value in content.items()}
    return four(content, str(path))


def four(value: Any, where: str) -> Camera:
    """fx, fy, cx, cy of a list, of an object with these fields, or of a 3x3 or 4x4 matrix without skew.

    Raises:
        UserError: It is none of these, or not finite, or a focal length is not positive.
    """
    if isinstance(value, Mapping) and {"fx", "fy", "cx", "cy"} <= value.keys():
        value = [value[field] for field in ("fx", "fy", "cx", "cy")]
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: expected numbers, not {str(value)[:200]}") from error
    if array.shape == (4, 4) and np.array_equal(array[3], [0, 0, 0, 1]) and not array[:3, 3].any():
        array = array[:3, :3]
    if array.shape == (3, 3):
        if array[0, 1] or array[1, 0] or not np.array_equal(array[2], [0, 0, 1]):
            raise UserError(f"{where}: a camera matrix is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], not {array.tolist()}")
        array = array[[0, 1, 0, 1], [0, 1, 2, 2]]
    if array.shape != (4,) or not np.isfinite(array).all() or min(array[:2]) <= 0:
        raise UserError(
            f"{where}: expected fx, fy, cx, cy in pixels or a 3x3 matrix, focal lengths positive: {str(value)[:200]}"
        )
    fx, fy, cx, cy = array.tolist()
    return fx, fy, cx, cy


def normalised(camera: Camera, width: int, height: int, photo: Path) -> Array:
    """The camera's matrix (3, 3) float64 for an image of width = height = 1.

    Raises:
        UserError: The camera does not fit a photo of that size: its unit is not the pixel, or it belongs to another size.
    """
    fx, fy, cx, cy = camera
    told = (
        f"{photo}: fx, fy, cx, cy = {', '.join(f'{value:g}' for value in camera)} do not fit its {width} x {height} pixels"
    )
    x, y = cx / width, cy / height
    if not (LEAST_FOCAL <= fx / width <= MOST_FOCAL and LEAST_FOCAL <= fy / height <= MOST_FOCAL):
        kind = "normalised by the photo's size" if max(cx, cy) <= 1.5 else "in another unit, or of another size"
        raise UserError(f"{told}: the focal lengths look {kind}; give them in pixels of this photo")
    if not (EDGE < x < 1 - EDGE and EDGE < y < 1 - EDGE):
        raise UserError(f"{told}: the principal point is not within the photo; give it in pixels from the upper left corner")
    if not 1 / MOST_STRETCHED <= fx / fy <= MOST_STRETCHED:
        raise UserError(f"{told}: fx and fy are of different units, or of a photo of other proportions")
    if abs(x - y) < SAME_SHARE and abs(x - 0.5) > OFF_CENTRE:
        raise UserError(f"{told}: they look like those at {2 * x:.3g} times its size; give those of this size")
    return np.array([[fx / width, 0, x], [0, fy / height, y], [0, 0, 1]])


def _of_photo(cameras: Mapping[str, Camera], path: Path, source: Path, pair: Pair, alone: bool) -> Camera:
    """By the photo's path below the folder, by the sample's name; by the file's name where no other photo has it."""
    below = pair.photo.relative_to(source)
    names = [below.as_posix(), below.with_suffix("").as_posix(), pair.name, pair.name + pair.photo.suffix]
    names += [pair.photo.name, pair.photo.stem] if alone else []
    for name in names:
        if name in cameras:
            return cameras[name]
    raise UserError(f"{pair.photo}: {path} has no entry {_quoted(names)}")


def _quoted(names: Sequence[str]) -> str:
    """Names in quotes, each once."""
    return " or ".join(repr(name) for name in dict.fromkeys(names))


def _its_own(source: Path, pair: Pair) -> Camera:
    if pair.camera is not None:
        return four(pair.camera, f"{pair.photo}: 'cam_in'")
    path = source / PER_PHOTO / f"{pair.name}.txt"
    if path.is_file():
        return _read_numbers(path)
    raise UserError(f"{pair.photo}: no intrinsics; give fx,fy,cx,cy in pixels, or a file that holds them")


def _read_numbers(path: Path) -> Camera:
    words = read_text(path).replace(",", " ").split()
    side = {9: 3, 16: 4}.get(len(words))
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise UserError(f"{path}: expected 4, 9 or 16 numbers ({error})") from error
    return four(np.array(numbers).reshape(side, side) if side else numbers, str(path))
