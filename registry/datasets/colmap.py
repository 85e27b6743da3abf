"""`colmap`: scenes of your own that COLMAP reconstructed."""

from __future__ import annotations

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.colmap import COLMAP
from registry.datasets.formats.llff import LLFF
from registry.datasets.scene_folders import SceneFolders


@datasets.register("colmap")
class Colmap(SceneFolders):
    """Every folder `<root>/colmap/<scene>` with sparse models (dense/0/sparse, sparse/0, sparse, …) and photos."""

    key = "colmap"
    layouts = (COLMAP, LLFF)
    train_count = 4
    card = DatasetCard("COLMAP", train_views="4", folder="colmap", note="your own scenes: sparse/0 and images")
