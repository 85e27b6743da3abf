"""`photos`: folders of photos of your own, without cameras."""

from __future__ import annotations

from pathlib import Path

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.colmap import COLMAP
from registry.datasets.formats.idr import IDR
from registry.datasets.formats.layout import Layout
from registry.datasets.formats.llff import LLFF
from registry.datasets.formats.mvsnet import MVSNET
from registry.datasets.formats.plain import FLAT, PHOTOS
from registry.datasets.formats.rgbd import RGBD_FRAMES, TUM
from registry.datasets.formats.strecha import STRECHA
from registry.datasets.formats.transforms import TRANSFORMS
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
    training photos are spread over it. `bench data add photos` copies a folder there.
    """

    key = "photos"
    layouts = (_without_cameras(FLAT), _without_cameras(PHOTOS))
    train_count = 4
    card = DatasetCard(
        "Photos", train_views="4", folder="photos", note="your own photos: one folder a scene; see `bench data add photos`"
    )

    def places(self, root: Path) -> list[Path]:
        return [*super().places(root), root]
