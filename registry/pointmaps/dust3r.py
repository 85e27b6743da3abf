"""`dust3r` and `mast3r`: point maps and cameras estimated from the photos alone, as the Feat2GS paper starts.

Pairwise point maps of DUSt3R's or MASt3R's network, brought together by DUSt3R's global alignment in its authors' package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from bench.machine.seeding import seeded_generators
from bench.registry import pointmaps
from bench.types import Array, Camera, Initialisation, MultiViewScene, PointmapInitialiser
from registry.networks.dust3r import DUST3R, MAST3R, Release, views
from registry.support.packages import LibraryModel
from registry.support.reconstruction import Estimate, initialisation, training_views

#: What the official probe calls the alignment with (Feat2GS, utils/feat_utils.py).
ITERATIONS = 300
RATE = 0.01
SCHEDULE = "linear"
#: Confidences are at least 1; cleaning sets those of points that hide a more confident surface to 0. The official probe's
#: threshold is log 1 = 0: only the cleaned pixels go. (DUSt3R itself starts from 3.)
LEAST_CONFIDENCE = 0.0
_UNVERIFIED = "not yet run on real weights"


class GlobalAlignment(LibraryModel, PointmapInitialiser):
    """Point maps of all pairs of photos, brought into one frame, with one focal length for all views.

    The focal length is the mean of the views' first estimates, and stays fixed, as in the official probe; the reconstruction
    of all views, from which the test cameras come, takes that of the training views. A subclass names its release.

    unit: as `Initialisation.unit`.
    """

    release: ClassVar[Release]
    random_weights = False
    photo_side = 512
    unit: ClassVar[float | None] = None
    model: Any

    def load(self, device: torch.device) -> None:
        network = self.release.architecture()
        self._pairs, self._inference, self._alignment = map(self.release.part, ("image_pairs", "inference", "cloud_opt"))
        folder = self.hub_folder()
        self.model, self._device = network.from_pretrained(str(folder), strict=True).to(device).eval(), device

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        train = training_views(scene, self.card.name)
        with seeded_generators(seed):
            own = self._reconstruct([view.image for view in train])
            focal = float(own.cameras[0].intrinsics[0, 0])
            joint = self._reconstruct([view.image for view in scene.views], focal) if scene.test else own
        return replace(initialisation(own, joint), unit=self.unit)

    def _reconstruct(self, images: Sequence[Array], focal: float | None = None) -> Estimate:
        """The views of images (H, W, 3) uint8 in a frame of their own. focal: in pixels, where it is known."""
        pairs = self._pairs.make_pairs(views(images), scene_graph="complete", prefilter=None, symmetrize=True)
        output = self._inference.inference(pairs, self.model, self._device, batch_size=1, verbose=False)
        mode = self._alignment.GlobalAlignerMode.PointCloudOptimizer
        aligner = self._alignment.global_aligner(output, device=self._device, mode=mode, verbose=False)
        # The package neither starts without iterating nor shares a focal length: a step of rate 0 leaves what the spanning
        # tree found, then the focal lengths are set and held.
        aligner.compute_global_alignment(init="mst", niter=1, schedule=SCHEDULE, lr=0.0, lr_min=0.0)
        if focal is None:
            focal = float(aligner.get_focals().mean())
        aligner.preset_focal([focal] * len(images))
        aligner.compute_global_alignment(init=None, niter=ITERATIONS, schedule=SCHEDULE, lr=RATE)
        aligner = aligner.clean_pointcloud()
        aligner.min_conf_thr = LEAST_CONFIDENCE
        poses, principal_points = _numpy(aligner.get_im_poses()), _numpy(aligner.get_principal_points())
        return Estimate(
            cameras=tuple(
                _camera(focal, point, pose, image)
                for point, pose, image in zip(principal_points, poses, images, strict=True)
            ),
            depths=tuple(_numpy(depth) for depth in aligner.get_depthmaps()),
            masks=tuple(_numpy(mask).astype(bool) for mask in aligner.get_masks()),
        )


@pointmaps.register("dust3r")
class DUSt3R(GlobalAlignment):
    """DUSt3R ViT-L, 512 pixels, DPT head, with its global alignment."""

    release = DUST3R
    card, needs = replace(DUST3R.card, note=_UNVERIFIED), DUST3R.needs
    unit = 1.0  # the official probe leaves its points as they are


@pointmaps.register("mast3r")
class MASt3R(GlobalAlignment):
    """MASt3R's metric point maps, brought together by DUSt3R's global alignment.

    The official probe takes MASt3R's own alignment by sparse matches instead.
    """

    release = MAST3R
    card, needs = replace(MAST3R.card, note=_UNVERIFIED), MAST3R.needs


def _camera(focal: float, principal_point: Array, camera_to_world: Array, image: Array) -> Camera:
    """principal_point: (x, y) where the first pixel's centre is (0, 0), as in DUSt3R; here that centre is (0.5, 0.5)."""
    intrinsics = np.diag([focal, focal, 1.0])
    intrinsics[:2, 2] = principal_point + 0.5
    height, width = image.shape[:2]
    return Camera(intrinsics, np.linalg.inv(camera_to_world.astype(np.float64)), width, height)


def _numpy(values: torch.Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array
