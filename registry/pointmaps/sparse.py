"""`sparse`: point maps interpolated from the points of a sparse reconstruction; real photos without any weights."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bench.registry import pointmaps
from bench.types import (
    Array,
    Camera,
    Card,
    Initialisation,
    MultiViewScene,
    PointmapInitialiser,
    SparsePoints,
    UserError,
    View,
)
from registry.support.guided_depth import LEAST_POINTS, guided_depth
from registry.support.reconstruction import posed_camera

#: How many points beside it in the photo a point is compared with.
NEIGHBOURS = 8
#: A point whose inverse depth differs from its neighbours' median by more than this many times their mean deviation from
#: that median, plus a share of the median, is an outlier.
OUTLIER_DEVIATIONS = 4.0
OUTLIER_SHARE = 0.05
#: Without tracks: a point counts as hidden where its inverse depth is below this share of its nearer neighbours'.
HIDDEN_SHARE = 0.7


@pointmaps.register("sparse")
class Sparse(PointmapInitialiser):
    """Depth from the points that a view sees: between them the photo guides where it bends and breaks.

    The cameras are the reconstruction's own, of test views too: as usual with COLMAP, it has seen all photos. A view sees
    the points that its tracks name; without tracks, those that project into it and are not hidden. Every pixel gets a
    Gaussian.
    """

    card = Card(name="Sparse", supervision="SfM", note="COLMAP or LLFF points; depth between them guided by the photo")

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        sparse = scene.sparse
        if sparse is None or not len(sparse.points):
            raise UserError(
                f"{scene.dataset}/{scene.name} has no sparse points (points3D), which `sparse` needs; choose another "
                "initialiser (`bench list pointmaps`)"
            )
        cameras = tuple(posed_camera(scene, view, "sparse") for view in scene.train)
        test_cameras = tuple(posed_camera(scene, view, "sparse") for view in scene.test)
        depths = []
        for view, camera in zip(scene.train, cameras, strict=True):
            depth = interpolated_depth(sparse, view, camera)
            if depth is None:
                raise UserError(
                    f"{scene.dataset}/{scene.name}: fewer than {LEAST_POINTS} sparse points are seen in view {view.name}"
                )
            depths.append(depth)
        return Initialisation(
            points=tuple(camera.unproject(depth).astype(np.float32) for camera, depth in zip(cameras, depths, strict=True)),
            masks=tuple(np.ones(depth.shape, bool) for depth in depths),
            cameras=cameras,
            test_cameras=test_cameras,
            test_depths=tuple(
                interpolated_depth(sparse, view, camera) for view, camera in zip(scene.test, test_cameras, strict=True)
            ),
        )


def interpolated_depth(sparse: SparsePoints, view: View, camera: Camera) -> Array | None:
    """(H, W) float32 depth of a view from the points it sees; None where these are too few."""
    tracked = view.name in sparse.visible
    points = sparse.points[sparse.visible[view.name]] if tracked else sparse.points
    pixels, depth = camera.project(points)
    inside = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < (camera.width, camera.height)).all(axis=1)
    pixels, inverse = pixels[inside], 1 / depth[inside]
    for keep in (_not_hidden, _not_outlying) if not tracked else (_not_outlying,):
        if len(inverse) > NEIGHBOURS:
            kept = keep(pixels, inverse)
            pixels, inverse = pixels[kept], inverse[kept]
    if len(inverse) < LEAST_POINTS or np.linalg.matrix_rank(pixels - pixels.mean(axis=0), tol=1e-6) < 2:
        return None
    return guided_depth(view.image, pixels, 1 / inverse)


def _neighbours(pixels: Array, inverse: Array) -> Array:
    """(N, NEIGHBOURS) inverse depths of the points nearest in the photo."""
    _, index = cKDTree(pixels).query(pixels, NEIGHBOURS + 1)
    return inverse[index[:, 1:]]


def _not_hidden(pixels: Array, inverse: Array) -> Array:
    return inverse >= HIDDEN_SHARE * np.quantile(_neighbours(pixels, inverse), 0.75, axis=1)


def _not_outlying(pixels: Array, inverse: Array) -> Array:
    near = _neighbours(pixels, inverse)
    median = np.median(near, axis=1)
    deviation = np.abs(near - median[:, None]).mean(axis=1)
    return np.abs(inverse - median) <= OUTLIER_DEVIATIONS * deviation + OUTLIER_SHARE * median
