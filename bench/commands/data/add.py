"""`bench data add`: putting data of one's own where the suite finds it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from bench.core.errors import UserError
from bench.core.registry import datasets
from bench.core.text import listed
from bench.machine.locations import data_root, user_folder
from bench.machine.pictures.images import pictures_in, read_photo

#: Two photos to train with, from which cameras can be found, and one to test.
LEAST_PHOTOS = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def add_command(source: Path, name: str | None, root: Path | None, console: Console) -> Path:
    """`bench data add photos`: copy a folder of photos to `<data root>/photos/<name>`, and say how it is run.

    The scene's folder appears when it is complete.

    Args:
        source: The folder with the photos; other files and folders in it are not taken.
        name: What the scene is called; by default as the folder.
        root: The data root, where one was named; else BENCH_DATA or the per-user folder, which is made.
        console: Where the next command is printed.

    Returns:
        The scene's folder.

    Raises:
        UserError: There is no such folder, it holds fewer than 3 photos or one that cannot be read, two photos differ in
            their extension alone, the name has other characters than letters, digits, '-', '_' and '.', or a scene of that
            name is there already.
    """
    photos = _checked(source)
    scene = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", source.resolve().name).strip("-.") or "photos"
    if not _NAME.fullmatch(scene):
        raise UserError(f"--name {scene}: use letters, digits, '-', '_' and '.', and begin with a letter or digit")
    folder = _own_root(root) / "photos" / scene
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name with --name, or remove that folder first")
    _copy(photos, folder)
    console.print(f"{len(photos)} photos in {folder}", highlight=False, markup=False, soft_wrap=True)
    where = f" --data-root {root}" if root is not None else ""
    console.print(
        f"next: bench run --datasets {_chosen(scene, folder.parents[1])} --pointmap colmap{where}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return folder


def _chosen(scene: str, root: Path) -> str:
    """How the scene is named to `bench run`: by its own name, or as one of `photos` where another data set has that."""
    for name, own in datasets["photos"].found_under(root).items():
        if name not in datasets and list(own().scenes(root, "probe")) == [scene]:
            return name
    return f"photos --scenes {scene}"


def _checked(source: Path) -> list[Path]:
    """The photos of a folder, each of them decoded once."""
    if not source.is_dir():
        raise UserError(f"there is no folder {source}")
    photos = pictures_in(source)
    if len(photos) < LEAST_PHOTOS:
        raise UserError(f"{source}: {len(photos)} photos; at least {LEAST_PHOTOS} are needed, two to train and one to test")
    twice = [stem for stem, count in Counter(photo.stem for photo in photos).items() if count > 1]
    if twice:
        raise UserError(f"{source}: several photos are named {listed(twice)}; names must differ without extension")
    for photo in photos:
        read_photo(photo, upright=True)
    return photos


def _own_root(root: Path | None) -> Path:
    """The data root; the per-user one is made where it is missing."""
    found = data_root(root)
    if found == user_folder("data"):
        found.mkdir(parents=True, exist_ok=True)
    return found


def _copy(photos: list[Path], folder: Path) -> None:
    """Copy files into a new folder that appears when it is complete."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder.parent) as name:
            whole = Path(name) / folder.name
            whole.mkdir()
            for photo in photos:
                shutil.copyfile(photo, whole / photo.name)
            whole.rename(folder)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; choose another folder or free some space"
        ) from error
