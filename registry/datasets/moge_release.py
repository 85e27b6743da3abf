"""MoGe's evaluation release: ten data sets of single photos with depth, as its authors prepared them (arXiv:2410.19115)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.geometry.io.release import (
    DEPTH,
    IMAGE,
    INDEX,
    META,
    SEGMENTATION,
    read_depth,
    read_image,
    read_index,
    read_intrinsics,
    read_segmentation,
)
from bench.geometry.warp import warp_view
from bench.machine.text import path_inside
from bench.registry import datasets
from bench.types import Dataset, DatasetCard, MonocularSample, Track, Unavailable, UserError

URL = "https://huggingface.co/datasets/Ruicheng/monocular-geometry-evaluation"
NO_SEGMENT = {"undefined", "unannotated", "background", "sky"}
LEAST_AREA, MOST_SEGMENTS = 1000, 100  #: pixels of the view; the largest segments are kept
READER_VERSION = "1"


def _card(name: str, folder: str, scene_type: str, metric: bool = True) -> DatasetCard:
    terms = "see the data set's own terms"
    return DatasetCard(
        name, scene_type=scene_type, license=terms, url=URL, folder=folder, unit="metre" if metric else "scene"
    )


class MoGeRelease(Dataset):
    """A folder in the release's format. size: width and height that the evaluation sees; None = the photo's own.

    metric: depth is in metres. segments: the local point block is measured. sharp: the boundary block is.
    """

    tracks = ("geometry",)
    size: ClassVar[tuple[int, int] | None]
    metric: ClassVar[bool] = True
    segments: ClassVar[bool] = False
    sharp: ClassVar[bool] = False

    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        return read_index(self._folder(root))

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        folder = self._sample_folder(root, name)
        image, depth = read_image(folder / IMAGE), read_depth(folder / DEPTH)
        intrinsics = read_intrinsics(folder / META)
        segmentation, labels = read_segmentation(folder / SEGMENTATION) if self.segments else (None, {})
        for file, values in ((DEPTH, depth), (SEGMENTATION, segmentation)):
            if values is not None and values.shape != image.shape[:2]:
                raise UserError(f"{folder / file}: {values.shape} pixels (H, W), but {folder / IMAGE} has {image.shape[:2]}")
        width, height = self.size or (image.shape[1], image.shape[0])
        try:
            view = warp_view(image, depth, intrinsics, segmentation, width, height)
        except UserError as error:
            raise UserError(f"{folder / META}: {error}") from error
        if not np.isfinite(view.depth).any():
            raise UserError(f"{folder / DEPTH}: no pixel of the evaluated view has a known depth")
        sample = MonocularSample(
            _name_of(type(self)),
            name,
            view.image,
            view.depth,
            view.intrinsics,
            metric=self.metric,
            sharp_boundaries=self.sharp,
        )
        return sample if view.segmentation is None else replace(sample, **_segments(view.segmentation, labels))

    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        folder = self._sample_folder(root, name)
        sha = hashlib.sha256(repr((READER_VERSION, self.size, self.metric, self.segments, self.sharp)).encode())
        for file in (IMAGE, DEPTH, META, *((SEGMENTATION,) if self.segments else ())):
            try:
                sha.update((folder / file).read_bytes())
            except OSError as error:
                raise UserError(f"{folder / file}: cannot be read ({error.strerror})") from error
        return sha.hexdigest()

    def _folder(self, root: Path | None) -> Path:
        folder = None if root is None else root / self.card.folder
        if folder is None or not (folder / INDEX).is_file():
            where = f"{folder}" if folder is not None else "no data root"
            source = f"unpack it from {self.card.url}" if self.card.url else "write it with `bench data convert`"
            raise Unavailable(
                f"{self.card.name}: not found ({where}); {source}, and name the folder above it with --data-root"
            )
        return folder

    def _sample_folder(self, root: Path | None, name: str) -> Path:
        above = self._folder(root)
        folder = path_inside(above, name)
        if folder is None or not folder.is_dir():
            raise UserError(f"{self.card.name}: there is no sample folder {name} in {above}")
        return folder


def _name_of(cls: type[Dataset]) -> str:
    """The name that a data set is registered under."""
    return next(name for name in datasets if datasets[name] is cls)


def _segments(segmentation: np.ndarray, labels: dict[int, str]) -> dict[str, Any]:
    """The segments that are measured: things, not background, large enough in the view, the largest first."""
    values, counts = np.unique(segmentation, return_counts=True)
    area = dict(zip(values.tolist(), counts.tolist(), strict=True))
    things = [label for label, name in labels.items() if name not in NO_SEGMENT and area.get(label, 0) >= LEAST_AREA]
    kept = sorted(things, key=lambda label: -area[label])[:MOST_SEGMENTS]
    return {"segmentation": segmentation if kept else None, "labels": {label: labels[label] for label in kept}}


@datasets.register("nyuv2")
class NYUv2(MoGeRelease):
    """NYU Depth v2: Kinect, indoors."""

    card = _card("NYUv2", "NYUv2", "Indoor")
    size = (640, 480)


@datasets.register("kitti")
class KITTI(MoGeRelease):
    """KITTI: lidar, driving."""

    card = _card("KITTI", "KITTI", "Driving")
    size = (750, 375)


@datasets.register("eth3d")
class ETH3D(MoGeRelease):
    """ETH3D: laser scans, indoors and outdoors."""

    card = _card("ETH3D", "ETH3D", "Indoor / Outdoor")
    size = (2048, 1365)
    segments = True


@datasets.register("ibims1")
class IBims1(MoGeRelease):
    """iBims-1: laser scans of rooms, sharp boundaries."""

    card = _card("iBims-1", "iBims-1", "Indoor")
    size = (640, 480)
    segments = True
    sharp = True


@datasets.register("gso")
class GSO(MoGeRelease):
    """Google Scanned Objects, rendered; depth up to scale."""

    card = _card("GSO", "GSO", "Object", metric=False)
    size = (512, 512)
    metric = False


@datasets.register("sintel")
class Sintel(MoGeRelease):
    """MPI Sintel: an animated film; depth up to scale."""

    card = _card("Sintel", "Sintel", "Synthetic", metric=False)
    size = (872, 436)
    metric = False
    segments = True
    sharp = True


@datasets.register("ddad")
class DDAD(MoGeRelease):
    """DDAD: long-range lidar, driving."""

    card = _card("DDAD", "DDAD", "Driving")
    size = (1400, 700)
    segments = True


@datasets.register("diode")
class DIODE(MoGeRelease):
    """DIODE: laser scans, indoors and outdoors."""

    card = _card("DIODE", "DIODE", "Indoor / Outdoor")
    size = (1024, 768)
    segments = True


@datasets.register("spring")
class Spring(MoGeRelease):
    """Spring: an animated film; depth up to scale."""

    card = _card("Spring", "Spring", "Synthetic", metric=False)
    size = (1920, 1080)
    metric = False
    sharp = True


@datasets.register("hammer")
class HAMMER(MoGeRelease):
    """HAMMER: objects on a table, several depth sensors."""

    card = _card("HAMMER", "HAMMER", "Indoor")
    size = (1664, 832)
    sharp = True


@datasets.register("mono-folders")
class MonoFolders(MoGeRelease):
    """Photos with depth of your own, written by `bench data convert`; metres, at the photos' own size.

    Folders of other names than this one's are data sets of their own, named after the folder.
    """

    card = DatasetCard("Own photos", folder="mono_folders", unit="metre", note="written by `bench data convert`")
    size = None

    @classmethod
    def found_under(cls, root: Path | None) -> Mapping[str, type[Dataset]]:
        if root is None or not root.is_dir() or cls is not MonoFolders:
            return {}
        known = {datasets[name].card.folder.casefold() for name in datasets}
        found: dict[str, type[Dataset]] = {}
        for folder in sorted(path for path in root.iterdir() if not path.name.startswith(".")):
            name = re.sub(r"[^a-z0-9.]+", "-", folder.name.lower()).strip("-.")
            if name and name not in found and folder.name.casefold() not in known and (folder / INDEX).is_file():
                found[name] = _own(folder.name)
        return found


def _own(folder: str) -> type[Dataset]:
    """The class of a data set in a folder of its own."""
    card = replace(MonoFolders.card, name=folder, folder=folder)
    return type("OwnPhotos", (MonoFolders,), {"card": card, "__doc__": MonoFolders.__doc__, "__module__": __name__})
