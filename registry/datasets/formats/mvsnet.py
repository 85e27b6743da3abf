"""MVSNet's camera files with depth maps and masks, as the Feat2GS release has DTU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from bench.core.scenes import nearest
from bench.machine.pictures.depths import read_depth
from bench.machine.pictures.images import photo_size, read_mask
from bench.machine.text import read_text
from bench.types import Array, UserError
from registry.datasets.formats.plain import best_folder
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.lens import Lens
from registry.datasets.reading.photo_set import Photo, PhotoSet, ReadExtras, usable
from registry.datasets.reading.photos import photos_under, view_names
from registry.datasets.reading.poses import from_world_to_camera

#: The mask is shrunk by a square of this many pixels, as the official preparation does.
MASK_EROSION = 10


def read_mvsnet(folder: Path) -> PhotoSet:
    """Images, `cams/<stem>_cam.txt` (MVSNet), `depths/<stem>.npy`, `binary_masks/<stem>.png`.

    Depth 0 is unknown. The mask is shrunk by a square of MASK_EROSION pixels, as the official preparation does (the
    release's photos are black outside it), and depth outside it is taken as unknown. The intrinsics are those of the depth
    map's size, or of the photo's where there is no depth map.

    Raises:
        UserError: Fewer than two photos can be used.
    """
    place = best_folder(folder)
    paths = photos_under(place)
    names = view_names(paths, place)

    def make(item: tuple[str, Path]) -> Photo:
        name, path = item
        files = {
            "camera": folder / "cams" / f"{path.stem}_cam.txt",
            "depth": folder / "depths" / f"{path.stem}.npy",
            "mask": folder / "binary_masks" / f"{path.stem}.png",
        }
        if not files["camera"].is_file():
            raise UserError(f"{files['camera']}: the camera of {path.name} is missing")
        for kind in ("depth", "mask"):
            if files[kind].parent.is_dir() and not files[kind].is_file():
                raise UserError(f"{files[kind]}: the {kind} of {path.name} is missing; other photos may have theirs")
        extras = tuple(files[kind] for kind in ("depth", "mask") if files[kind].is_file())
        has_depth = files["depth"].is_file()
        size = _depth_map(files["depth"]).shape[::-1] if has_depth else photo_size(path)
        lens, pose = _camera(files["camera"], size)
        return Photo(name, path, lens, pose, extras, _depth_and_mask(files["depth"], files["mask"]), has_depth)

    items = ((path.name, (name, path)) for name, path in zip(names, paths, strict=True))
    photos, left_out = usable(items, make, one_size=not (folder / "depths").is_dir())
    cameras = tuple(folder / "cams" / f"{photo.path.stem}_cam.txt" for photo in photos)
    unused = tuple(name for name in ("pair.txt", "cams/pair.txt") if (folder / name).is_file())
    return PhotoSet(
        folder, "MVSNet", tuple(photos), cameras, left_out=left_out, unused=("depth range of the cameras", *unused)
    )


def _camera(path: Path, size: tuple[int, int]) -> tuple[Lens, Array]:
    """The lens at (width, height) and the (4, 4) world-to-camera of a file of "extrinsic", 4x4, "intrinsic", 3x3, bounds."""
    words = read_text(path).split()
    try:
        at, then = words.index("extrinsic") + 1, words.index("intrinsic") + 1
        matrix = np.array(words[at : at + 16], np.float64).reshape(4, 4)
        intrinsics = np.array(words[then : then + 9], np.float64).reshape(3, 3)
    except ValueError as error:
        raise UserError(f"{path}: not a MVSNet camera (extrinsic 4x4, intrinsic 3x3): {error}") from error
    try:
        pose = from_world_to_camera(matrix)
        lens = lens_of(intrinsics, *size)
    except UserError as error:
        raise UserError(f"{path}: the extrinsic matrix, or the intrinsic one, {error}") from error
    if not (0.25 < lens.cx / lens.width < 0.75 and 0.25 < lens.cy / lens.height < 0.75):
        raise UserError(
            f"{path}: the principal point ({lens.cx:g}, {lens.cy:g}) does not fit a photo of {size[0]}x{size[1]}"
        )
    return lens, pose


def lens_of(intrinsics: Array, width: int, height: int) -> Lens:
    """The pinhole of a 3x3 matrix in pixels.

    Raises:
        UserError: The matrix is not finite, has skew, is no upper triangle that ends in 1, or makes no sense for the size.
    """
    if not np.isfinite(intrinsics).all():
        raise UserError("holds numbers that are not finite")
    below = np.abs([intrinsics[1, 0], intrinsics[2, 0], intrinsics[2, 1]]).max()
    if below > 1e-6 or abs(intrinsics[2, 2] - 1) > 1e-6:
        raise UserError("is no calibration matrix: (fx, skew, cx), (0, fy, cy), (0, 0, 1)")
    if abs(intrinsics[0, 1]) > 1e-3 * abs(intrinsics[0, 0]):
        raise UserError(f"has a skew of {intrinsics[0, 1]:g} pixels, which is not supported")
    fx, fy, cx, cy = (float(intrinsics[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Lens(width, height, fx, fy, cx, cy).checked()


def _depth_map(path: Path) -> Array:
    """(H, W) float64."""
    depth = read_depth(path)
    if not (depth > 0).any():
        raise UserError(f"{path}: holds no depth above 0")
    return depth


def _depth_and_mask(depth_file: Path, mask_file: Path) -> ReadExtras:
    def read(width: int, height: int) -> tuple[Array | None, Array | None]:
        depth = mask = None
        if depth_file.is_file():
            depth = _depth_map(depth_file).astype(np.float32)
            depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        if mask_file.is_file():
            mask = read_mask(mask_file)
            if depth is not None:
                mask = nearest(mask, *depth.shape)
            mask = binary_erosion(mask, np.ones((MASK_EROSION, MASK_EROSION), bool), border_value=1)
        if depth is not None and mask is not None:
            depth[~mask] = np.nan
        depth, mask = (None if layer is None else nearest(layer, height, width) for layer in (depth, mask))
        return depth, mask

    return read


MVSNET = Layout(lambda folder: (folder / "cams").is_dir(), read_mvsnet)
