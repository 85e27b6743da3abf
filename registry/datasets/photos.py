"""`photos`: folders of photos of your own, without cameras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from bench.registry import datasets
from bench.types import Dataset, DatasetCard
from registry.datasets.formats.colmap import COLMAP
from registry.datasets.formats.idr import IDR
from registry.datasets.formats.llff import LLFF
from registry.datasets.formats.mvsnet import MVSNET
from registry.datasets.formats.plain import FLAT, PHOTOS
from registry.datasets.formats.rgbd import RGBD_FRAMES, TUM
from registry.datasets.formats.strecha import STRECHA
from registry.datasets.formats.transforms import TRANSFORMS
from registry.datasets.reading.layout import Layout
from registry.datasets.scene_folders import SceneFolders

#: What holds cameras as well is a scene of another data set, where they are read.
_WITH_CAMERAS = (MVSNET, IDR, COLMAP, LLFF, TRANSFORMS, STRECHA, RGBD_FRAMES, TUM)


def _without_cameras(layout: Layout) -> Layout:
    def recognises(folder: Path) -> bool:
        return layout.recognises(folder) and not any(other.recognises(folder) for other in _WITH_CAMERAS)

    return Layout(recognises, layout.read)


@datasets.register("photos")
class Photos(SceneFolders):
    """Folders of photos `<root>/photos/<scene>`, or right under the root; the photos lie in the folder, or in its `images`.

    The cameras are estimated by the initialiser. Which photos train and which test follows from their order by name: the
    training photos are spread over it. `bench data add photos` copies a folder there. Each scene is also a data set by its
    own name (`only`), where no other has it.
    """

    key = "photos"
    only: ClassVar[str | None] = None
    layouts = (_without_cameras(FLAT), _without_cameras(PHOTOS))
    train_count = 4
    card = DatasetCard(
        "Photos", train_views="4", folder="photos", note="your own photos: one folder a scene; see `bench data add photos`"
    )

    def places(self, root: Path) -> list[Path]:
        return [*super().places(root), root]

    def _folders(self, root: Path | None) -> list[tuple[str, Path]]:
        return [each for each in super()._folders(root) if self.only in (None, each[0])]

    @classmethod
    def found_under(cls, root: Path | None) -> Mapping[str, type[Dataset]]:
        if cls is not Photos or root is None or not root.is_dir():
            return {}
        found: dict[str, type[Dataset]] = {}
        for scene, _ in cls()._folders(root):
            name = re.sub(r"[^a-z0-9.]+", "-", scene.lower()).strip("-.")
            if name and name not in found:
                found[name] = _own(name, scene)
        return found


def _own(name: str, scene: str) -> type[Dataset]:
    """The class of one scene as a data set."""
    card = replace(Photos.card, name=scene)
    return type(
        "OwnPhotos", (Photos,), {"key": name, "only": scene, "card": card, "__doc__": Photos.__doc__, "__module__": __name__}
    )
