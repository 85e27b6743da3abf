"""A scene on disk before its photos are read: which there are, what is known of each; then the views made of them."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.core.text import listed
from bench.machine.pictures.images import photo_size, read_photo
from bench.types import Array, MultiViewScene, SceneSource, SparsePoints, UserError, View, rigid_inverse
from registry.datasets.reading.lens import Lens, undistorted, undistorted_depth
from registry.datasets.reading.photos import one_size
from registry.datasets.reading.splits import Split, spread_split

#: Part of every fingerprint: raise it when a reader gives other views for the same files.
READER_VERSION = 2
#: A photo's sides may differ from the calibration's proportions by this much (images_4 rounds its sizes).
_PROPORTION_TOLERANCE = 0.02
_REASONS_SHOWN = 3

Item = TypeVar("Item")
ReadExtras = Callable[[int, int], tuple[Array | None, Array | None]]


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo of a scene.

    Attributes:
        name: The name of its view.
        path: Its file.
        lens, world_to_camera: None where the camera is unknown.
        extras: Files that hold its depth or mask.
        read_extras: Reads them for a photo of the given (width, height): depth (H, W) float32, mask (H, W) bool.
        has_depth: Whether `read_extras` gives depth.
    """

    name: str
    path: Path
    lens: Lens | None = None
    world_to_camera: Array | None = None
    extras: tuple[Path, ...] = ()
    read_extras: ReadExtras | None = None
    has_depth: bool = False


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of a scene, by name.

    Attributes:
        folder: The scene's folder.
        format: How the scene is stored, for people.
        photos: The usable ones.
        files: What else decides the views (calibration, poses, points).
        read_sparse: Reads the sparse points, visible from the views of the given names.
        held_out: Names of the views kept for testing, where the scene says so.
        left_out: Photos and frames that cannot be used: name -> reason.
        unused: Known fields and files without effect.
        unit: Of lengths, where the format says so.
    """

    folder: Path
    format: str
    photos: tuple[Photo, ...]
    files: tuple[Path, ...] = ()
    read_sparse: Callable[[Sequence[str]], SparsePoints] | None = None
    held_out: tuple[str, ...] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    unit: str | None = None
    by_name: Mapping[str, Photo] = field(init=False)

    def __post_init__(self) -> None:
        names = [photo.name for photo in self.photos]
        if len(self.photos) < 2:
            raise UserError(
                f"{self.folder}: a scene needs at least 2 photos (one to train, one to test); {len(names)} of "
                f"{len(names) + len(self.left_out)} can be used{self._reasons()}"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"{self.folder}: several photos are named {', '.join(twice)}; rename one of each")
        object.__setattr__(self, "by_name", dict(zip(names, self.photos, strict=True)))

    def _reasons(self) -> str:
        return f"; left out: {reasons_shown(self.left_out)}" if self.left_out else ""

    @property
    def source(self) -> SceneSource:
        """What was found, for people."""
        return SceneSource(self.format, len(self.photos), dict(self.left_out), self.unused)

    def without(self, name: str, reason: str) -> PhotoSet:
        """The same scene, one photo left out. Raises UserError where too few are left."""
        return replace(
            self,
            photos=tuple(photo for photo in self.photos if photo.name != name),
            held_out=None if self.held_out is None else tuple(held for held in self.held_out if held != name),
            left_out={**self.left_out, self.by_name[name].path.name: reason},
        )

    def default_split(self, train: int, test: int) -> Split:
        """Views spread over the scene by their cameras' centres, or by their rank where a camera is unknown."""
        poses = [photo.world_to_camera for photo in self.photos]
        if any(pose is None for pose in poses):
            positions = np.arange(len(self.photos), dtype=np.float64)[:, None]
        else:
            positions = np.stack([rigid_inverse(pose)[:3, 3] for pose in poses if pose is not None])
        split = spread_split(list(self.by_name), positions, train, test, self.held_out)
        if not split.train or not split.test:
            half = "test" if split.train else "training"
            raise UserError(f"{self.folder}: no {half} view is left of those that the scene names{self._reasons()}")
        return split

    def checked(self, split: Split, source: str) -> Split:
        """The split. Raises UserError where it names a photo that is not there, names one twice, or lacks a half."""
        chosen = (*split.train, *split.test)
        for name in chosen:
            for photo, reason in self.left_out.items():
                if name in (photo, Path(photo).stem):
                    raise UserError(f"{source}: the split names {name}, which cannot be used: {photo}: {reason}")
        missing = [name for name in chosen if name not in self.by_name]
        if missing:
            raise UserError(
                f"{source}: {self.folder} has no photo named {', '.join(missing)}; it has {', '.join(self.by_name)}"
            )
        both = sorted({name for name in chosen if chosen.count(name) > 1})
        if both or not split.train or not split.test:
            reason = (
                f"{', '.join(both)} trains and tests, or stands twice"
                if both
                else "it needs at least one training and one test view"
            )
            raise UserError(f"{source}: the split of {self.folder.name} is not usable: {reason}")
        return split


def reasons_shown(left_out: Mapping[str, str], most: int = _REASONS_SHOWN) -> str:
    """Why photos are left out, in a line: those of one reason together, the first `most` reasons."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    more = f"; and {len(names) - most} more reasons" if len(names) > most else ""
    return "; ".join(f"{listed(of, 3)}: {reason}" for reason, of in list(names.items())[:most]) + more


def usable(
    frames: Iterable[tuple[str, Item]], make: Callable[[Item], Photo], one_size: bool = False
) -> tuple[list[Photo], dict[str, str]]:
    """The photos that can be used, and why the others cannot: one unusable frame does not take the scene with it.

    Args:
        frames: Name and description of each frame.
        make: The photo of a frame. Raises UserError with the reason where it cannot be used.
        one_size: Whether the calibration does not say for which size it is: then a photo of another size than most is left
            out, and all are where no size is that of most.

    Returns:
        The photos, and name -> reason. A photo is left out too where it is unreadable, or its calibration is for another
        one.
    """
    found: list[tuple[str, Photo, tuple[int, int]]] = []
    left_out: dict[str, str] = {}
    for name, frame in frames:
        try:
            photo = make(frame)
            if fault := _fault_of_header(photo):
                raise UserError(fault)
            found.append((name, photo, photo_size(photo.path)))
        except UserError as error:
            left_out[name] = str(error)
    sizes = Counter(size for _, _, size in found)
    if one_size and len(sizes) > 1:
        ((width, height), count), *_ = sizes.most_common(1)
        others = "others are not" if 2 * count <= len(found) else f"most are {width}x{height}"
        for name, _, size in found:
            if 2 * count <= len(found) or size != (width, height):
                left_out[name] = (
                    f"the photo is {size[0]}x{size[1]}, {others}, and the calibration does not say for which size it is"
                )
    return [photo for name, photo, _ in found if name not in left_out], left_out


def readable(photo_set: PhotoSet, choose: Callable[[PhotoSet], Split]) -> tuple[PhotoSet, Split]:
    """The scene without the photos that turn out to be damaged, and the split of it: only chosen photos are opened.

    Raises:
        UserError: Too few photos are left, or the split is fixed and names a damaged one; as `choose`.
    """
    while True:
        split = choose(photo_set)
        faults = {name: fault for name in (*split.train, *split.test) if (fault := _fault(photo_set.by_name[name]))}
        if not faults:
            return photo_set, split
        for name, fault in faults.items():
            photo_set = photo_set.without(name, fault)


def load(photo_set: PhotoSet, split: Split, dataset: str, name: str, unit: str) -> MultiViewScene:
    """The scene's chosen views, undistorted and of one size; no other photo is opened. unit: where the format has none."""
    chosen = (*split.train, *split.test)
    views = one_size([_view(photo_set.by_name[view]) for view in chosen])
    sparse = photo_set.read_sparse(chosen) if photo_set.read_sparse else None
    count = len(split.train)
    return MultiViewScene(
        dataset, name, views[:count], views[count:], sparse, photo_set.unit or unit, source=photo_set.source
    )


def digest(photo_set: PhotoSet, split: Split) -> str:
    """sha256 over the split, and over the names and contents of the chosen views' files and of the scene's other files.

    Raises:
        UserError: A file cannot be read, or the scene's points are damaged.
    """
    result = hashlib.sha256(f"photos {READER_VERSION} {split.train} {split.test}".encode())
    views = [photo_set.by_name[view] for view in (*split.train, *split.test)]
    for path in [*(file for photo in views for file in (photo.path, *photo.extras)), *photo_set.files]:
        result.update(f"\0{path.relative_to(photo_set.folder).as_posix()}\0".encode())
        try:
            with path.open("rb") as stream:
                result.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if photo_set.read_sparse is not None:
        photo_set.read_sparse([photo.name for photo in views])
    return result.hexdigest()


def _fault_of_header(photo: Photo) -> str:
    """Why a photo cannot be used by its header and calibration; "" where it can."""
    try:
        size = photo_size(photo.path)
        if photo.lens is not None:
            _fitted(photo.lens, *size)
            photo.lens.checked()
    except UserError as error:
        return str(error).removeprefix(f"{photo.path}: ")
    return ""


def _fault(photo: Photo) -> str:
    """Why a photo, or its depth and mask, cannot be read; "" where it can."""
    try:
        status = photo.path.stat()
        size = _decoded_size(photo.path, status.st_mtime_ns, status.st_size, photo.lens is None)
        if photo.read_extras is not None:
            photo.read_extras(*size)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except UserError as error:
        return str(error).removeprefix(f"{photo.path}: ")
    return ""


@functools.lru_cache(maxsize=4096)
def _decoded_size(path: Path, changed: int, length: int, upright: bool) -> tuple[int, int]:
    """(width, height) of a photo that was decoded whole once. changed, length: of the file, so that an edited one is
    anew."""
    image, _ = read_photo(path, upright)
    return image.shape[1], image.shape[0]


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
    lens = _fitted(photo.lens, width, height)
    layers = image if mask is None else np.dstack([image, np.where(mask, np.uint8(255), np.uint8(0))])
    depth = None if depth is None else undistorted_depth(depth, lens)
    layers, lens = undistorted(layers, lens)
    mask = None if mask is None else layers[..., 3] > 127
    camera = None if photo.world_to_camera is None else lens.camera(photo.world_to_camera)
    return View(photo.name, layers[..., :3], camera, depth, None, mask)


def _fitted(lens: Lens, width: int, height: int) -> Lens:
    """The lens at the photo's size on disk. Raises UserError where the photo has other proportions."""
    if abs(width * lens.height / (height * lens.width) - 1) > _PROPORTION_TOLERANCE:
        raise UserError(
            f"the photo is {width}x{height}, its calibration for {lens.width}x{lens.height}, of other "
            "proportions; the photo was turned or cut after the calibration"
        )
    return lens if (width, height) == (lens.width, lens.height) else lens.resized(width, height)
