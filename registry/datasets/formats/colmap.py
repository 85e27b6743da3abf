"""COLMAP: a sparse model (binary or text) and its photos, in the places where tools put them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.text import listed
from bench.types import SparsePoints, UserError
from registry.datasets.formats.colmap_model import StoredImage, model_file, read_cameras, read_images, read_points
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.photo_set import Photo, PhotoSet, usable
from registry.datasets.reading.photos import FOLDERS, PhotoIndex, is_hidden, photo_folders, view_names
from registry.datasets.reading.points import Points, read_cloud

#: Where COLMAP models lie in a scene's folder, and the folder beside whose photos each belongs; undistorted ones first. A
#: place with a star stands for every folder there.
_MODEL_PLACES = (
    ("dense/*/sparse", "dense/*"),
    ("dense/sparse", "dense"),
    ("sparse/*", "."),
    ("sparse", "."),
    ("colmap/sparse/*", "."),
    ("colmap/sparse", "."),
    ("dslr_calibration_undistorted", "."),
    ("dslr_calibration_jpg", "."),
    (".", "."),
)
#: Files of a model that say nothing more: rigs and frames (COLMAP 3.12 and later) repeat the poses that images.bin holds.
_UNUSED_FILES = ("rigs", "frames", "project")


@dataclass(frozen=True, eq=False)
class Model:
    """A sparse model on disk. home: the folder beside whose photos it belongs."""

    folder: Path
    home: Path
    cameras_file: Path
    images_file: Path | None


def models(folder: Path) -> list[Model]:
    """The sparse models of a scene's folder, best places first."""
    found: dict[Path, Model] = {}
    for place, home in _MODEL_PLACES:
        above, star, below = place.partition("*")
        inner = sorted(path for path in (folder / above).glob("*") if not is_hidden(path)) if star else [folder / above]
        for path in inner:
            model = path / below.strip("/") if star else path
            cameras = model_file(model, "cameras")
            if cameras is not None and model not in found:
                found[model] = Model(
                    model, path if home.endswith("*") else folder / home, cameras, model_file(model, "images")
                )
    return list(found.values())


def points_of(model: Model) -> tuple[Path | None, tuple[str, ...]]:
    """The file of a model's points, and words on what beside it is not used."""
    points, cloud = model_file(model.folder, "points3D"), model.folder / "points3D.ply"
    if points is None:
        return (cloud if cloud.is_file() else None), ()
    return points, (f"{cloud.name} (the points are those of {points.name})",) if cloud.is_file() else ()


def read_model_points(path: Path) -> Points:
    """The points of points3D.bin, .txt or .ply. Raises UserError for a damaged file."""
    return read_cloud(path) if path.suffix == ".ply" else read_points(path)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A model whose images are paired with photos: name -> photo, or why there is none."""

    model: Model
    images: list[StoredImage]
    pairs: dict[str, Path | str]

    @property
    def paired(self) -> int:
        return sum(isinstance(found, Path) for found in self.pairs.values())


def read_colmap(folder: Path) -> PhotoSet:
    """The model with the most images whose photos are there, and its photos.

    Raises:
        UserError: No model can be read, none of its images has a photo, or fewer than two can be used.
    """
    candidates, faults = [], []
    for model in models(folder):
        try:
            candidates.append(_candidate(folder, model))
        except UserError as error:
            faults.append(error)
    if not candidates:
        raise faults[0]
    best = max(candidates, key=lambda candidate: candidate.paired)  # the first of equals
    if not best.paired:
        raise UserError(_without_photos(folder, best))
    others = tuple(
        f"{other.model.folder.relative_to(folder).as_posix()} ({other.paired} of {len(other.images)} images with a photo)"
        for other in candidates
        if other is not best
    ) + tuple(str(fault) for fault in faults)
    return _photo_set(folder, best, others)


def _candidate(folder: Path, model: Model) -> _Candidate:
    if model.images_file is None:
        raise UserError(f"{model.folder}: images.bin or images.txt is missing, which gives the poses")
    images = read_images(model.images_file)
    names = [image.name for image in images]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UserError(f"{model.images_file}: several images are named {listed(twice)}; export the model again")
    # Beside the model first; ETH3D and others name photos by their path from the scene's own folder.
    places = [*photo_folders(model.home), *photo_folders(folder), model.home]
    best: dict[str, Path | str] = {}
    for place in dict.fromkeys(places):
        pairs = _paired(place, names, images)
        if not best or _count(pairs) > _count(best):
            best = pairs
        if _count(best) == len(names):
            break
    return _Candidate(model, images, best)


def _count(pairs: dict[str, Path | str]) -> int:
    return sum(isinstance(found, Path) for found in pairs.values())


def _paired(place: Path, names: Sequence[str], images: Sequence[StoredImage]) -> dict[str, Path | str]:
    """Photos by name; or by the numbers that LLFF's script gives to smaller copies: image000.png is the first by name."""
    index = PhotoIndex.of(place)
    pairs = index.paired(names)
    copies = [f"image{number:03d}" for number in range(len(names))]
    if place.name in FOLDERS[1:] and not _count(pairs) and set(copies) == set(index.by_stem):
        return {image.name: index.by_stem[copy][0] for image, copy in zip(images, copies, strict=True)}
    return pairs


def _without_photos(folder: Path, candidate: _Candidate) -> str:
    names = [image.name for image in candidate.images]
    return (
        f"{candidate.model.images_file}: none of its {len(names)} images has a photo under {folder}; it names "
        f"{listed(names, 5)}. Give the photos these names (they are never paired by their order), or export the model again"
    )


def _photo_set(folder: Path, chosen: _Candidate, others: tuple[str, ...]) -> PhotoSet:
    model = chosen.model
    cameras = read_cameras(model.cameras_file)
    paths = [path for image in chosen.images if isinstance(path := chosen.pairs[image.name], Path)]
    root = Path(*_common(paths)) if paths else folder
    names = dict(zip(paths, view_names(paths, root), strict=True))

    def make(image: StoredImage) -> Photo:
        path = chosen.pairs[image.name]
        if isinstance(path, str):
            raise UserError(path)
        if image.camera not in cameras:
            raise UserError(f"names camera {image.camera}, which {model.cameras_file.name} does not hold")
        return Photo(names[path], path, cameras[image.camera].lens, image.world_to_camera)

    photos, left_out = usable(((image.name, image) for image in chosen.images), make)
    numbers = {names[path]: image.number for image in chosen.images if isinstance(path := chosen.pairs[image.name], Path)}
    points_file, unused = points_of(model)
    assert model.images_file is not None

    def read_sparse(views: Sequence[str]) -> SparsePoints:
        assert points_file is not None
        return read_model_points(points_file).seen_by({view: numbers[view] for view in views})

    kind = "binary" if model.images_file.suffix == ".bin" else "text"
    return PhotoSet(
        folder,
        f"COLMAP ({kind}, {model.folder.relative_to(folder).as_posix()})",
        tuple(photos),
        tuple(file for file in (model.cameras_file, model.images_file, points_file) if file),
        read_sparse if points_file else None,
        left_out=left_out,
        unused=(*unused, *_unused_files(model.folder), *others),
    )


def _unused_files(model: Path) -> tuple[str, ...]:
    return tuple(path.name for stem in _UNUSED_FILES for path in sorted(model.glob(f"{stem}.*")))


def _common(paths: Sequence[Path]) -> tuple[str, ...]:
    """The parts of the folder that all photos lie under."""
    parts = [path.parent.parts for path in paths]
    common: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return tuple(common)


COLMAP = Layout(lambda folder: bool(models(folder)) and not _is_llff(folder), read_colmap)


def _is_llff(folder: Path) -> bool:
    """Whether only `poses_bounds.npy` gives poses: an LLFF scene whose model is there for its points."""
    return (folder / "poses_bounds.npy").is_file() and all(model.images_file is None for model in models(folder))
