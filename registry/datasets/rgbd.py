"""`rgbd`: frames of a depth camera, as KinectFusion-style tools (7-Scenes) and the TUM benchmark write them."""

from __future__ import annotations

from pathlib import Path

from bench.registry import datasets
from bench.types import DatasetCard
from registry.datasets.formats.rgbd import RGBD_FRAMES, TUM
from registry.datasets.scene_folders import SceneFolders


@datasets.register("rgbd")
class RGBD(SceneFolders):
    """Folders `<root>/rgbd/<scene>`, or right under the root, with camera-intrinsics.txt and frames with depth and pose, or
    with rgb.txt, depth.txt and groundtruth.txt."""

    key = "rgbd"
    layouts = (RGBD_FRAMES, TUM)
    train_count = 3
    default_pointmap = "ground-truth"
    card = DatasetCard(
        "RGB-D",
        train_views="3",
        folder="rgbd",
        unit="metre",
        note="your own depth-camera frames; where colour is not registered to depth, judge 3D metrics, not PSNR",
    )

    def places(self, root: Path) -> list[Path]:
        return [*super().places(root), root]
