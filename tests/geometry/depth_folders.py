"""Folders of photos and depth maps to be converted, and what came out.

Each photo is of one grey value and each depth map of one depth, 100 times smaller in metres, so that a pair that was mixed
up shows in the sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.geometry.io.convert import Converted, convert_folder
from bench.geometry.io.release import read_depth, read_image, read_index

WIDTH, HEIGHT = 24, 16
CAMERA = (20.0, 20.0, 12.0, 8.0)


def photo(path: Path, grey: int, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (grey, grey, grey)).save(path, **options)


def depth(path: Path, grey: int) -> None:
    """The depth that belongs to a photo of this grey value, in millimetres, or, as .npy, in metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.full((HEIGHT, WIDTH), grey / 100, np.float32))
    else:
        Image.fromarray(np.full((HEIGHT, WIDTH), grey * 10, np.uint16)).save(path)


def run(source: Path, destination: Path, **options: Any) -> Converted:
    defaults: dict[str, Any] = {"depth_unit": 0.001, "intrinsics": CAMERA}
    return convert_folder(source, destination, **{**defaults, **options})


def greys(destination: Path) -> dict[str, int]:
    """Sample -> its photo's grey value, once it is shown that its depth map belongs to it."""
    found = {}
    for name in read_index(destination):
        grey = round(float(read_image(destination / name / "image.jpg").mean()))
        metres = read_depth(destination / name / "depth.png")
        np.testing.assert_allclose(metres, grey / 100, rtol=1e-4)
        found[name] = grey
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
