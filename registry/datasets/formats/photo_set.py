"""A scene on disk before its photos are read: which there are, what is known of each; then the views made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.types import Array, MultiViewScene, SparsePoints, UserError, View
from registry.datasets.formats.lens import Lens, undistorted
from registry.datasets.formats.photos import one_size, read_photo
from registry.datasets.formats.splits import Split, spread_split

#: Part of every fingerprint: raise it when a reader gives other views for the same files.
READER_VERSION = 1
#: A photo's sides may differ from the calibration's proportions by this much (images_4 rounds its sizes).
_PROPORTION_TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo. name: its stem. lens, world_to_camera: None where the camera is unknown. extras: files that hold its depth
    or mask; `read_extras` reads them for a photo of the given (width, height): depth (H, W) float32, mask (H, W) bool."""

    name: str
    path: Path
    lens: Lens | None = None
    world_to_camera: Array | None = None
    extras: tuple[Path, ...] = ()
    read_extras: Callable[[int, int], tuple[Array | None, Array | None]] | None = None


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of a scene, by name.

    files: what else decides the views (calibration, poses, points). read_sparse: reads the sparse points, visible from the
    views of the given names. held_out: names of the views kept for testing, where known.
    """

    folder: Path
    photos: tuple[Photo, ...]
    files: tuple[Path, ...] = ()
    read_sparse: Callable[[Sequence[str]], SparsePoints] | None = None
    held_out: tuple[str, ...] | None = None
    unit: str = "scene"
    by_name: Mapping[str, Photo] = field(init=False)

    def __post_init__(self) -> None:
        names = [photo.name for photo in self.photos]
        if len(self.photos) < 2:
            raise UserError(
                f"{self.folder}: a scene needs at least 2 photos (one to train, one to test); there are {len(names)}"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(
                f"{self.folder}: several photos are named {', '.join(twice)}; names must differ without extension"
            )
        object.__setattr__(self, "by_name", dict(zip(names, self.photos, strict=True)))

    def default_split(self, train: int, test: int) -> Split:
        """Views spread over the scene by their cameras' centres, or by their rank where a camera is unknown."""
        poses = [photo.world_to_camera for photo in self.photos]
        if any(pose is None for pose in poses):
            positions = np.arange(len(self.photos), dtype=np.float64)[:, None]
        else:
            positions = np.stack([-pose[:3, :3].T @ pose[:3, 3] for pose in poses if pose is not None])
        return spread_split(list(self.by_name), positions, train, test, self.held_out)

    def checked(self, split: Split, source: str) -> Split:
        """The split. Raises UserError where it names a photo that is not there, names one twice, or lacks a half."""
        missing = [name for name in (*split.train, *split.test) if name not in self.by_name]
        if missing:
            raise UserError(
                f"{source}: {self.folder} has no photo named {', '.join(missing)}; it has {', '.join(self.by_name)}"
            )
        both = sorted(set(split.train) & set(split.test))
        if both or not split.train or not split.test:
            reason = f"{', '.join(both)} trains and tests" if both else "it needs at least one training and one test view"
            raise UserError(f"{source}: the split of {self.folder.name} is not usable: {reason}")
        return split


def load(photo_set: PhotoSet, split: Split, dataset: str, name: str) -> MultiViewScene:
    """The scene's chosen views, undistorted and of one size; no other photo is opened."""
    chosen = (*split.train, *split.test)
    views = one_size([_view(photo_set.by_name[view]) for view in chosen])
    sparse = photo_set.read_sparse(chosen) if photo_set.read_sparse else None
    count = len(split.train)
    return MultiViewScene(dataset, name, views[:count], views[count:], sparse, photo_set.unit)


def digest(photo_set: PhotoSet, split: Split) -> str:
    """sha256 over the split, and over the names and contents of the chosen views' files and of the scene's other files."""
    result = hashlib.sha256(f"photos {READER_VERSION} {split.train} {split.test}".encode())
    views = [photo_set.by_name[view] for view in (*split.train, *split.test)]
    for path in [*(file for photo in views for file in (photo.path, *photo.extras)), *photo_set.files]:
        result.update(f"\0{path.relative_to(photo_set.folder).as_posix()}\0".encode())
        try:
            with path.open("rb") as stream:
                result.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return result.hexdigest()


def _view(photo: Photo) -> View:
    image, alpha = read_photo(photo.path, upright=photo.lens is None)
    height, width = image.shape[:2]
    mask = None if alpha is None else alpha > 127
    depth = None
    if photo.read_extras is not None:
        depth, own_mask = photo.read_extras(width, height)
        mask = own_mask if own_mask is not None else mask
    if photo.lens is None:
        return View(photo.name, image, None, depth, None, mask)
    lens = _fitted(photo, width, height)
    if lens.distorts and depth is not None:
        raise UserError(f"{photo.path}: a distorted photo with a depth map is not supported; undistort both first")
    layers = image if mask is None else np.dstack([image, np.where(mask, np.uint8(255), np.uint8(0))])
    layers, lens = undistorted(layers, lens)
    mask = None if mask is None else layers[..., 3] > 127
    camera = None if photo.world_to_camera is None else lens.camera(photo.world_to_camera)
    return View(photo.name, layers[..., :3], camera, depth, None, mask)


def _fitted(photo: Photo, width: int, height: int) -> Lens:
    """The photo's lens at its size on disk."""
    lens = photo.lens
    assert lens is not None
    if abs(width * lens.height / (height * lens.width) - 1) > _PROPORTION_TOLERANCE:
        raise UserError(
            f"{photo.path}: the photo is {width}x{height}, its calibration for {lens.width}x{lens.height}, of other "
            "proportions; the photo was turned or cut after the calibration"
        )
    return lens if (width, height) == (lens.width, lens.height) else lens.resized(width, height)
