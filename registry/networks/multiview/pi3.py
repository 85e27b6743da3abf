"""Pi3 and Pi3X (arXiv:2507.13347) through their authors' package (github.com/yyfz/Pi3).

The network takes photos in [0, 1] and normalises by itself. It gives each view's points in its own camera and poses from the
cameras to a world of no view's own; its confidence is a logit. It gives no intrinsics: the authors fit them to the points
with the principal point in the middle (example_mm.py), and so does this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch

from bench.types import Array, Card
from registry.support.checkpoints import load_strictly, read_state
from registry.support.images import LANCZOS, resampled, to_tensors
from registry.support.multiview import MultiviewNetwork, Views, centred_intrinsics, inverse_poses

NEEDS = MappingProxyType(
    {"pi3": "pip install git+https://github.com/yyfz/Pi3 (code: BSD 3-Clause; weights: CC BY-NC 4.0, non-commercial)"}
)
PATCH = 14
PIXELS = 255_000  #: the most that the authors' loader gives the network
#: Pixels of lower confidence get no Gaussian: what the authors' examples leave out.
LEAST_CONFIDENCE = 0.1


class Pi3(MultiviewNetwork):
    """Pi3: points up to one scale of the scene. network_class: where the package has it."""

    card = Card(name="Pi3", arch="ViT-L/14, 36 blocks", stride=PATCH, supervision="Point Regression", domain="3D",
                data=("Pi3-Mix",), license="CC-BY-NC-4.0", weights="hf:yyfz233/Pi3/model.safetensors",
                paper="arXiv:2507.13347", note="not yet run on real weights", parameters=958.7)  # fmt: skip
    needs = NEEDS
    network_class: ClassVar[tuple[str, str]] = ("pi3.models.pi3", "Pi3")

    def build(self) -> Any:
        """The network, initialised at random. Raises Unavailable where the package is not here."""
        module, name = self.network_class
        return getattr(self.module(module), name)()

    def load(self, device: torch.device) -> None:
        network, path = self.build(), self.weights_file()
        load_strictly(network, read_state(path), path)
        self._network, self._device = network.to(device).eval(), device

    @torch.no_grad()
    def views(self, images: Sequence[Array]) -> Views:
        photos = to_tensors(resampled(images, *network_size(*images[0].shape[:2]), growing=LANCZOS), self._device)
        found = self._network(photos[None])
        points, poses = (found[key][0].float().cpu().numpy() for key in ("local_points", "camera_poses"))
        placed = found["conf"][0, ..., 0].float().sigmoid().cpu().numpy() > LEAST_CONFIDENCE
        return Views(points, centred_intrinsics(points), inverse_poses(poses), placed)


class Pi3X(Pi3):
    """Pi3X, the later release with a convolutional head and a metric scale, from photos alone."""

    card = Card(name="Pi3X", arch="ViT-L/14, 36 blocks", stride=PATCH, supervision="Point Regression", domain="3D",
                data=("Pi3X-Mix",), license="CC-BY-NC-4.0", weights="hf:yyfz233/Pi3X/model.safetensors",
                paper="arXiv:2507.13347", note="not yet run on real weights", parameters=1360.0)  # fmt: skip
    network_class = ("pi3.models.pi3x", "Pi3X")
    metric = True

    def load(self, device: torch.device) -> None:
        super().load(device)
        self._network.disable_multimodal()  # the branches that take cameras and depth


def network_size(height: int, width: int) -> tuple[int, int]:
    """Height and width that the network takes: the aspect kept nearly, multiples of 14, at most 255,000 pixels."""
    scale = math.sqrt(PIXELS / (height * width)) / PATCH
    rows, columns = round(height * scale), round(width * scale)
    while rows * columns * PATCH**2 > PIXELS:
        if columns * height > rows * width:
            columns -= 1
        else:
            rows -= 1
    return max(1, rows) * PATCH, max(1, columns) * PATCH
