"""Fast3R (arXiv:2501.13928) through its authors' package (github.com/facebookresearch/fast3r).

The network takes photos in [-1, 1] and gives all views' points in the first camera's world. One focal length for all views
is the package's fit to the first view's points, poses from the cameras to that world are its RANSAC-PnP; both have the
principal point at half the width and height, in pixels of which the first one's centre is (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import torch

from bench.types import Array, Card, UserError
from registry.networks.dust3r import views as views_of
from registry.support.images import long_side_at, resampled
from registry.support.multiview import MultiviewNetwork, Views, inverse_poses
from registry.support.seeding import seeded

LONG_SIDE, PATCH = 512, 16
ITERATIONS = 100  #: of RANSAC, as in the authors' README
#: Pixels of lower confidence (which is at least 1) get no Gaussian and find no pose: the package's threshold for poses.
LEAST_CONFIDENCE = 1.0


class Fast3R(MultiviewNetwork):
    """Fast3R ViT-L, 512 pixels: the global head's points, brought to each view's camera by the view's pose.

    Nothing is cut off the photos. The network draws an index for every view but the first: here always under one seed. Its
    attention runs in bfloat16 on a GPU, all else in float32.
    """

    card = Card(name="Fast3R", arch="ViT-L/16", stride=PATCH, supervision="Point Regression", domain="3D",
                data=("Fast3R-Mix",), license="FAIR Noncommercial Research", weights="hf:jedyang97/Fast3R_ViT_Large_512",
                paper="arXiv:2501.13928", note="not yet run on real weights")  # fmt: skip
    needs = MappingProxyType(
        {
            "fast3r": "clone github.com/facebookresearch/fast3r, install its requirements, then pip install -e . (licence: "
            "FAIR Noncommercial Research)"
        }
    )

    def load(self, device: torch.device) -> None:
        network = self.module("fast3r.models.fast3r").Fast3R
        self._inference = self.module("fast3r.dust3r.inference_multiview").inference
        self._poses = self.module("fast3r.models.multiview_dust3r_module").MultiViewDUSt3RLitModule.estimate_camera_poses
        self._network, self._device = self.from_hub(network, device), device

    def views(self, images: Sequence[Array]) -> Views:
        height, width = images[0].shape[:2]
        rows, columns = long_side_at(height, width, LONG_SIDE, PATCH)
        photos = views_of(resampled(images, rows, columns))
        predictions = seeded(lambda: self._inference(photos, self._network, self._device, "32", verbose=False))["preds"]
        poses, focals = self._poses(
            predictions, niter_PnP=ITERATIONS, focal_length_estimation_method="first_view_from_global_head"
        )
        cameras = inverse_poses(np.stack([np.eye(4), *poses[0][1:]]))  # the world is the first camera's
        for number, (pose, focal) in enumerate(zip(poses[0], focals[0], strict=True), start=1):
            # Where it finds none, the package gives the identity in place of a pose.
            if focal is None or (number > 1 and np.array_equal(pose, np.eye(4))):
                raise UserError(f"{self.card.name}: no pose was found for photo {number} of {len(images)}")
        found = np.concatenate([view["pts3d_in_other_view"].float().numpy() for view in predictions])
        confidence = np.concatenate([view["conf"].float().numpy() for view in predictions])
        points = np.einsum("nij,nhwj->nhwi", cameras[:, :3, :3], found) + cameras[:, None, None, :3, 3]
        intrinsics = np.tile(np.eye(3), (len(images), 1, 1))
        intrinsics[:, [0, 1], [0, 1]] = focals[0][0]
        intrinsics[:, :2, 2] = columns / 2 + 0.5, rows / 2 + 0.5
        return Views(points.astype(np.float32), intrinsics, cameras, confidence > LEAST_CONFIDENCE)
