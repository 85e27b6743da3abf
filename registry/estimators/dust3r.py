"""DUSt3R and MASt3R as monocular estimators, through their authors' packages: the photo is both views of a pair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from bench.registry import estimators
from bench.types import Array, GeometryEstimator, Prediction
from registry.networks.dust3r import DUST3R, MAST3R, Release, views
from registry.support.images import long_side_at, resampled
from registry.support.packages import LibraryModel

LONG_SIDE, PATCH = 512, 16
_NOTE = "the photo as both views of a pair; not yet run on real weights"


class _Pair(LibraryModel, GeometryEstimator):
    """The first view's point map, in that view's camera; one focal length by its authors' fit to the points.

    The authors' demonstration (dust3r/demo.py) feeds a single photo twice in this way. The photo's long side becomes 512,
    both sides the nearest multiples of 16; nothing is cut off, as an evaluation needs every pixel, so a square photo stays
    one (their loader would cut it to 4:3). release: names network, package and weights.
    """

    release: ClassVar[Release]
    random_weights = False
    model: Any

    def load(self, device: torch.device) -> None:
        network = self.release.architecture()
        self._inference, self._post_process = map(self.release.part, ("inference", "post_process"))
        folder = self.hub_folder()
        self.model, self._device = network.from_pretrained(str(folder), strict=True).to(device).eval(), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        rows, columns = long_side_at(height, width, LONG_SIDE, PATCH)
        (photo,) = resampled([image], rows, columns)
        pair = tuple(views([photo, photo]))
        output = self._inference.inference([pair], self.model, self._device, batch_size=1, verbose=False)
        found = output["pred1"]["pts3d"].detach().float()
        centre = found.new_tensor([columns / 2, rows / 2])
        focal = float(self._post_process.estimate_focal_knowing_depth(found, centre, focal_mode="weiszfeld"))
        points = F.interpolate(found.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False)
        camera = np.array([[focal / columns, 0, 0.5], [0, focal / rows, 0.5], [0, 0, 1]])
        whole = points[0].permute(1, 2, 0).cpu().numpy()
        return Prediction(points_scale_invariant=whole, depth_scale_invariant=whole[..., 2], intrinsics=camera)


@estimators.register("dust3r")
class DUSt3R(_Pair):
    """DUSt3R ViT-L, 512 pixels, DPT head."""

    release = DUST3R
    card, needs = replace(DUST3R.card, note=_NOTE), DUST3R.needs


@estimators.register("mast3r")
class MASt3R(_Pair):
    """MASt3R ViT-L, 512 pixels. Its points are meant to be metric; they are measured up to scale, like DUSt3R's."""

    release = MAST3R
    card, needs = replace(MAST3R.card, note=_NOTE), MAST3R.needs
