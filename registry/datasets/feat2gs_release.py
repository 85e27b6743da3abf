"""The seven data sets of the Feat2GS evaluation (arXiv:2412.09606): its release, and scenes in their original layouts.

The release: `<root>/<Dataset>/<scene>/images/*`, with `<root>/dataset_split.json`; only DTU has cameras, depth and masks.
The root may also hold the release in a folder Feat2GS, and a data set's folder may be in lower case. A scene folder in the
layout of IDR and NeuS (`cameras_sphere.npz`), LLFF (`poses_bounds.npy`), COLMAP, NeRF (`transforms.json`) or Strecha
(`.camera`) is read as such.
"""

from __future__ import annotations

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.colmap import COLMAP
from registry.datasets.formats.idr import IDR
from registry.datasets.formats.llff import LLFF
from registry.datasets.formats.mvsnet import MVSNET
from registry.datasets.formats.plain import PHOTOS
from registry.datasets.formats.strecha import STRECHA
from registry.datasets.formats.transforms import TRANSFORMS
from registry.datasets.scene_folders import SceneFolders

RELEASE_URL = "https://github.com/fanegg/Feat2GS"


class ReleaseDataset(SceneFolders):
    """A data set of the release."""

    layouts = (MVSNET, IDR, COLMAP, LLFF, TRANSFORMS, STRECHA, PHOTOS)


@datasets.register("llff")
class LLFFScenes(ReleaseDataset):
    """Forward-facing scenes; Mildenhall et al., "Local Light Field Fusion", 2019."""

    key = "llff"
    train_count = 2
    card = DatasetCard("LLFF", "Indoor", "Simple", "Small", "2", url=RELEASE_URL, folder="LLFF", license="CC BY 3.0")


@datasets.register("dtu")
class DTU(ReleaseDataset):
    """Objects before a structured-light scanner, ground truth in millimetres; Jensen et al., 2014."""

    key = "dtu"
    default_pointmap = "noisy-ground-truth"
    card = DatasetCard("DTU", "Indoor Object", "Simple", "Small", "3", url=RELEASE_URL, folder="DTU", unit="millimetre")


@datasets.register("dl3dv")
class DL3DV(ReleaseDataset):
    """Ling et al., "DL3DV-10K", 2024."""

    key = "dl3dv"
    train_count = 5
    card = DatasetCard("DL3DV", "Indoor / Outdoor", "Moderate", "Medium", "5-6", url=RELEASE_URL, folder="DL3DV")


@datasets.register("casual")
class Casual(ReleaseDataset):
    """Photos taken in passing, by the authors of Feat2GS."""

    key = "casual"
    train_count = 4
    card = DatasetCard("Casual", "Daily Scenario", "Moderate", "Medium", "4-7", url=RELEASE_URL, folder="Casual")


@datasets.register("mipnerf360")
class MipNeRF360(ReleaseDataset):
    """Barron et al., "Mip-NeRF 360", 2022."""

    key = "mipnerf360"
    train_count = 6
    card = DatasetCard("MipNeRF360", "Unbounded", "Moderate", "360", "6", url=RELEASE_URL, folder="MipNeRF360")


@datasets.register("mvimgnet")
class MVImgNet(ReleaseDataset):
    """Yu et al., "MVImgNet", 2023."""

    key = "mvimgnet"
    train_count = 3
    card = DatasetCard("MVImgNet", "Outdoor Object", "Moderate", "180-360", "2-4", url=RELEASE_URL, folder="MVimgNet")


@datasets.register("tanks")
class TanksAndTemples(ReleaseDataset):
    """Knapitsch et al., "Tanks and Temples", 2017."""

    key = "tanks"
    train_count = 6
    card = DatasetCard("T&T", "Indoor / Outdoor", "High", "Large", "6", url=RELEASE_URL, folder="Tanks")
