"""DUSt3R's and MASt3R's networks through their authors' packages: where they stand there, and pairs of photos for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from bench.types import Array, Card
from registry.support.images import HALF, normalised, to_tensor
from registry.support.packages import attribute_of, required

_LICENSE = "CC-BY-NC-SA-4.0"
_REMEDY = (
    "clone {} with its submodules, install its requirements and put it on PYTHONPATH "
    "(licence: CC BY-NC-SA 4.0, non-commercial)"
)


@dataclass(frozen=True)
class Release:
    """A network as its authors published it.

    Attributes:
        card: What is known of it.
        module: Where its class stands in their package.
        network: The class's name.
        needs: That package, with how to get it.
    """

    card: Card
    module: str
    network: str
    needs: Mapping[str, str]

    def architecture(self) -> Any:
        """The class of the network. Raises Unavailable where the package, or this one of its name, is not here."""
        return attribute_of(self.module, self.network, self.card.name, self._remedy)

    def part(self, name: str) -> Any:
        """A module of DUSt3R's package. MASt3R's puts its own copy on the path when it is imported, so that comes first."""
        self.architecture()
        return required(f"dust3r.{name}", self.card.name, self._remedy)

    @property
    def _remedy(self) -> str:
        return self.needs[self.module.partition(".")[0]]


DUST3R = Release(
    Card(name="DUSt3R", arch="ViT-L/16", stride=16, supervision="Point Regression", domain="3D", data=("DUSt3R-Mix",),
         license=_LICENSE, weights="hf:naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt", paper="arXiv:2312.14132"),
    "dust3r.model",
    "AsymmetricCroCo3DStereo",
    MappingProxyType({"dust3r": _REMEDY.format("github.com/naver/dust3r")}),
)  # fmt: skip
MAST3R = Release(
    Card(name="MASt3R", arch="ViT-L/16", stride=16, supervision="Point Regression", domain="3D", data=("MASt3R-Mix",),
         license=_LICENSE, weights="hf:naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric", paper="arXiv:2406.09756"),
    "mast3r.model",
    "AsymmetricMASt3R",
    MappingProxyType({"mast3r": _REMEDY.format("github.com/naver/mast3r")}),
)  # fmt: skip


def views(images: Sequence[Array]) -> list[dict[str, Any]]:
    """Photos (H, W, 3) uint8 in the form in which the package's pairs hold them."""
    return [
        {
            "img": normalised(to_tensor(image, torch.device("cpu")), HALF),
            "true_shape": np.array([image.shape[:2]], np.int32),
            "idx": index,
            "instance": str(index),
        }
        for index, image in enumerate(images)
    ]
