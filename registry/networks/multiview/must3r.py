"""MUSt3R (arXiv:2503.01661) through its authors' package (github.com/naver/must3r).

The network takes photos in [-1, 1] and gives each view's points twice, in its own camera and in the first view's world.
Poses, from the cameras to that world, are the package's registration of the one to the other, focal lengths its fit to the
former with the principal point at half the width and height, in pixels of which the first one's centre is (0, 0).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import torch

from bench.types import Array, Card
from registry.support.checkpoints import rewritten
from registry.support.images import HALF, long_side_at, normalised, resampled, to_tensors
from registry.support.multiview import MultiviewNetwork, Views, inverse_poses

LONG_SIDE, PATCH = 512, 16
#: Pixels of lower confidence (which is at least 1) get no Gaussian: where the authors' demonstration starts.
LEAST_CONFIDENCE = 3.0


class MUSt3R(MultiviewNetwork):
    """MUSt3R 512, every photo in its memory: two at first, then one by one, then all read off the whole memory.

    As the authors' demonstration (must3r/demo/inference.py) does where all photos are keyframes; but nothing is cut off. Its
    points are meant to be metric; they are measured up to scale, like MASt3R's.
    """

    card = Card(name="MUSt3R", arch="ViT-L/16", stride=PATCH, supervision="Point Regression", domain="3D",
                data=("MUSt3R-Mix",), license="MUSt3R Non-Commercial", paper="arXiv:2503.01661",
                weights="torchhub:https://download.europe.naverlabs.com/ComputerVision/MUSt3R/MUSt3R_512.pth",
                note="not yet run on real weights")  # fmt: skip
    needs = MappingProxyType({"must3r": "pip install git+https://github.com/naver/must3r (licence: MUSt3R Non-Commercial)"})

    def load(self, device: torch.device) -> None:
        model, self._engine = self.module("must3r.model"), self.module("must3r.engine.inference")
        path = self.weights_file()
        classes, constants = ("Dust3rEncoder", "MUSt3R", "CausalMUSt3R"), ("ActivationType",)
        with rewritten(path, classes, constants, "encoder", "decoder") as copy:
            self._encoder, self._decoder = model.load_model(str(copy), device=device, verbose=False)
        activation = model.get_pointmaps_activation(self._decoder, verbose=False)
        self._finish = functools.partial(self._engine.postprocess, pointmaps_activation=activation, compute_cam=True)
        self._device = device

    @torch.no_grad()
    def views(self, images: Sequence[Array]) -> Views:
        height, width = images[0].shape[:2]
        rows, columns = long_side_at(height, width, LONG_SIDE, PATCH)
        photos = normalised(to_tensors(resampled(images, rows, columns), self._device), HALF)
        shape = torch.tensor([rows, columns], device=self._device)
        _, found = self._engine.inference_multi_ar(
            self._encoder,
            self._decoder,
            list(photos),
            [torch.tensor(number) for number in range(len(photos))],
            [shape] * len(photos),
            [min(2, len(photos))] + [1] * (len(photos) - 2),
            max_bs=1,
            device=self._device,
            post_process_function=self._finish,
        )
        points, poses, confidence, focal = (
            np.stack([view[key].float().cpu().numpy() for view in found]) for key in ("pts3d_local", "c2w", "conf", "focal")
        )
        intrinsics = np.tile(np.eye(3), (len(photos), 1, 1))
        intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
        intrinsics[:, :2, 2] = columns / 2 + 0.5, rows / 2 + 0.5
        return Views(points, intrinsics, inverse_poses(poses), confidence >= LEAST_CONFIDENCE)
