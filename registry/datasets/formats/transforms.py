"""`transforms.json` as NeRF, instant-ngp, nerfstudio and Blender exporters write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.scenes import nearest
from bench.core.text import listed
from bench.machine.pictures.depths import read_depth
from bench.machine.pictures.images import EXTENSIONS, photo_size, read_mask
from bench.machine.text import path_inside, plain_path, read_json
from bench.types import Array, SparsePoints, UserError
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.lens import Lens, colmap_lens
from registry.datasets.reading.photo_set import Photo, PhotoSet, ReadExtras, usable
from registry.datasets.reading.photos import PhotoIndex, photo_folders, view_names
from registry.datasets.reading.points import read_cloud
from registry.datasets.reading.poses import from_camera_to_world
from registry.datasets.reading.text import number

#: nerfstudio: depth maps are in thousandths of the scene's unit unless the file says otherwise.
_DEPTH_SCALE = 1e-3
_FOCAL_FIELDS = {axis: (f"fl_{axis}", f"{axis}_fov", f"camera_angle_{axis}") for axis in "xy"}
_BENDS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
#: What each camera model takes of the coefficients, in the order of COLMAP's parameters.
_COEFFICIENTS: dict[str, tuple[str, ...]] = {
    "PINHOLE": (),
    "SIMPLE_PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "k3", "p1", "p2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
    "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
_LENS_FIELDS = {"w", "h", "cx", "cy", "camera_model", "is_fisheye", *_BENDS, *_FOCAL_FIELDS["x"], *_FOCAL_FIELDS["y"]}
_FRAME_FIELDS = {"file_path", "transform_matrix", "mask_path", "depth_file_path"}
_FILE_FIELDS = {
    "frames",
    "ply_file_path",
    "train_filenames",
    "val_filenames",
    "test_filenames",
    "depth_unit_scale_factor",
}
#: Fields that change what a pose or a ray means, in ways that are not read: true ones are refused.
_REFUSED = ("from_mitsuba", "ftheta_p0", "latlong", "equirectangular", "orthographic")


@dataclass(frozen=True, eq=False)
class _Frame:
    """One frame. settings: its own fields over the file's."""

    source: Path
    number: int
    content: Mapping[str, Any]
    frame: Mapping[str, Any]

    @property
    def label(self) -> str:
        """How messages name it."""
        name = self.frame.get("file_path")
        return plain_path(name) if isinstance(name, str) and name else f"frame {self.number}"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**self.content, **self.frame}


def read_transforms(folder: Path) -> PhotoSet:
    """`transforms.json`, or `transforms_train.json` with `transforms_test.json` (whose views then test).

    Raises:
        UserError: A file is no transforms file, its lists of names contradict one another, or fewer than two frames can be
        used.
    """
    files = transforms_files(folder)
    index = {place: PhotoIndex.of(place) for place in (folder, *photo_folders(folder))}
    frames = [frame for path in files for frame in _frames(path)]
    paths: dict[_Frame, Path | str] = {frame: _photo(frame, folder, index) for frame in frames}
    frames.sort(key=lambda frame: (files.index(frame.source), str(paths[frame])))
    found = [path for path in paths.values() if isinstance(path, Path)]
    names = dict(zip(dict.fromkeys(found), view_names(list(dict.fromkeys(found)), folder), strict=True))
    split = _NamedSplit.of(files, frames, paths)

    def make(frame: _Frame) -> Photo:
        path = paths[frame]
        if isinstance(path, str):
            raise UserError(path)
        if found.count(path) > 1:
            raise UserError(f"{frame.source.name}: {found.count(path)} frames have this photo")
        split.check(path)
        if "transform_matrix" not in frame.frame:
            raise UserError(f"{frame.source.name}: the frame lacks transform_matrix")
        try:
            pose = from_camera_to_world(frame.frame["transform_matrix"])
        except UserError as error:
            raise UserError(f"{frame.source.name}: its transform_matrix {error}") from error
        # OpenGL's camera has y up and z backwards.
        pose[1:3] *= -1
        try:
            lens = frame_lens(frame.frame, frame.content, path)
        except UserError as error:
            raise type(error)(f"{frame.source.name}: {error}") from error
        extras, read_extras = _extras(frame, folder)
        has_depth = "depth_file_path" in frame.frame
        return Photo(names[path], path, lens, pose, extras, read_extras, has_depth)

    photos, left_out = usable(((_shown_name(frame, frames), frame) for frame in frames), make, not _sized(frames))
    clouds = {cloud for frame in frames if isinstance(cloud := frame.content.get("ply_file_path"), str) and cloud}
    cloud = path_inside(folder, next(iter(clouds))) if len(clouds) == 1 else None
    if clouds and (cloud is None or not cloud.is_file()):
        left_out[f"ply_file_path {', '.join(sorted(clouds))}"] = "there is no such file in the scene's folder"
        cloud = None

    def read_sparse(views: Sequence[str]) -> SparsePoints:
        assert cloud is not None
        points = read_cloud(cloud)
        return SparsePoints(points.positions, points.colours)

    return PhotoSet(
        folder,
        " and ".join(path.name for path in files),
        tuple(photos),
        (*files, *([cloud] if cloud else [])),
        read_sparse if cloud else None,
        held_out=split.held_out(names, photos),
        left_out=left_out,
        unused=(*_unused(frames), *split.unused, *_other_files(folder, files)),
    )


def transforms_files(folder: Path) -> list[Path]:
    """The transforms files of a scene that are read."""
    whole, *halves = (folder / f"transforms{part}.json" for part in ("", "_train", "_test"))
    return [whole] if whole.is_file() else [path for path in halves if path.is_file()]


def _other_files(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(path.name for path in sorted(folder.glob("transforms*.json")) if path not in files)


def _frames(path: Path) -> list[_Frame]:
    content = read_json(path, "transforms file")
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{path}: not a transforms file: it must be an object with a list of objects, `frames`")
    shared = {name: value for name, value in content.items() if name != "frames"}
    for name in _REFUSED:
        if any(fields.get(name) not in (None, False) for fields in (shared, *frames)):
            raise UserError(f"{path}: {name} is not supported; export pinhole photos with OpenGL poses")
    return [_Frame(path, number, shared, frame) for number, frame in enumerate(frames)]


def _sized(frames: Sequence[_Frame]) -> bool:
    """Whether the calibrations say for which size of photo they are."""
    return all({"w", "h"} & set(frame.settings) for frame in frames)


def _shown_name(frame: _Frame, frames: Sequence[_Frame]) -> str:
    same = [other for other in frames if other.label == frame.label]
    return frame.label if len(same) == 1 else f"{frame.label} (frame {frame.number} of {frame.source.name})"


def _photo(frame: _Frame, folder: Path, index: Mapping[Path, PhotoIndex]) -> Path | str:
    """The photo's file, or why there is none: as named, with an extension added, or in one of the folders of smaller
    copies."""
    name = frame.frame.get("file_path")
    if not isinstance(name, str) or not name:
        return f"{frame.source.name}: the frame lacks file_path"
    named = path_inside(folder, name)
    if named is not None:
        for path in (named, *(named.with_name(named.name + extension) for extension in sorted(EXTENSIONS))):
            if path.is_file() and path.suffix.lower() in EXTENSIONS:
                return path
    reason = ""
    for place, photos in index.items():
        found = photos.paired([name])[name]
        if isinstance(found, Path):
            return found
        reason = reason or (found if place == folder else "")
    return f"{frame.source.name}: the photo of the frame does not exist ({reason})"


# -------------------------------------------------------------------------------------------------------------------- lens


def frame_lens(frame: Mapping[str, Any], shared: Mapping[str, Any], photo: Path) -> Lens:
    """The lens of a frame: its own fields before the file's; along an axis fl, then fov (degrees), then camera_angle
    (radians); a focal length that is given along one axis only holds for both.

    Raises:
        UserError: A field is no number, contradicts another, or the camera model is not supported.
    """
    fields = {**shared, **frame}
    width, height = _size(fields, photo)
    focal = _focal_lengths(frame, width, height) or _focal_lengths(shared, width, height)
    if not focal:
        raise UserError(f"neither fl_x nor camera_angle_x gives the focal length of {photo.name}")
    fx, fy = focal.get("x", focal.get("y", 0.0)), focal.get("y", focal.get("x", 0.0))
    if len(set(fields) & {"cx", "cy"}) == 1:
        raise UserError("cx and cy belong together; only one is given")
    cx, cy = number(fields, "cx", width / 2), number(fields, "cy", height / 2)
    model, bends = _camera_model(fields)
    if model == "OPENCV":
        k1, k2, k3, p1, p2 = bends.values()
        return Lens(width, height, fx, fy, cx, cy, k1, k2, k3, p1, p2).checked()
    return colmap_lens(model, width, height, (fx, fy, cx, cy, *bends.values())).checked()


def _size(fields: Mapping[str, Any], photo: Path) -> tuple[int, int]:
    """Width and height that the calibration is for; the photo's own where the file gives none."""
    actual = photo_size(photo)
    given = [name for name in ("w", "h") if name in fields]
    if not given:
        return actual
    size = round(number(fields, "w", actual[0])), round(number(fields, "h", actual[1]))
    if len(given) == 1 and size != actual:
        raise UserError(
            f"w and h belong together; only {given[0]} is given ({fields[given[0]]}), and the photo is "
            f"{actual[0]}x{actual[1]}"
        )
    if min(size) <= 0:
        raise UserError(f"w and h must be positive, not {size[0]} and {size[1]}")
    return size


def _focal_lengths(fields: Mapping[str, Any], width: int, height: int) -> dict[str, float]:
    """The focal lengths that one object's fields give, by axis; those of another object never complete them."""
    found = {"x": _focal(fields, "x", width), "y": _focal(fields, "y", height)}
    return {axis: value for axis, value in found.items() if value is not None}


def _focal(fields: Mapping[str, Any], axis: str, side: int) -> float | None:
    """The focal length in pixels along an axis from one object's fields; None where they do not give it."""
    length, degrees, radians = _FOCAL_FIELDS[axis]
    if length in fields:
        return number(fields, length, 0)
    if degrees in fields:
        angle = number(fields, degrees, 0)
        if not 0 < angle < 180:
            raise UserError(f"{degrees} must be an angle between 0 and 180 degrees, not {angle:g}")
        return side / 2 / float(np.tan(np.radians(angle) / 2))
    if radians in fields:
        angle = number(fields, radians, 0)
        if not 0 < angle < np.pi:
            raise UserError(f"{radians} must be an angle between 0 and pi, in radians, not {angle:g}")
        return side / 2 / float(np.tan(angle / 2))
    return None


def _camera_model(fields: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """The camera model by COLMAP's name, and its coefficients.

    Raises:
        UserError: The model is not supported, or a coefficient that it does not have is not zero.
    """
    model = str(fields.get("camera_model", "OPENCV")).upper()
    if fields.get("is_fisheye"):
        model = "OPENCV_FISHEYE"
    model = {"FISHEYE": "OPENCV_FISHEYE", "PERSPECTIVE": "OPENCV"}.get(model, model)
    if model not in _COEFFICIENTS:
        raise UserError(f"camera_model {model} is not supported; undistort the photos to a pinhole camera first")
    if model not in ("OPENCV_FISHEYE", "FULL_OPENCV"):
        model = "OPENCV"  # the simpler ones are cases of it
    given = {name: number(fields, name, 0) for name in _BENDS}
    foreign = [name for name, value in given.items() if value and name not in _COEFFICIENTS[model]]
    if foreign:
        raise UserError(
            f"{foreign[0]} = {given[foreign[0]]:g} is no coefficient of the camera model {model}; name the model "
            "(camera_model: OPENCV_FISHEYE or FULL_OPENCV), or undistort the photos first"
        )
    return model, {name: given[name] for name in _COEFFICIENTS[model]}


# -------------------------------------------------------------------------------------------------------- masks and depth


def _extras(frame: _Frame, folder: Path) -> tuple[tuple[Path, ...], ReadExtras | None]:
    """The frame's mask and depth map: their files, and how to read them."""
    files: dict[str, Path] = {}
    for name in ("mask_path", "depth_file_path"):
        value = frame.frame.get(name)
        if value is None:
            continue
        path = path_inside(folder, value) if isinstance(value, str) else None
        if path is None or not path.is_file():
            raise UserError(f"{frame.source.name}: its {name} {value} does not exist in the scene's folder")
        files[name] = path
    if not files:
        return (), None
    try:
        scale = number(frame.content, "depth_unit_scale_factor", _DEPTH_SCALE)
    except UserError as error:
        raise UserError(f"{frame.source.name}: {error}") from error
    if scale <= 0:
        raise UserError(f"{frame.source.name}: depth_unit_scale_factor must be positive, not {scale:g}")

    def read(width: int, height: int) -> tuple[Array | None, Array | None]:
        depth = mask = None
        if "depth_file_path" in files:
            stored = read_depth(files["depth_file_path"])
            check_proportions(files["depth_file_path"], stored, width, height)
            stored = nearest(stored, height, width) * scale
            depth = np.where(np.isfinite(stored) & (stored > 0), stored, np.nan).astype(np.float32)
        if "mask_path" in files:
            mask = read_mask(files["mask_path"])
            check_proportions(files["mask_path"], mask, width, height)
            mask = nearest(mask, height, width)
        return depth, mask

    return tuple(files.values()), read


def check_proportions(path: Path, layer: Array, width: int, height: int) -> None:
    """Raises UserError where a mask or depth map cannot lie on a photo of (width, height): other proportions."""
    rows, columns = layer.shape[:2]
    if abs(columns * height / (rows * width) - 1) > 0.02:
        raise UserError(f"{path}: it is {columns}x{rows}, its photo {width}x{height}, of other proportions")


# ------------------------------------------------------------------------------------------------------- split and the rest


@dataclass(frozen=True, eq=False)
class _NamedSplit:
    """What the file says of training and test: photos of each half; None where it does not say.

    chosen: photos that train or test, where the file lists them; the others are left out. unused: names that no frame has.
    """

    test: frozenset[Path] | None
    chosen: frozenset[Path] | None = None
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, files: Sequence[Path], frames: Sequence[_Frame], paths: Mapping[_Frame, Path | str]) -> _NamedSplit:
        """Raises UserError where a photo is to train and to test."""
        if len(files) == 2:
            halves = [
                {path for frame, path in paths.items() if frame.source == file and isinstance(path, Path)} for file in files
            ]
            _check_disjoint(files[1], halves[0] & halves[1])
            return cls(frozenset(halves[1]))
        content = frames[0].content if frames else {}
        by_name: dict[str, Path] = {}
        for frame, path in paths.items():
            if isinstance(path, Path):
                by_name[frame.label] = path
        known = {frame.label for frame in frames}
        listed_names = {part: _names(files[0], content, f"{part}_filenames") for part in ("train", "val", "test")}
        if all(names is None for names in listed_names.values()):
            return cls(None)
        parts = {part: {by_name[name] for name in names or () if name in by_name} for part, names in listed_names.items()}
        strangers = sorted({name for names in listed_names.values() for name in names or () if name not in known})
        unused = (
            (f"{listed(strangers, 3)} (in train_filenames, val_filenames or test_filenames; no frame has it)",)
            if strangers
            else ()
        )
        tested = "test" if listed_names["test"] else "val"
        test = parts[tested]
        _check_disjoint(files[0], parts["train"] & test)
        if listed_names[tested] is None:
            test = set(by_name.values()) - parts["train"]
        train = parts["train"] if listed_names["train"] is not None else set(by_name.values()) - test - parts["val"]
        return cls(frozenset(test), frozenset(train | test), unused)

    def check(self, photo: Path) -> None:
        """Raises UserError for a photo that neither trains nor tests."""
        if self.chosen is not None and photo not in self.chosen:
            raise UserError("is in neither half of the split that the file gives (train_filenames, test_filenames)")

    def held_out(self, names: Mapping[Path, str], photos: Sequence[Photo]) -> tuple[str, ...] | None:
        """The names of the usable photos that test."""
        usable_names = {photo.name for photo in photos}
        return (
            None if self.test is None else tuple(sorted(name for path in self.test if (name := names[path]) in usable_names))
        )


def _check_disjoint(source: Path, both: set[Path]) -> None:
    if both:
        shown = listed(sorted(path.name for path in both))
        raise UserError(f"{source}: {shown} would train and test; a held-out photo must not train")


def _names(source: Path, content: Mapping[str, Any], name: str) -> list[str] | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise UserError(f"{source}: {name} must be a list of photos' names")
    return [plain_path(entry) for entry in value]


def _unused(frames: Sequence[_Frame]) -> tuple[str, ...]:
    """The fields that nothing is made of, and those that another one overrules."""
    used = _LENS_FIELDS | _FRAME_FIELDS | _FILE_FIELDS
    names = dict.fromkeys(name for frame in frames for name in frame.settings if name not in used)
    overruled = dict.fromkeys(name for frame in frames for name in _overruled(frame))
    return (*names, *overruled)


def _overruled(frame: _Frame) -> Iterator[str]:
    """The focal lengths that are given and not used: a frame's own come first, then fl before fov before camera_angle."""
    own, shared = (
        [name for axis in "xy" for name in _FOCAL_FIELDS[axis] if name in of] for of in (frame.frame, frame.content)
    )
    if own:
        yield from (f"{name} (frames have {own[0]})" for name in shared)
    for axis in "xy":
        first, *others = [name for name in _FOCAL_FIELDS[axis] if name in (own or shared)] or [""]
        yield from (f"{name} ({first} is used)" for name in others)


TRANSFORMS = Layout(lambda folder: bool(transforms_files(folder)), read_transforms)
