"""The file format of MoGe's evaluation release: one folder a sample, listed by `.index.txt`.

`image.jpg`; `depth.png`, 16 bit, logarithmic; `meta.json` with normalised intrinsics; `segmentation.png` where there
are segments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import UserError
from bench.machine.files import write_text

Array = NDArray[Any]

INDEX, IMAGE, DEPTH, META, SEGMENTATION = ".index.txt", "image.jpg", "depth.png", "meta.json", "segmentation.png"
UNKNOWN, INFINITE = 0, 65535  #: codes of the depth image; 1 to 65534 are depths
STEPS = 65533
LARGEST_RANGE = 1e5  #: far / near; what is farther is stored as far


def read_index(folder: Path) -> list[str]:
    """Sample names, relative to the data set's folder. Raises UserError where the index is missing or empty."""
    path = folder / INDEX
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); it lists the sample folders, one a line") from error
    if not names:
        raise UserError(f"{path}: lists no sample")
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
) -> None:
    """Write one sample folder.

    image (H, W, 3) uint8; depth (H, W), NaN or <= 0 unknown, +inf sky; intrinsics (3, 3) normalised; segmentation (H,
    W) of labels below 65536; labels: name -> label. Raises UserError where the sizes differ or no depth is known.
    """
    from PIL import Image

    sizes = {image.shape[:2], depth.shape, depth.shape if segmentation is None else segmentation.shape}
    if len(sizes) > 1:
        raise UserError(f"{folder}: image, depth and segmentation differ in size: {sorted(sizes)} (H, W)")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / IMAGE, quality=95, subsampling=0)
    write_depth(folder / DEPTH, depth)
    write_text(folder / META, json.dumps({"intrinsics": np.asarray(intrinsics, float).tolist()}) + "\n")
    if segmentation is not None:
        text = {"labels": json.dumps(labels)} if labels else {}
        _save_png(folder / SEGMENTATION, segmentation.astype(np.uint16), text)


def read_image(path: Path) -> Array:
    """(H, W, 3) uint8 RGB of any picture file. Raises UserError naming it."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise UserError(f"{path}: not a readable image ({error})") from error


def read_depth(path: Path) -> Array:
    """(H, W) float32 of a logarithmic 16-bit depth PNG: NaN unknown, +inf sky. Raises UserError naming the file and
    field."""
    codes, text = _open_png(path)
    near, far = (_number(path, text, field) for field in ("near", "far"))
    unit = _number(path, text, "unit") if "unit" in text else 1.0
    if not 0 < near <= far:
        raise UserError(f"{path}: PNG text fields near = {near:g} and far = {far:g}: expected 0 < near <= far")
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
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); it holds the camera's intrinsics") from error
    if not isinstance(meta, dict) or "intrinsics" not in meta:
        raise UserError(f"{path}: the field 'intrinsics' is missing")
    try:
        intrinsics = np.array(meta["intrinsics"], np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: the field 'intrinsics' is not a 3x3 matrix of numbers ({error})") from error
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all() or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise UserError(
            f"{path}: the field 'intrinsics' must be 3x3, finite and with positive focal lengths: {intrinsics.tolist()}"
        )
    if intrinsics[0, 2] > 5 or intrinsics[1, 2] > 5:
        raise UserError(f"{path}: the field 'intrinsics' looks like pixels; divide its rows by the image's width and height")
    return intrinsics


def read_segmentation(path: Path) -> tuple[Array, dict[int, str]]:
    """Labels (H, W) int32 of a segmentation.png, and label -> name (all but 0 where the file names none)."""
    segmentation, text = _open_png(path)
    if "labels" not in text:
        return segmentation.astype(np.int32), {int(label): str(label) for label in np.unique(segmentation) if label != 0}
    try:
        named = {int(label): str(name) for name, label in json.loads(text["labels"]).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: the PNG text field 'labels' is not a JSON object of name -> number ({error})") from error
    return segmentation.astype(np.int32), named


def _open_png(path: Path) -> tuple[Array, dict[str, str]]:
    """Single-channel values (H, W) and text fields of a PNG."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            values, text = np.asarray(picture), {str(key): str(value) for key, value in picture.info.items()}
    except OSError as error:
        raise UserError(f"{path}: not a readable PNG ({error})") from error
    if values.ndim != 2:
        raise UserError(f"{path}: expected one channel, found an image of shape {values.shape}")
    return values, text


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
        return float(text[field])
    except ValueError as error:
        raise UserError(f"{path}: the PNG text field {field!r} is not a number: {text[field]!r}") from error
