"""Folders of photos, depth maps and intrinsics, as they are found in the wild, into the evaluation release's format."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.geometry.io.release import read_image, write_index, write_sample

Array = NDArray[Any]

ANNOTATIONS = "test_annotations.json"
IMAGE_SUFFIXES, DEPTH_SUFFIXES = {".png", ".jpg", ".jpeg"}, {".png", ".npy"}


@dataclass(frozen=True)
class _Pair:
    """A photo, its depth map, and what an annotation says of them: fx, fy, cx, cy in pixels; stored units a metre."""

    image: Path
    depth: Path
    camera: tuple[float, ...] | None = None
    units_per_metre: float | None = None


def convert_folder(
    source: Path,
    destination: Path,
    *,
    depth_unit: float | None = None,
    intrinsics: Sequence[float] | Path | None = None,
    farthest: float | None = None,
) -> int:
    """Write every photo of `source` that has a depth map as a sample under `destination`, with its index; returns how many.

    source: photos in `rgb/` and depth maps in `depth/` (16-bit PNG with 0 = unknown, or .npy), paired by their names or
    the last number in them; or as a list of annotations, `test_annotations.json` = {"files": [{"rgb", "depth",
    "cam_in", "depth_scale"}]}. depth_unit: metres per stored unit (0.001 for millimetres, 1/256 for KITTI, 1 for
    metres); may be left out where annotations say. intrinsics: fx, fy, cx, cy in pixels for all photos, or a JSON file:
    such a list, a 3x3 matrix, or a mapping from photo name to either; may be left out where annotations say. farthest:
    metres; depth beyond it is unknown. Nothing is written before every file was found and paired. Raises UserError
    naming the file and field at fault.
    """
    pairs = _annotated(source) if (source / ANNOTATIONS).is_file() else _paired_by_name(source)
    cameras = _read_cameras(intrinsics) if isinstance(intrinsics, Path) else intrinsics
    names = []
    for pair in pairs:
        image, depth = read_image(pair.image), _read_depth(pair, depth_unit, farthest)
        if depth.shape != image.shape[:2]:
            raise UserError(f"{pair.depth}: {depth.shape} pixels (H, W), but {pair.image} has {image.shape[:2]}")
        if not np.isfinite(depth).any():
            raise UserError(f"{pair.depth}: no pixel has a known depth; check the unit and the farthest depth")
        name = pair.image.stem
        write_sample(destination / name, image, depth, _normalised(pair, cameras, image.shape[1], image.shape[0]))
        names.append(name)
    write_index(destination, names)
    return len(names)


def _annotated(source: Path) -> list[_Pair]:
    path = source / ANNOTATIONS
    entries = _read_json(path)
    entries = entries.get("files") if isinstance(entries, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a list of photos under 'files'")
    pairs = []
    for number, entry in enumerate(entries):
        missing = [field for field in ("rgb", "depth") if not isinstance(entry, dict) or field not in entry]
        if missing:
            raise UserError(f"{path}: entry {number} lacks the field {missing[0]!r}")
        scale = entry.get("depth_scale")
        if scale is not None and not (isinstance(scale, int | float) and scale > 0):
            raise UserError(f"{path}: entry {number}: 'depth_scale' must be positive, not {scale!r}")
        camera = None if entry.get("cam_in") is None else _four(entry["cam_in"], f"{path}: entry {number}: 'cam_in'")
        pairs.append(_Pair(_located(source, path, entry["rgb"]), _located(source, path, entry["depth"]), camera, scale))
    return pairs


def _located(source: Path, path: Path, named: str) -> Path:
    """A file that annotations name: relative to the folder, or by its last folder and name where the list was moved."""
    for candidate in (source / named, source / Path(named).parent.name / Path(named).name):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path}: names {named}, which is not under {source}")


def _paired_by_name(source: Path) -> list[_Pair]:
    found = []
    for name, suffixes in (("rgb", IMAGE_SUFFIXES), ("depth", DEPTH_SUFFIXES)):
        folder = source / name
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes) if folder.is_dir() else []
        if not files:
            raise UserError(
                f"{folder}: no {'photo' if name == 'rgb' else 'depth map'} there ({', '.join(sorted(suffixes))})"
            )
        keyed = {_key(p): p for p in files}
        if len(keyed) < len(files):
            raise UserError(f"{folder}: several files share a number; give them distinct ones")
        found.append(keyed)
    images, depths = found
    lonely = sorted(set(images) ^ set(depths))
    if lonely:
        raise UserError(f"{source}: no photo and depth map pair for {', '.join(lonely[:5])}: names or numbers must agree")
    return [_Pair(images[key], depths[key]) for key in images]


def _key(path: Path) -> str:
    numbers = re.findall(r"\d+", path.stem)
    return numbers[-1] if numbers else path.stem


def _read_depth(pair: _Pair, unit: float | None, farthest: float | None) -> Array:
    """Metres (H, W) float64, NaN where unknown."""
    if unit is None:
        if pair.units_per_metre is None:
            raise UserError(
                f"{pair.depth}: the depth unit is unknown; give the metres per stored unit (0.001 for millimetres)"
            )
        unit = 1 / pair.units_per_metre
    stored = _read_stored(pair.depth)
    with np.errstate(invalid="ignore"):
        depth = stored * unit
        unknown = ~(np.isfinite(depth) & (depth > 0)) | (depth > (np.inf if farthest is None else farthest))
    return np.where(unknown, np.nan, depth)


def _read_stored(path: Path) -> Array:
    from PIL import Image

    try:
        if path.suffix.lower() == ".npy":
            stored = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as picture:
                if picture.mode not in {"I;16", "I;16B", "I"}:
                    raise UserError(
                        f"{path}: a depth PNG must have one channel of 16 bits, this one is of mode {picture.mode}"
                    )
                stored = np.asarray(picture)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable depth map ({error})") from error
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise UserError(f"{path}: expected numbers (H, W), found {stored.dtype} of shape {stored.shape}")
    return stored.astype(np.float64)


# ---------------------------------------------------------------------------------------------------------------- cameras


def _normalised(pair: _Pair, cameras: Any, width: int, height: int) -> Array:
    if isinstance(cameras, dict):
        camera = cameras.get(pair.image.stem, cameras.get(pair.image.name))
        if camera is None:
            raise UserError(f"{pair.image}: the intrinsics file has no entry {pair.image.stem!r} or {pair.image.name!r}")
    else:
        camera = pair.camera if cameras is None else _four(cameras, "intrinsics")
    if camera is None:
        raise UserError(f"{pair.image}: no intrinsics; give fx fy cx cy in pixels, or a JSON file that holds them")
    fx, fy, cx, cy = camera
    return np.array([[fx / width, 0, cx / width], [0, fy / height, cy / height], [0, 0, 1]])


def _read_cameras(path: Path) -> Any:
    content = _read_json(path)
    if isinstance(content, dict):
        return {name: _four(value, f"{path}: {name!r}") for name, value in content.items()}
    return _four(content, str(path))


def _four(value: Any, where: str) -> tuple[float, ...]:
    """fx, fy, cx, cy of such a list or of a 3x3 matrix, all finite, the focal lengths positive."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: expected numbers, not {value!r}") from error
    if array.shape == (3, 3):
        array = array[[0, 1, 0, 1], [0, 1, 2, 2]]
    if array.shape != (4,) or not np.isfinite(array).all() or min(array[:2]) <= 0:
        raise UserError(f"{where}: expected fx, fy, cx, cy in pixels or a 3x3 matrix, focal lengths positive: {value!r}")
    return tuple(float(number) for number in array)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error
