"""Folders of photos, depth maps and intrinsics, as they are found in the wild, into the evaluation release's format."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.core.text import listed
from bench.geometry.io.intrinsics import PER_PHOTO, Camera, cameras_of, normalised
from bench.geometry.io.pairing import Pair, Pairing, check_names, find_pairs
from bench.geometry.io.release import DEPTH, IMAGE, INDEX, META, SEGMENTATION, read_index, write_index, write_sample
from bench.machine.files import check_writable
from bench.machine.pictures.depths import read_depth, read_valid
from bench.machine.pictures.images import photo_orientation, read_photo

Array = NDArray[Any]
_STAGING = ".converting"
_SAMPLE_FILES = {IMAGE, DEPTH, META, SEGMENTATION}


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        samples: The names written.
        pairing: How photos and depth maps were paired.
        listed: How many samples the data set has now.
        unused: What the source holds and was not used.
        depths: The least, the median (of the samples' medians) and the greatest depth, in metres.
    """

    samples: tuple[str, ...]
    pairing: str
    listed: int
    unused: tuple[str, ...]
    depths: tuple[float, float, float]


@dataclass(frozen=True)
class _Depths:
    """How stored depth becomes metres. unit: metres per stored unit. farthest: metres; what is beyond is unknown."""

    unit: float | None
    farthest: float | None


def convert_folder(
    source: Path,
    destination: Path,
    *,
    depth_unit: float | None = None,
    intrinsics: Sequence[float] | Path | None = None,
    farthest: float | None = None,
    pairing: Pairing = "name",
    overwrite: bool = False,
) -> Converted:
    """Write every photo of a folder that has a depth map as a sample of a data set.

    Nothing is written before every file was found and paired; samples appear, and are listed, only once all of them are
    made. A data set that is there already is added to. Each sample's meta.json says which files it was made from, and how.

    Args:
        source: The folder: see `bench.geometry.io.pairing.find_pairs` for what may lie in it.
        destination: The data set's folder.
        depth_unit: Metres per stored unit (0.001 for millimetres, 1/256 for KITTI, 0.0002 for TUM, 1 for metres); may be
            left out where annotations say. Depth that is 0, negative or not finite is unknown.
        intrinsics: fx, fy, cx, cy in pixels for all photos, or a file (`bench.geometry.io.intrinsics.read_cameras`); may be
            left out where annotations or files beside the photos say.
        farthest: Metres; depth beyond it is unknown.
        pairing: "name", or "rank" for the n-th photo with the n-th depth map.
        overwrite: Replace samples of the same names.

    Raises:
        UserError: A file or field is at fault, or the data set holds samples of these names already.
    """
    for name, value in (("depth unit", depth_unit), ("farthest depth", farthest)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise UserError(f"the {name} must be a positive number of metres, not {value:g}")
    found = find_pairs(source, pairing, apart_from=destination)
    cameras = cameras_of(source, found.pairs, intrinsics)
    check_writable(destination)
    _check_room(destination, [pair.name for pair in found.pairs], overwrite)
    depths = _Depths(depth_unit, farthest)
    with _staging(destination) as staging:
        metres = [
            _write_one(staging / "new" / pair.name, source, pair, camera, depths, found.pairing)
            for pair, camera in zip(found.pairs, cameras, strict=True)
        ]
        names = tuple(pair.name for pair in found.pairs)
        count = _move_in(staging, destination, names)
    unused = [*found.unused, *([f"{PER_PHOTO}/"] if intrinsics is not None and (source / PER_PHOTO).is_dir() else [])]
    least, median, greatest = zip(*metres, strict=True)
    return Converted(names, found.pairing, count, tuple(unused), (min(least), float(np.median(median)), max(greatest)))


def _write_one(
    folder: Path, source: Path, pair: Pair, camera: Camera, depths: _Depths, pairing: str
) -> tuple[float, float, float]:
    """Write a sample; returns its least, median and greatest depth in metres."""
    image, _ = read_photo(pair.photo, upright=False)
    stored = read_depth(pair.depth)
    _check_orientation(pair, image.shape[:2], stored.shape)
    if stored.shape != image.shape[:2]:
        raise UserError(f"{pair.depth}: {stored.shape} pixels (H, W), but {pair.photo} has {image.shape[:2]}")
    unit = depths.unit or (pair.units_per_metre and 1 / pair.units_per_metre)
    if not unit:
        raise UserError(f"{pair.depth}: the depth unit is unknown; give the metres per stored unit (0.001 for millimetres)")
    with np.errstate(invalid="ignore", over="ignore"):
        depth = stored * unit
        known = np.isfinite(depth) & (depth > 0) & (depth <= (np.inf if depths.farthest is None else depths.farthest))
    if pair.valid is not None:
        valid = read_valid(pair.valid)
        if valid.shape != depth.shape:
            raise UserError(f"{pair.valid}: {valid.shape} pixels (H, W), but {pair.depth} has {depth.shape}")
        known &= valid
    if not known.any():
        raise UserError(f"{pair.depth}: no pixel has a known depth; check the unit and the farthest depth")
    origin = {
        "photo": pair.photo.relative_to(source).as_posix(),
        "depth": pair.depth.relative_to(source).as_posix(),
        "mask": None if pair.valid is None else pair.valid.relative_to(source).as_posix(),
        "paired_by": pairing,
        "metres_per_unit": unit,
        "farthest": depths.farthest,
    }
    matrix = normalised(camera, image.shape[1], image.shape[0], pair.photo)
    write_sample(folder, image, np.where(known, depth, np.nan), matrix, origin=origin)
    metres = depth[known]
    return float(metres.min()), float(np.median(metres)), float(metres.max())


def _check_orientation(pair: Pair, photo_shape: tuple[int, ...], depth_shape: tuple[int, ...]) -> None:
    """Refuses a photo whose EXIF orientation leaves open which way its depth map lies; both are taken as stored."""
    photo = photo_orientation(pair.photo)
    depth = _stated_orientation(pair.depth)
    if photo == depth:
        return
    lies_alike = photo_shape == depth_shape and photo_shape[0] != photo_shape[1]
    if depth == 1 and photo >= 5 and lies_alike:
        return  # turned, the photo would not fit
    raise UserError(
        f"{pair.photo}: its EXIF orientation is {photo}, that of {pair.depth} is {depth}: which way does the depth map lie? "
        "Save the photo upright, of the size of its depth map, without an EXIF orientation"
    )


def _stated_orientation(depth: Path) -> int:
    try:
        return photo_orientation(depth)
    except UserError:  # no picture file, or one of numbers that Pillow does not know: it states none
        return 1


def _check_room(destination: Path, names: Sequence[str], overwrite: bool) -> None:
    """Raises UserError where samples of these names are there, or something else lies where they would."""
    held = read_index(destination) if (destination / INDEX).is_file() else []
    both = [name for name in names if name in set(held)]
    if both and not overwrite:
        raise UserError(
            f"{destination} holds samples of these names already: {listed(both)}; --overwrite replaces them, or choose "
            "another folder"
        )
    check_names(list(dict.fromkeys([*held, *names])), destination)
    for name in names:
        place = destination / name
        foreign = place.is_dir() and {path.name for path in place.iterdir()} - _SAMPLE_FILES
        if foreign or (place.exists() and not place.is_dir()):
            raise UserError(f"{place}: something else lies where the sample would; choose another folder")


@contextmanager
def _staging(destination: Path) -> Iterator[Path]:
    """A hidden folder in the data set's folder, for what is not finished; gone afterwards, whatever happens.

    That of a conversion on this machine which was killed is removed first.
    """
    prefix = f"{_STAGING}-{socket.gethostname()}-"
    existed = destination.exists()
    try:
        destination.mkdir(parents=True, exist_ok=True)
        for stray in destination.glob(f"{prefix}*"):
            if not _is_running(stray.name.removeprefix(prefix).partition("-")[0]):
                shutil.rmtree(stray, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=destination))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if not existed and not any(destination.iterdir()):
                destination.rmdir()
    except OSError as error:
        raise UserError(
            f"cannot write to {destination}: {error.strerror or error}; choose another folder or free some space"
        ) from error


def _is_running(process: str) -> bool:
    if os.name != "posix":  # elsewhere there is no asking without touching
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True


def _move_in(staging: Path, destination: Path, names: Sequence[str]) -> int:
    """Put the finished samples in their places and list them; returns how many the data set has now."""
    for name in names:
        place = destination / name
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = staging / "old" / name
        aside.parent.mkdir(parents=True, exist_ok=True)
        replaces = place.exists()
        if replaces:
            place.rename(aside)
        try:
            (staging / "new" / name).rename(place)
        except BaseException:
            if replaces:
                aside.rename(place)
            raise
    held = read_index(destination) if (destination / INDEX).is_file() else []
    both = list(dict.fromkeys([*held, *names]))
    write_index(destination, both)
    return len(both)
