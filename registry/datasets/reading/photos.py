"""Photos on disk, and views brought to one size."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bench.core.scenes import nearest
from bench.machine.pictures.images import EXTENSIONS, photo_size, pictures_in
from bench.machine.text import plain_path
from bench.types import UserError, View
from registry.datasets.reading.lens import resized_photo

#: Photo folders that a scene may hold, beside one another, at falling sizes.
FOLDERS = ("images", "images_2", "images_4", "images_8")
#: A photo folder is large enough from this long side on: the probe prepares its photos at 512 pixels.
ENOUGH = 512
#: A side that keeps less than this share of its length when the views are cut to one size is made smaller first.
_LEAST_SHARE = 0.8


def photos_under(folder: Path) -> list[Path]:
    """The photos of a folder and of its subfolders, sorted by path; hidden files and folders are never among them."""
    found = pictures_in(folder)
    if folder.is_dir():
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink() and not is_hidden(inner):
                found += photos_under(inner)
    return found


def is_hidden(path: Path) -> bool:
    """What tools leave beside data: dot files, macOS's archives' shadow folder."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def photo_folders(scene: Path) -> list[Path]:
    """Of images, images_2, images_4, images_8 those that hold photos, best first: the one with the smallest photos whose
    long side reaches 512 pixels, then the larger ones, then the smaller ones from the largest down."""
    found = {folder: photos for name in FOLDERS if (photos := photos_under(folder := scene / name))}
    if len(found) < 2:
        return list(found)
    sizes = {folder: max(_first_size(photos)) for folder, photos in found.items()}
    return sorted(
        found, key=lambda folder: (sizes[folder] < ENOUGH, sizes[folder] if sizes[folder] >= ENOUGH else -sizes[folder])
    )


def _first_size(photos: Sequence[Path]) -> tuple[int, int]:
    """The size of the first readable photo; (0, 0) where none is."""
    for path in photos:
        try:
            return photo_size(path)
        except UserError:
            continue
    return 0, 0


def view_names(paths: Sequence[Path], root: Path) -> list[str]:
    """One name for each photo: its stem where those differ, else its path under `root`, joined by hyphens, without extension
    where those differ."""
    for name in (
        lambda path: path.stem,
        lambda path: "-".join(path.relative_to(root).with_suffix("").parts),
        lambda path: "-".join(path.relative_to(root).parts),
    ):
        names = [unicodedata.normalize("NFC", name(path)) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise UserError(
        f"{root}: several photos have the same name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}"
    )


@dataclass(frozen=True, eq=False)
class PhotoIndex:
    """The photos of one folder, found by the names that a calibration gives them."""

    folder: Path
    by_path: dict[str, list[Path]]
    by_stem: dict[str, list[Path]]

    @classmethod
    def of(cls, folder: Path) -> PhotoIndex:
        """The photos under a folder."""
        by_path: dict[str, list[Path]] = {}
        by_stem: dict[str, list[Path]] = {}
        for path in photos_under(folder):
            name = plain_path(path.relative_to(folder).as_posix())
            by_path.setdefault(name, []).append(path)
            by_stem.setdefault(_without_extension(name), []).append(path)
        return cls(folder, by_path, by_stem)

    def paired(self, names: Iterable[str]) -> dict[str, Path | str]:
        """The photo of each name, or the reason why it has none.

        A name is a path under the folder: with its extension, without it (smaller copies are often of another format), or
        with leading folders that are not there (paths of another machine). Never by rank, never by a number in the name. A
        photo that several names fit belongs to the one that gives its whole path, else to none.
        """
        found = {name: self._find(plain_path(name)) for name in names}
        exact = {path: name for name, (path, is_exact) in found.items() if isinstance(path, Path) and is_exact}
        claims: dict[Path, int] = {}
        for path, _ in found.values():
            if isinstance(path, Path):
                claims[path] = claims.get(path, 0) + 1
        result: dict[str, Path | str] = {}
        for name, (path, _) in found.items():
            if isinstance(path, Path) and claims[path] > 1 and exact.get(path) != name:
                result[name] = f"several images would be the photo {path.relative_to(self.folder)}"
            else:
                result[name] = path
        return result

    def _find(self, name: str) -> tuple[Path | str, bool]:
        parts = name.split("/")
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            for index, key in ((self.by_path, rest), (self.by_stem, _without_extension(rest))):
                paths = index.get(key, [])
                if len(paths) > 1:
                    return f"several photos fit its name: {', '.join(path.name for path in paths)}", False
                if paths:
                    return paths[0], start == 0 and index is self.by_path
        return f"there is no photo {name} in {self.folder.name}", False


def _without_extension(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else name


def one_size(views: Sequence[View]) -> tuple[View, ...]:
    """The views cut about their centres to the least width and the least height among them; cameras follow.

    A view that would lose more than a fifth of a side is first made smaller until one side fits. (Views read from disk have
    no ground-truth normals.)
    """
    width, height = (min(view.image.shape[axis] for view in views) for axis in (1, 0))
    return tuple(_cut(view, width, height) for view in views)


def _cut(view: View, width: int, height: int) -> View:
    rows, columns = view.image.shape[:2]
    if (rows, columns) == (height, width):
        return view
    if min(width / columns, height / rows) < _LEAST_SHARE:
        scale = max(width / columns, height / rows)
        view = _resized(view, max(width, round(columns * scale)), max(height, round(rows * scale)))
        rows, columns = view.image.shape[:2]
    left, top = (columns - width) // 2, (rows - height) // 2
    window = slice(top, top + height), slice(left, left + width)
    return replace(
        view,
        image=view.image[window],
        camera=view.camera and view.camera.cropped(left, top, width, height),
        depth=None if view.depth is None else view.depth[window],
        mask=None if view.mask is None else view.mask[window],
    )


def _resized(view: View, width: int, height: int) -> View:
    return replace(
        view,
        image=resized_photo(view.image, width, height),
        camera=view.camera and view.camera.resized(width, height),
        depth=None if view.depth is None else nearest(view.depth, height, width),
        mask=None if view.mask is None else nearest(view.mask, height, width),
    )
