"""`nerf`: scenes of your own in the layout of NeRF's transforms.json."""

from __future__ import annotations

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.transforms import TRANSFORMS
from registry.datasets.scene_folders import SceneFolders


@datasets.register("nerf")
class NeRF(SceneFolders):
    """Every folder `<root>/nerf/<scene>` with transforms.json, or transforms_train.json and transforms_test.json."""

    key = "nerf"
    layouts = (TRANSFORMS,)
    train_count = 4
    card = DatasetCard("NeRF", train_views="4", folder="nerf", note="your own scenes: transforms.json and photos")
