"""CUT3R (arXiv:2501.12387) through its authors' code (github.com/CUT3R/CUT3R), whose package is called dust3r.

The network takes photos in [-1, 1] one after the other, each with the state that those before it left, and gives each view's
points in its own camera and a code of its pose, from that camera to a world, in metres. Focal lengths are the package's fit
to the points with the principal point at half the width and height, in pixels of which the first one's centre is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.types import Array, Card, Unavailable, UserError
from registry.support.checkpoints import State, load_strictly, read_state, select
from registry.support.images import HALF, long_side_at, normalised, resampled, to_tensors
from registry.support.multiview import MultiviewNetwork, Views, inverse_poses
from registry.support.packages import attribute_of

LONG_SIDE, PATCH = 512, 16
_COMPILED = "cuRoPE2D"  #: what its rotary positions are called where they are compiled
#: Pixels of lower confidence (which is at least 1) get no Gaussian: where the authors' demonstration starts.
LEAST_CONFIDENCE = 1.5
NEEDS = MappingProxyType(
    {
        "dust3r": "clone github.com/CUT3R/CUT3R, install its requirements, compile the kernels in src/croco/models/curope "
        "and put src on PYTHONPATH, before any other package dust3r (licence: CC BY-NC-SA 4.0, non-commercial)"
    }
)
CARD = Card(name="CUT3R", arch="ViT-L/16", stride=PATCH, supervision="Point Regression", domain="3D", data=("CUT3R-Mix",),
            license="CC-BY-NC-SA-4.0", paper="arXiv:2501.12387",
            weights="page:https://drive.google.com/file/d/1Asz-ZB3FfpzZYwunhQvNPZEUA8XUNAYD/view",
            note="cut3r_512_dpt_4_64.pth; not yet run on real weights")  # fmt: skip
#: What the published network was built with (config/dpt_512_vary_4_64.yaml); its file has it as Python to be evaluated.
_EVERYWHERE = ("exp", -math.inf, math.inf)
_SETTINGS = MappingProxyType(
    {
        "state_size": 768,
        "state_pe": "2d",
        "pos_embed": "RoPE100",
        "rgb_head": True,
        "pose_head": True,
        # For photos of one shape; theirs for many shapes at once has the same weights.
        "patch_embed_cls": "PatchEmbedDust3R",
        "img_size": (512, 512),
        "head_type": "dpt",
        "output_mode": "pts3d+pose",
        "depth_mode": _EVERYWHERE,
        "conf_mode": ("exp", 1, math.inf),
        "pose_mode": _EVERYWHERE,
        "enc_embed_dim": 1024,
        "enc_depth": 24,
        "enc_num_heads": 16,
        "dec_embed_dim": 768,
        "dec_depth": 12,
        "dec_num_heads": 12,
        "landscape_only": False,
    }
)


def build(remedy: str = NEEDS["dust3r"]) -> Any:
    """The network, initialised at random. Raises Unavailable where the package is not here, or not compiled."""
    network, configuration = (
        attribute_of("dust3r.model", name, CARD.name, remedy) for name in ("ARCroco3DStereo", "ARCroco3DStereoConfig")
    )
    built = network(configuration(**_SETTINGS))
    if type(built.rope).__name__ != _COMPILED:
        raise Unavailable(
            f"{CARD.name}: its kernels are not compiled, and fail uncompiled at the pose's position, -1; {remedy}"
        )
    return built


def weights_of(state: State) -> State:
    """The published file's keys as the network has them: a trainer may have put a word before each."""
    return select(state, "module.")


def views_of(photos: Tensor) -> list[dict[str, Any]]:
    """Photos (N, 3, H, W) in [-1, 1] as the package takes them: each seen once, each adding to the state."""
    count, _, height, width = photos.shape
    one = torch.ones(1, dtype=torch.bool, device=photos.device)
    return [
        {
            "img": photos[number : number + 1],
            "ray_map": photos.new_full((1, 6, height, width), math.nan),
            "true_shape": torch.tensor([[height, width]], dtype=torch.int32),
            "idx": number,
            "instance": str(number),
            "camera_pose": torch.eye(4, device=photos.device)[None],
            "img_mask": one,
            "ray_mask": ~one,
            "update": one,
            "reset": ~one,
        }
        for number in range(count)
    ]


class CUT3R(MultiviewNetwork):
    """CUT3R, the final network for 512 pixels; nothing is cut off the photos, in the order in which they are given."""

    card, needs = CARD, NEEDS
    metric = True

    def load(self, device: torch.device) -> None:
        network, path = build(), self.weights_file()
        self._inference = self.module("dust3r.inference").inference
        self._poses = self.module("dust3r.utils.camera").pose_encoding_to_camera
        self._focals = self.module("dust3r.post_process").estimate_focal_knowing_depth
        load_strictly(network, weights_of(read_state(path)), path)
        self._network, self._device = network.to(device).eval(), device

    def views(self, images: Sequence[Array]) -> Views:
        height, width = images[0].shape[:2]
        rows, columns = long_side_at(height, width, LONG_SIDE, PATCH)
        photos = normalised(to_tensors(resampled(images, rows, columns), self._device), HALF)
        found = self._inference(views_of(photos), self._network, self._device, verbose=False)[0]["pred"]
        points, confidence, codes = (
            torch.cat([view[key].float() for view in found]) for key in ("pts3d_in_self_view", "conf_self", "camera_pose")
        )
        centre = torch.tensor([[columns / 2, rows / 2]]).repeat(len(found), 1)
        focals = self._focals(points, centre, focal_mode="weiszfeld").numpy()
        if not (focals > 0).all():  # the package cuts focal lengths off at 0
            raise UserError(f"{CARD.name}: no camera fits the points of photo {np.argmin(focals > 0) + 1} of {len(found)}")
        intrinsics = np.tile(np.eye(3), (len(found), 1, 1))
        intrinsics[:, [0, 1], [0, 1]] = focals[:, None]
        intrinsics[:, :2, 2] = columns / 2 + 0.5, rows / 2 + 0.5
        poses = inverse_poses(self._poses(codes).numpy())
        return Views(points.numpy(), intrinsics, poses, confidence.numpy() >= LEAST_CONFIDENCE)
