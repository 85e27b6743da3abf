"""The layouts in which scenes come: COLMAP, original LLFF, NeRF's transforms.json, MVSNet cameras, plain photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion

from bench.types import Array, SparsePoints, UserError
from registry.datasets.formats.colmap_model import Points, model_file, read_cameras, read_images, read_points
from registry.datasets.formats.lens import Lens
from registry.datasets.formats.photo_set import Photo, PhotoSet
from registry.datasets.formats.photos import FOLDERS, nearest, photo_folder, photo_size, photos_in, read_photo


@dataclass(frozen=True)
class Layout:
    """One way to lay out a scene.

    recognises: whether a folder is of this kind, by its marks alone, sound or not. read: its photos; raises UserError naming
    the file at fault.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], PhotoSet]


#: Where a COLMAP model lies in a scene's folder, and the folder beside whose photos it belongs; undistorted ones first.
POSES_BOUNDS = "poses_bounds.npy"
MASK_EROSION = 10
_MODEL_PLACES = (
    ("dense/0/sparse", "dense/0"),
    ("dense/sparse", "dense"),
    ("sparse/0", "."),
    ("sparse", "."),
    ("colmap/sparse/0", "."),
)


def _photos_of(folder: Path) -> Path:
    """The folder of a scene's photos. Raises UserError where there is none."""
    photos = photo_folder(folder)
    if photos is None:
        raise UserError(f"{folder}: there are no photos; looked in {', '.join(FOLDERS)}")
    return photos


def _read_photos(folder: Path) -> PhotoSet:
    """A folder with `images/` (or images_4, …): photos without cameras."""
    return PhotoSet(folder, tuple(Photo(path.stem, path) for path in photos_in(_photos_of(folder))))


# --------------------------------------------------------------------------------------------------------- COLMAP and LLFF


def _models(folder: Path) -> list[tuple[Path, Path]]:
    """The sparse models of a scene, and the folder beside whose photos each belongs."""
    return [(folder / place, folder / home) for place, home in _MODEL_PLACES if model_file(folder / place, "cameras")]


def _read_colmap(folder: Path) -> PhotoSet:
    """A COLMAP model with its photos. Without an images file, `poses_bounds.npy` gives the poses (original LLFF)."""
    model, home = min(_models(folder), key=lambda model: photo_folder(model[1]) is None)
    cameras_file, images_file = model_file(model, "cameras"), model_file(model, "images")
    assert cameras_file is not None
    if images_file is None:
        if (folder / POSES_BOUNDS).is_file():
            return _read_llff(folder)
        raise UserError(f"{model}: images.bin or images.txt is missing, and there is no {POSES_BOUNDS} to give the poses")
    cameras = read_cameras(cameras_file)
    images = read_images(images_file, cameras)
    paths = _matched(images_file, [image.name for image in images], home)
    views = tuple(
        Photo(path.stem, path, cameras[image.camera], image.world_to_camera)
        for image, path in zip(images, paths, strict=True)
    )
    numbers = {image.number: photo.name for image, photo in zip(images, views, strict=True)}
    return _with_points(PhotoSet(folder, views, (cameras_file, images_file)), model, numbers)


def _read_llff(folder: Path) -> PhotoSet:
    """An original LLFF scene: `poses_bounds.npy` (N, 17) beside its photos, by name; `sparse/0` gives points and lens.

    A row holds a (3, 5) matrix, camera axes [down, right, backwards], the centre, and (height, width, focal length) at full
    size, then the near and far bounds. Where the COLMAP images file is missing, image number i is the i-th photo by name.
    """
    poses_file, photos = folder / POSES_BOUNDS, _photos_of(folder)
    rows = _poses_bounds(poses_file)
    paths = photos_in(photos)
    if len(rows) != len(paths):
        raise UserError(
            f"{poses_file} holds {len(rows)} poses, {photos} holds {len(paths)} photos; their numbers must agree"
        )
    model = next(
        (folder / place for place, base in _MODEL_PLACES if base == "." and model_file(folder / place, "cameras")), None
    )
    cameras_file = model and model_file(model, "cameras")
    lenses = list(read_cameras(cameras_file).values()) if cameras_file else []
    views = []
    for path, row in zip(paths, rows, strict=True):
        height, width, focal = (float(value) for value in row[:, 4])
        lens = Lens(round(width), round(height), focal, focal, width / 2, height / 2).checked(str(poses_file))
        # LLFF scenes have one camera; its distortion is known to COLMAP only.
        lens = lenses[0] if len(lenses) == 1 else lens
        pose = np.eye(4)
        pose[:3, :3] = np.stack([row[:, 1], row[:, 0], -row[:, 2]])  # rows: the camera's right, down and forward axes
        pose[:3, 3] = -pose[:3, :3] @ row[:, 3]
        views.append(Photo(path.stem, path, lens, pose))
    found = PhotoSet(folder, tuple(views), tuple(file for file in (poses_file, cameras_file) if file))
    return _with_points(found, model, {number: view.name for number, view in enumerate(views, start=1)}) if model else found


def _poses_bounds(path: Path) -> Array:
    """(N, 3, 5) float64."""
    rows = _array(path)
    if rows.ndim != 2 or rows.shape[1] != 17 or not np.issubdtype(rows.dtype, np.number):
        raise UserError(f"{path}: must hold N rows of 17 numbers, not {rows.dtype} {rows.shape}")
    unknown = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(unknown):
        raise UserError(
            f"{path}: row {unknown[0]} (of 0 to {len(rows) - 1}) holds numbers that are not finite: {rows[unknown[0]]}"
        )
    poses = rows[:, :15].reshape(-1, 3, 5).astype(np.float64)
    axes = poses[:, :, :3]
    if not np.allclose(axes.transpose(0, 2, 1) @ axes, np.eye(3), atol=1e-3):
        raise UserError(f"{path}: the first three columns of each pose must be a rotation")
    return poses


def _array(path: Path) -> Array:
    """The array of a .npy file, memory-mapped. Raises UserError where it is none."""
    try:
        array: Array = np.load(path, allow_pickle=False, mmap_mode="r")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:  # its message would have the user allow code in the file
        raise UserError(f"{path}: not a NumPy array file of numbers; replace it") from error
    return array


def _with_points(found: PhotoSet, model: Path, names: Mapping[int, str]) -> PhotoSet:
    """The photo set with the model's points; names: of the views by image number."""
    points_file = model_file(model, "points3D")
    if points_file is None:
        return found

    def read(views: Sequence[str]) -> SparsePoints:
        points: Points = read_points(points_file)
        numbers = {name: number for number, name in names.items()}
        visible = {view: np.unique(points.point[points.image == numbers[view]]) for view in views}
        return SparsePoints(points.positions, points.colours, visible if len(points.point) else {})

    return PhotoSet(found.folder, found.photos, (*found.files, points_file), read)


def _matched(source: Path, names: Sequence[str], home: Path) -> list[Path]:
    """The photo of each image that a model names: by its path, by its stem, or, where smaller copies were all renamed (as
    LLFF's script does) and are as many, by rank."""
    photos = _photos_of(home)
    paths = photos_in(photos)
    direct = [photos / name for name in names]
    if all(path.is_file() for path in direct):
        return direct
    stems = {path.stem: path for path in paths}
    if all(Path(name).stem in stems for name in names):
        return [stems[Path(name).stem] for name in names]
    if len(paths) == len(names) and not any(Path(name).stem in stems for name in names):
        return paths
    for folder in (home / name for name in FOLDERS):
        if all((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    missing = [name for name in names if Path(name).stem not in stems]
    raise UserError(
        f"{source} names {len(names)} images, {photos} holds {len(paths)} photos; missing: {', '.join(missing[:5])}"
        f"{', …' if len(missing) > 5 else ''}"
    )


# --------------------------------------------------------------------------------------------------------------------- NeRF


def _transforms_files(folder: Path) -> list[Path]:
    whole, *halves = (folder / f"transforms{part}.json" for part in ("", "_train", "_test"))
    return [whole] if whole.is_file() else [path for path in halves if path.is_file()]


def _read_transforms(folder: Path) -> PhotoSet:
    """NeRF's `transforms.json`, or `transforms_train.json` with `transforms_test.json` (whose views then test)."""
    files = _transforms_files(folder)
    photos = {path: _frames(path) for path in files}
    # The halves of the synthetic scenes number their files alike: train/r_0, test/r_0.
    stems = [photo.name for half in photos.values() for photo in half]
    if len(set(stems)) < len(stems):
        photos = {
            path: [
                Photo(f"{photo.path.parent.name}-{photo.name}", photo.path, photo.lens, photo.world_to_camera)
                for photo in half
            ]
            for path, half in photos.items()
        }
    held_out = tuple(photo.name for photo in photos[files[1]]) if len(files) == 2 else None
    return PhotoSet(folder, tuple(photo for half in photos.values() for photo in half), tuple(files), held_out=held_out)


def _frames(path: Path) -> list[Photo]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a transforms file ({type(error).__name__}: {error})") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{path}: not a transforms file: it must be an object with a list of objects, `frames`")
    return sorted((_frame(path, content, frame) for frame in frames), key=lambda photo: photo.path)


def _frame(source: Path, content: Mapping[str, Any], frame: Mapping[str, Any]) -> Photo:
    lacking = [name for name in ("file_path", "transform_matrix") if name not in frame]
    if lacking:
        raise UserError(f"{source}: the frame {frame.get('file_path', '')!r} lacks {' and '.join(lacking)}")
    path = _frame_photo(source, str(frame["file_path"]))
    try:
        pose = np.array(frame["transform_matrix"], np.float64)
    except (TypeError, ValueError):
        pose = np.zeros(0)
    axes = pose[:3, :3] if pose.shape == (4, 4) else np.zeros((3, 3))
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3) or not np.isfinite(pose).all():
        raise UserError(f"{source}: transform_matrix of {frame['file_path']} is not a rigid 4x4 matrix")
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = (axes * [1, -1, -1]).T  # OpenGL: y up, z backwards
    world_to_camera[:3, 3] = -world_to_camera[:3, :3] @ pose[:3, 3]
    return Photo(path.stem, path, _frame_lens(source, path, {**content, **frame}), world_to_camera)


def _frame_photo(source: Path, name: str) -> Path:
    """The photo's file: as named, with an extension added, or in one of the folders of smaller copies."""
    named = source.parent / name
    smaller = photo_folder(source.parent)
    candidates = [named, *(named.with_name(named.name + extension) for extension in (".png", ".jpg", ".jpeg"))]
    candidates += [smaller / named.name] if smaller else []
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise UserError(f"{source}: the photo {named} of a frame does not exist")
    return found


def _frame_lens(source: Path, photo: Path, field: Mapping[str, Any]) -> Lens:
    model = str(field.get("camera_model", "OPENCV"))
    fisheye = bool(field.get("is_fisheye")) or _number(source, field, "k4", 0) != 0
    if fisheye or model not in {"OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"}:
        reason = f"camera_model {model}" if not fisheye else "a fisheye lens (is_fisheye or k4)"
        raise UserError(f"{source}: {reason} is not supported; undistort the photos to a pinhole camera first")
    if "w" in field and "h" in field:
        width, height = round(_number(source, field, "w", 0)), round(_number(source, field, "h", 0))
    else:
        width, height = photo_size(photo)
    if "fl_x" in field:
        fx = _number(source, field, "fl_x", 0)
    elif "camera_angle_x" in field:
        angle = _number(source, field, "camera_angle_x", 0)
        if not 0 < angle < np.pi:
            raise UserError(f"{source}: camera_angle_x must be an angle between 0 and pi, in radians, not {angle:g}")
        fx = width / 2 / float(np.tan(angle / 2))
    else:
        raise UserError(f"{source}: neither fl_x nor camera_angle_x gives the focal length of {photo.name}")
    fy = _number(source, field, "fl_y", fx)
    cx, cy = _number(source, field, "cx", width / 2), _number(source, field, "cy", height / 2)
    bend = {name: _number(source, field, name, 0) for name in ("k1", "k2", "k3", "p1", "p2")}
    return Lens(width, height, fx, fy, cx, cy, **bend).checked(str(source))


def _number(source: Path, field: Mapping[str, Any], name: str, default: float) -> float:
    """A number of a transforms file. Raises UserError naming the field where it is none, or not finite."""
    value = field.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise UserError(f"{source}: {name} must be a finite number, not {value!r}")
    return float(value)


# ------------------------------------------------------------------------------------------------------------------- MVSNet


def _read_mvsnet(folder: Path) -> PhotoSet:
    """DTU in the Feat2GS release: images, `cams/<stem>_cam.txt` (MVSNet), `depths/<stem>.npy`, `binary_masks/<stem>.png`.

    Depth 0 is unknown. The mask is shrunk by a square of MASK_EROSION pixels, as the official preparation does (the
    release's photos are black outside it), and depth outside it is taken as unknown. The intrinsics are those of the depth
    map's size, or of the photo's where there is no depth map. Lengths are millimetres.
    """
    photos, files = [], []
    for path in photos_in(_photos_of(folder)):
        camera_file, depth_file, mask_file = (
            folder / "cams" / f"{path.stem}_cam.txt",
            folder / "depths" / f"{path.stem}.npy",
            folder / "binary_masks" / f"{path.stem}.png",
        )
        if not camera_file.is_file():
            raise UserError(f"{camera_file}: the camera of {path.name} is missing")
        extras = tuple(file for file in (depth_file, mask_file) if file.is_file())
        size = _depth_map(depth_file).shape[::-1] if depth_file.is_file() else photo_size(path)
        lens, pose = _mvsnet_camera(camera_file, size)
        photos.append(Photo(path.stem, path, lens, pose, extras, _depth_and_mask(depth_file, mask_file)))
        files.append(camera_file)
    return PhotoSet(folder, tuple(photos), tuple(files), unit="millimetre")


def _mvsnet_camera(path: Path, size: tuple[int, int]) -> tuple[Lens, Array]:
    """The lens at (width, height) and the (4, 4) world-to-camera of a file of "extrinsic", 4x4, "intrinsic", 3x3, bounds."""
    try:
        words = path.read_text(encoding="utf-8").split()
        at, then = words.index("extrinsic") + 1, words.index("intrinsic") + 1
        pose = np.array(words[at : at + 16], np.float64).reshape(4, 4)
        intrinsics = np.array(words[then : then + 9], np.float64).reshape(3, 3)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a MVSNet camera (extrinsic 4x4, intrinsic 3x3): {error}") from error
    if not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-3) or not np.isfinite(pose).all():
        raise UserError(f"{path}: the extrinsic matrix is not rigid, or not of finite numbers")
    lens = Lens(*size, intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]).checked(str(path))
    if not (0.25 < lens.cx / lens.width < 0.75 and 0.25 < lens.cy / lens.height < 0.75):
        raise UserError(
            f"{path}: the principal point ({lens.cx:g}, {lens.cy:g}) does not fit a photo of {size[0]}x{size[1]}"
        )
    return lens, pose


def _depth_map(path: Path) -> Array:
    """(H, W), memory-mapped."""
    depth = _array(path)
    if depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating):
        raise UserError(f"{path}: a depth map must be (H, W) of floating point, not {depth.dtype} {depth.shape}")
    return depth


def _depth_and_mask(depth_file: Path, mask_file: Path) -> Callable[[int, int], tuple[Array | None, Array | None]]:
    def read(width: int, height: int) -> tuple[Array | None, Array | None]:
        depth = mask = None
        if depth_file.is_file():
            depth = np.array(_depth_map(depth_file), np.float32)
            depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        if mask_file.is_file():
            mask = read_photo(mask_file, upright=False)[0][..., 0] > 127
            if depth is not None:
                mask = nearest(mask, *depth.shape[::-1])
            mask = binary_erosion(mask, np.ones((MASK_EROSION, MASK_EROSION), bool), border_value=1)
        if depth is not None and mask is not None:
            depth[~mask] = np.nan
        depth, mask = (None if layer is None else nearest(layer, width, height) for layer in (depth, mask))
        return depth, mask

    return read


MVSNET = Layout(lambda folder: (folder / "cams").is_dir(), _read_mvsnet)
COLMAP = Layout(lambda folder: bool(_models(folder)), _read_colmap)
LLFF = Layout(lambda folder: (folder / POSES_BOUNDS).is_file(), _read_llff)
TRANSFORMS = Layout(lambda folder: bool(_transforms_files(folder)), _read_transforms)
PHOTOS = Layout(lambda folder: any(photos_in(folder / name) for name in FOLDERS), _read_photos)
