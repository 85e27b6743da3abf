"""`photos`: folders of photos of your own, without cameras."""

from __future__ import annotations

from pathlib import Path

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.layouts import COLMAP, LLFF, MVSNET, PHOTOS, TRANSFORMS, Layout
from registry.datasets.formats.photo_set import Photo, PhotoSet
from registry.datasets.formats.photos import photos_in
from registry.datasets.scene_folders import SceneFolders

#: What holds cameras as well is a scene of another data set, where they are read.
_WITH_CAMERAS = (MVSNET, COLMAP, LLFF, TRANSFORMS)


def _lacks_cameras(folder: Path) -> bool:
    return not any(layout.recognises(folder) for layout in _WITH_CAMERAS)


def _read(folder: Path) -> PhotoSet:
    return PhotoSet(folder, tuple(Photo(path.stem, path) for path in photos_in(folder)))


@datasets.register("photos")
class Photos(SceneFolders):
    """Folders of photos `<root>/photos/<scene>`, or right under the root; the photos lie in the folder, or in its `images`.

    The cameras are estimated by the initialiser. Which photos train and which test follows from their order by name: the
    training photos are spread over it. `bench data add photos` copies a folder there.
    """

    key = "photos"
    layouts = (
        Layout(lambda folder: bool(photos_in(folder)) and _lacks_cameras(folder), _read),
        Layout(lambda folder: PHOTOS.recognises(folder) and _lacks_cameras(folder), PHOTOS.read),
    )
    train_count = 4
    card = DatasetCard(
        "Photos", train_views="4", folder="photos", note="your own photos: one folder a scene; see `bench data add photos`"
    )

    def places(self, root: Path) -> list[Path]:
        return [*super().places(root), root]
