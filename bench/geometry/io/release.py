"""The file format of MoGe's evaluation release: one folder a sample, listed by `.index.txt`.

`image.jpg`; `depth.png`, 16 bit, logarithmic; `meta.json` with normalised intrinsics; `segmentation.png` where there
are segments.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.core.text import listed
from bench.machine.files import write_text
from bench.machine.pictures.images import read_labels, read_photo
from bench.machine.text import read_json, read_text

Array = NDArray[Any]

INDEX, IMAGE, DEPTH, META, SEGMENTATION = ".index.txt", "image.jpg", "depth.png", "meta.json", "segmentation.png"
UNKNOWN, INFINITE = 0, 65535  #: codes of the depth image; 1 to 65534 are depths
STEPS = 65533
#: Normalised focal lengths of photos: 0.2 is a field of view of 136 degrees, 100 one of 0.6.
LEAST_FOCAL, MOST_FOCAL = 0.2, 100.0
LARGEST_RANGE = 1e5  #: far / near; what is farther is stored as far


def read_index(folder: Path) -> list[str]:
    """Names of the samples, relative to the data set's folder.

    Raises:
        UserError: The index is missing, empty, names a sample twice, or one outside of the folder.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"{path}: cannot be read (there is no such file); it lists the sample folders, one a line")
    names = [line.removesuffix("\r") for line in read_text(path).split("\n") if line.strip()]
    if not names:
        raise UserError(f"{path}: lists no sample")
    # Lists that were written on Windows have its slashes.
    names = [name if (folder / name).is_dir() else name.replace("\\", "/") for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path}: lists {listed(twice)} more than once; name each sample once")
    outside = [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if outside:
        raise UserError(f"{path}: {listed(outside)} lies outside of the data set's folder; name folders below it")
    return names


def write_index(folder: Path, names: Sequence[str]) -> None:
    """List the samples of a data set's folder."""
    write_text(folder / INDEX, "".join(f"{name}\n" for name in names))


def write_sample(
    folder: Path,
    image: Array,
    depth: Array,
    intrinsics: Array,
    segmentation: Array | None = None,
    labels: Mapping[str, int] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write one sample folder.

    Args:
        folder: Made where it does not exist.
        image: (H, W, 3) uint8.
        depth: (H, W), NaN or <= 0 unknown, +inf sky.
        intrinsics: (3, 3), normalised.
        segmentation: (H, W) labels below 65536.
        labels: Name -> label.
        origin: What meta.json says of where the sample comes from.

    Raises:
        UserError: The sizes differ, no depth is known, or a file cannot be written.
    """
    from PIL import Image

    sizes = {image.shape[:2], depth.shape, depth.shape if segmentation is None else segmentation.shape}
    if len(sizes) > 1:
        raise UserError(f"{folder}: image, depth and segmentation differ in size: {sorted(sizes)} (H, W)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / IMAGE, quality=95, subsampling=0)
        write_depth(folder / DEPTH, depth)
        if segmentation is not None:
            text = {"labels": json.dumps(labels)} if labels else {}
            _save_png(folder / SEGMENTATION, segmentation.astype(np.uint16), text)
    except OSError as error:
        raise UserError(f"cannot write the sample {folder}: {error.strerror or error}") from error
    meta = {"intrinsics": np.asarray(intrinsics, float).tolist(), **({"origin": dict(origin)} if origin else {})}
    write_text(folder / META, json.dumps(meta) + "\n")


def read_image(path: Path) -> Array:
    """A photo (H, W, 3) uint8 as stored, on black where it is transparent. Raises UserError naming the file."""
    return read_photo(path, upright=False)[0]


def read_depth(path: Path) -> Array:
    """(H, W) float32 of a logarithmic 16-bit depth PNG: NaN unknown, +inf sky. Raises UserError naming the file and
    field."""
    codes, text = read_labels(path)
    if codes.dtype != np.uint16:
        raise UserError(f"{path}: a logarithmic depth PNG has 16 bits, this one has 8")
    near, far = (_number(path, text, field) for field in ("near", "far"))
    unit = _number(path, text, "unit") if "unit" in text else 1.0
    if not 0 < near <= far:
        raise UserError(f"{path}: PNG text fields near = {near:g} and far = {far:g}: expected 0 < near <= far")
    if unit <= 0:
        raise UserError(f"{path}: PNG text field unit = {unit:g}: expected a positive number")
    share = (codes.astype(np.float64) - 1) / STEPS
    depth = (unit * near ** (1 - share) * far**share).astype(np.float32)
    depth[codes == UNKNOWN] = np.nan
    depth[codes == INFINITE] = np.inf
    return depth


def write_depth(path: Path, depth: Array) -> None:
    """Write a depth map (H, W) as a logarithmic 16-bit PNG; NaN and values <= 0 are unknown, +inf is sky.

    A depth is off by at most a factor (far / near)^(1 / 131066). Raises UserError where no depth is known and finite.
    """
    depth = np.asarray(depth, np.float64)
    sky = np.isposinf(depth)
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        raise UserError(f"{path}: no pixel has a known depth")
    near = float(depth[known].min())
    far = max(near * 1.1, min(float(depth[known].max()), near * LARGEST_RANGE))
    share = np.log(np.where(known, depth, near).clip(near, far) / near) / math.log(far / near)
    codes = np.where(known, 1 + np.rint(share * STEPS), np.where(sky, INFINITE, UNKNOWN)).astype(np.uint16)
    _save_png(path, codes, {"near": repr(near), "far": repr(far)})


def read_intrinsics(path: Path) -> Array:
    """Normalised intrinsics (3, 3) float64 of a meta.json. Raises UserError naming the file and field."""
    meta = read_json(path, "JSON file with the camera's intrinsics")
    if not isinstance(meta, dict) or "intrinsics" not in meta:
        raise UserError(f"{path}: the field 'intrinsics' is missing")
    try:
        intrinsics = np.array(meta["intrinsics"], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: the field 'intrinsics' is not a 3x3 matrix of numbers ({error})") from error
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all() or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise UserError(
            f"{path}: the field 'intrinsics' must be 3x3, finite and with positive focal lengths: {intrinsics.tolist()}"
        )
    if intrinsics[1, 0] or not np.array_equal(intrinsics[2], [0, 0, 1]):
        raise UserError(
            f"{path}: the field 'intrinsics' must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]]: {intrinsics.tolist()}"
        )
    (fx, _, cx), (_, fy, cy) = intrinsics[:2]
    told = f"{path}: the field 'intrinsics' says fx, fy, cx, cy = {fx:g}, {fy:g}, {cx:g}, {cy:g}"
    if max(abs(cx), abs(cy)) > 5 or max(fx, fy) > MOST_FOCAL:
        raise UserError(f"{told}: that looks like pixels; divide its rows by the image's width and height")
    if min(fx, fy) < LEAST_FOCAL:
        raise UserError(f"{told}: no photo has such a field of view; the rows are those for an image of width = height = 1")
    if not (-1 < cx < 2 and -1 < cy < 2):
        raise UserError(f"{told}: the principal point lies far outside of the photo")
    return intrinsics


def read_segmentation(path: Path) -> tuple[Array, dict[int, str]]:
    """Labels (H, W) int32 of a segmentation.png, and label -> name (all but 0 where the file names none)."""
    segmentation, text = read_labels(path)
    if "labels" not in text:
        return segmentation.astype(np.int32), {int(label): str(label) for label in np.unique(segmentation) if label != 0}
    try:
        named = {int(label): str(name) for name, label in json.loads(text["labels"]).items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: the PNG text field 'labels' is not a JSON object of name -> number ({error})") from error
    return segmentation.astype(np.int32), named


def _save_png(path: Path, values: Array, text: Mapping[str, str]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    fields = PngInfo()
    for key, value in text.items():
        fields.add_text(key, value)
    Image.fromarray(values).save(path, pnginfo=fields)


def _number(path: Path, text: Mapping[str, str], field: str) -> float:
    if field not in text:
        raise UserError(f"{path}: the PNG text field {field!r} is missing; the depth cannot be decoded without it")
    try:
        value = float(text[field])
    except ValueError as error:
        raise UserError(f"{path}: the PNG text field {field!r} is not a number: {text[field][:80]!r}") from error
    if not math.isfinite(value):
        raise UserError(f"{path}: the PNG text field {field!r} is not finite: {text[field][:80]!r}")
    return value
