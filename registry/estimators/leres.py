"""LeReS (arXiv:2012.09365): depth right up to one scale and one shift."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction
from registry.networks.leres import LeReSNetwork, official_names
from registry.support.checkpoints import load_strictly, read_state
from registry.support.images import IMAGENET, at_size, normalised, to_tensor
from registry.support.packages import LibraryModel
from registry.support.seeding import seeded

SIDE = 448  #: of the square that every photo is squeezed into
NEAREST = 0.01  #: what the authors' code sets the nearest depth to: the network's own values have no origin


@estimators.register("leres")
class LeReS(LibraryModel, GeometryEstimator):
    """LeReS's depth network with the ResNeXt-101 encoder, as tools/test_depth.py runs it: affine-invariant depth.

    Its second part, which recovers shift and focal length from a point cloud, is left out: it stands on torchsparse 1.2,
    compiled kernels for PyTorch 1.6 and CUDA 10.2. So what the published tables say of LeReS under scale-invariant depth,
    point maps and field of view cannot be measured here.
    """

    card = Card(
        name="LeReS",
        arch="ResNeXt-101",
        supervision="Depth regression",
        domain="3D",
        data=("Taskonomy", "DiverseDepth", "HRWSI", "Holopix50K"),
        license="Adobe Research License (non-commercial)",
        weights="page:https://pan.baidu.com/s/1o2oVMiLRu770Fdpa65Pdbw?pwd=g3yi",
        paper="arXiv:2012.09365",
        note="res101.pth, depth network only: neither shift nor focal length; not yet run on the published weights",
        parameters=115.4,
    )
    network: Any

    def build(self) -> LeReSNetwork:
        """The network, initialised at random."""
        return LeReSNetwork()

    def load(self, device: torch.device) -> None:
        path = self.weights_file() if self.weights == "pretrained" else None
        self.network = seeded(self.build)
        if path is not None:
            load_strictly(self.network, official_names(read_state(path)), path)
        self.network.eval().requires_grad_(False).to(device)
        self._device = device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        photo = F.interpolate(to_tensor(image, self._device), (SIDE, SIDE), mode="bilinear", align_corners=False)
        depth = self.network(normalised(photo, IMAGENET))
        return Prediction(depth_affine_invariant=at_size(depth - depth.min() + NEAREST, *image.shape[:2]))
