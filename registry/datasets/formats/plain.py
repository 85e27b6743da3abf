"""Photos without cameras: a folder `images`, or smaller copies beside it."""

from __future__ import annotations

from pathlib import Path

from bench.machine.pictures.images import pictures_in
from bench.types import UserError
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.photo_set import Photo, PhotoSet, usable
from registry.datasets.reading.photos import FOLDERS, photo_folders, photos_under, view_names


def best_folder(scene: Path) -> Path:
    """The folder of a scene's photos. Raises UserError where there is none."""
    folders = photo_folders(scene)
    if not folders:
        raise UserError(f"{scene}: there are no photos; looked in {', '.join(FOLDERS)}")
    return folders[0]


def read_photos(folder: Path) -> PhotoSet:
    """A folder with `images/` (or images_4, …): photos without cameras. Raises UserError for fewer than two usable ones."""
    place = best_folder(folder)
    return _photo_set(folder, place, photos_under(place))


def read_flat(folder: Path) -> PhotoSet:
    """A folder that holds the photos itself: without cameras. Raises UserError for fewer than two usable ones."""
    return _photo_set(folder, folder, pictures_in(folder))


def _photo_set(folder: Path, place: Path, paths: list[Path]) -> PhotoSet:
    names = view_names(paths, place)
    photos, left_out = usable(((item[1].name, item) for item in zip(names, paths, strict=True)), lambda item: Photo(*item))
    return PhotoSet(folder, "photos without cameras", tuple(photos), left_out=left_out)


FLAT = Layout(lambda folder: bool(pictures_in(folder)), read_flat)
PHOTOS = Layout(lambda folder: bool(photo_folders(folder)), read_photos)
