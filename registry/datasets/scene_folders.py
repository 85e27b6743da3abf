"""The base of the data sets of the probe track that are folders of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.machine.requirements import check_packages
from bench.registry import pointmaps
from bench.types import Dataset, MultiViewScene, Track, Unavailable, UserError
from registry.datasets.reading.layout import Layout
from registry.datasets.reading.photo_set import PhotoSet, digest, load, readable
from registry.datasets.reading.photos import is_hidden
from registry.datasets.reading.splits import Split, read_split_file

SPLIT_FILE = "dataset_split.json"
#: The folder of the Feat2GS release under the data root, where the root is not that folder itself.
RELEASE_FOLDERS = ("", "Feat2GS", "Feat2GS_Dataset", "feat2gs")

#: The initialisers that need nothing but photos, the paper's own first.
FROM_PHOTOS = ("dust3r", "mast3r", "vggt", "colmap")


class SceneFolders(Dataset):
    """A data set whose scenes are folders, under the root or under the root's Feat2GS folder.

    A derived class gives `card`, `key` (its registered name), `layouts` (tried in order), and how many views train and test
    where neither the scene nor a split file says so.
    """

    key: ClassVar[str]
    layouts: ClassVar[tuple[Layout, ...]]
    train_count: ClassVar[int] = 3
    test_count: ClassVar[int] = 3

    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        found = sorted({name for name, _ in self._folders(root)})
        if not found:
            raise Unavailable(self._absent(root))
        return found

    def pointmap_of(self, root: Path | None, name: str) -> str:
        """The data set's own where the scene has what that needs; else the first of FROM_PHOTOS whose package is installed.

        Raises Unavailable, naming the ways out, where none is.
        """
        folder = self._folder(root, name)
        photo_set = self._layout(folder).read(folder)
        has_points = photo_set.read_sparse is not None and photo_set.photos[0].lens is not None
        if self.default_pointmap == "sparse":
            return "sparse" if has_points else pointmap_from_photos()
        if any(photo.has_depth for photo in photo_set.photos):
            return self.default_pointmap
        return "sparse" if has_points else pointmap_from_photos()

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        photo_set, split = self._prepare(root, name)
        return load(photo_set, split, self.key, name, self.card.unit)

    def scene_note(self, root: Path | None, name: str) -> str:
        return self._prepare(root, name)[0].source.note

    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        return digest(*self._prepare(root, name))

    def places(self, root: Path) -> list[Path]:
        """The folders that may hold this data set's scenes, best first."""
        names = dict.fromkeys((self.card.folder, self.card.folder.lower(), self.key))
        return [root / release / name for release in RELEASE_FOLDERS for name in names]

    def _folders(self, root: Path | None) -> list[tuple[str, Path]]:
        """Name and folder of every scene, those of the better places first."""
        if root is None:
            return []
        return [
            (folder.name, folder)
            for place in self.places(root)
            if place.is_dir()
            for folder in sorted(place.iterdir())
            if folder.is_dir() and not is_hidden(folder) and any(layout.recognises(folder) for layout in self.layouts)
        ]

    def _folder(self, root: Path | None, name: str) -> Path:
        folders = self._folders(root)
        if not folders:
            raise Unavailable(self._absent(root))
        folder = next((folder for scene, folder in folders if scene == name), None)
        if folder is None:
            raise UserError(
                f"{self.key}: there is no scene {name!r}; there are {', '.join(sorted({scene for scene, _ in folders}))}"
            )
        return folder

    def _layout(self, folder: Path) -> Layout:
        return next(layout for layout in self.layouts if layout.recognises(folder))

    def _prepare(self, root: Path | None, name: str) -> tuple[PhotoSet, Split]:
        folder = self._folder(root, name)
        return readable(self._layout(folder).read(folder), lambda photo_set: self._split(photo_set, name))

    def _split(self, photo_set: PhotoSet, name: str) -> Split:
        """The split of the split file beside the data set's folder, else one spread over the scene.

        Raises UserError where the split file has other scenes of this data set, but not this one, and the scene has no
        cameras (which marks scenes of the release).
        """
        place = photo_set.folder.parent
        for path in (place / SPLIT_FILE, place.parent / SPLIT_FILE):
            if not path.is_file():
                continue
            scenes = read_split_file(path).get(self.card.folder.lower(), {})
            if name in scenes:
                return photo_set.checked(scenes[name], str(path))
            if scenes and photo_set.photos[0].lens is None:
                raise UserError(f"{path}: no split for the scene {name!r} of {self.card.folder}; it has {', '.join(scenes)}")
        return photo_set.default_split(self.train_count, self.test_count)

    def _absent(self, root: Path | None) -> str:
        looked = "no data root was given" if root is None else "looked in " + ", ".join(map(str, self.places(root)))
        size = f" (about {self.card.size_gb:g} GB)" if self.card.size_gb else ""
        offer = f"download it from {self.card.url}{size}" if self.card.url else "put scenes of your own there"
        return f"{self.key} is not on disk: {looked}; {offer}, one folder a scene, and pass --data-root"


def pointmap_from_photos() -> str:
    """The first of FROM_PHOTOS whose package is installed, as the paper starts from DUSt3R. Raises Unavailable for none."""
    for name in FROM_PHOTOS:
        try:
            check_packages(name, pointmaps[name])
        except Unavailable:
            continue
        return name
    ways = [f"  {name}: {'; '.join(pointmaps[name].needs.values())}" for name in FROM_PHOTOS]
    raise Unavailable(
        "without 3D points or true depth a point map must be estimated from the photos, by one of\n"
        + "\n".join(ways)
        + "\nnone of which is installed. Install one; or add a COLMAP model with points3D (sparse/0 in the scene's folder), "
        "from which `sparse` starts; or name another initialiser by --pointmap (`bench list pointmaps`)"
    )
