"""`rgbd`: frames of a depth camera, in the layout of 7-Scenes as KinectFusion-style tools write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bench.registry import datasets
from bench.types import Array, DatasetCard, UserError
from registry.datasets.formats.layouts import Layout
from registry.datasets.formats.lens import Lens
from registry.datasets.formats.photo_set import Photo, PhotoSet
from registry.datasets.formats.photos import EXTENSIONS, nearest, photo_size
from registry.datasets.scene_folders import SceneFolders

#: Depth in millimetres at or above this, and 0, is no measurement (65535 marks it in 7-Scenes).
INVALID_DEPTH = 60000
CALIBRATION = "camera-intrinsics.txt"


def read_frames(folder: Path) -> PhotoSet:
    """A folder with `camera-intrinsics.txt` (3x3) and, in it or in `rgbd-frames`, `<frame>.color.png`, `<frame>.depth.png`
    (16 bit, millimetres) and `<frame>.pose.txt` (4x4 camera to world, metres)."""
    calibration = folder / CALIBRATION
    intrinsics = _matrix(calibration, 3)
    frames = folder / "rgbd-frames" if (folder / "rgbd-frames").is_dir() else folder
    photos, poses = [], []
    for path in sorted(frames.glob("*.color.*")):
        if path.suffix.lower() not in EXTENSIONS:
            continue
        name = path.name.partition(".")[0]
        depth_file, pose_file = frames / f"{name}.depth.png", frames / f"{name}.pose.txt"
        for file in (depth_file, pose_file):
            if not file.is_file():
                raise UserError(f"{file}: missing beside {path.name}")
        width, height = photo_size(path)
        lens = Lens(width, height, intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2])
        pose = _matrix(pose_file, 4)
        if not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-2):
            raise UserError(f"{pose_file}: the pose is not rigid")
        photos.append(
            Photo(name, path, lens.checked(str(calibration)), _inverse_rigid(pose), (depth_file,), _depth(depth_file))
        )
        poses.append(pose_file)
    return PhotoSet(folder, tuple(photos), (calibration, *poses), unit="metre")


def _matrix(path: Path, size: int) -> Array:
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), np.float64)
        if values.size != size * size or not np.isfinite(values).all():
            raise ValueError(f"{values.size} numbers")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: must hold a {size}x{size} matrix of finite numbers ({error})") from error
    return values.reshape(size, size)


def _inverse_rigid(pose: Array) -> Array:
    """World-to-camera of a camera-to-world pose; its rotation is brought to the nearest exact one (poses carry 7 digits)."""
    left, _, right = np.linalg.svd(pose[:3, :3])
    inverse = np.eye(4)
    inverse[:3, :3] = (left @ right).T
    inverse[:3, 3] = -inverse[:3, :3] @ pose[:3, 3]
    return inverse


def _depth(path: Path) -> Callable[[int, int], tuple[Array | None, Array | None]]:
    def read(width: int, height: int) -> tuple[Array, None]:
        try:
            with Image.open(path) as image:
                millimetres = np.array(image)
        except (OSError, SyntaxError) as error:
            raise UserError(f"{path}: not a readable depth image ({error})") from error
        if millimetres.ndim != 2 or millimetres.dtype.kind not in "iu" or millimetres.dtype.itemsize < 2:
            raise UserError(f"{path}: depth must be a 16-bit greyscale PNG in millimetres")
        depth = nearest(millimetres, width, height).astype(np.float32)
        return np.where((depth > 0) & (depth < INVALID_DEPTH), depth / 1000, np.float32(np.nan)), None

    return read


@datasets.register("rgbd")
class RGBD(SceneFolders):
    """Folders `<root>/rgbd/<scene>`, or right under the root, with camera-intrinsics.txt and frames with depth and pose."""

    key = "rgbd"
    layouts = (Layout(lambda folder: (folder / CALIBRATION).is_file(), read_frames),)
    train_count = 3
    default_pointmap = "ground-truth"
    card = DatasetCard(
        "RGB-D",
        train_views="3",
        folder="rgbd",
        unit="metre",
        note="your own depth-camera frames; where colour is not registered to depth, judge 3D metrics, not PSNR",
    )

    def places(self, root: Path) -> list[Path]:
        return [*super().places(root), root]
