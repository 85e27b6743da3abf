"""Bringing sparse models into one frame: models that share photos, and one model to another of the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from bench.metrics.similarity import Similarity, umeyama
from bench.types import Array, UserError
from registry.support.sfm.mapping import SparseModel

#: Two models are joined over a photo in which they share at least so many points. Where they share fewer, so many pairs of
#: points count as shared, those nearest to one another in the photo.
LEAST_COMMON_POINTS = 8
NEAREST_PAIRS = 20
#: Of corresponding points, those farther apart than this many times the median distance do not count.
OUTLYING = 3.0


def joined(models: Sequence[SparseModel]) -> SparseModel:
    """The first model, and what connects to it: every model that shares a photo with it.

    The shared photo's camera gives the rotation and the position, the median ratio of the shared points' depths the scale;
    where both see other things in that photo, the points nearest to one another in it, and the scale is then a rough one.
    Nothing is adjusted afterwards. models: at least one, all of the same keypoints and of one focal length or nearly so.
    """
    whole, waiting = models[0], list(models[1:])
    while waiting:
        for model in waiting:
            if model.cameras.keys() <= whole.cameras.keys():
                waiting.remove(model)
                break
            found = over_shared_photo(model, whole)
            if found is not None:
                whole = _merged(whole, model, found)
                waiting.remove(model)
                break
        else:
            break
    return whole


def over_shared_photo(source: SparseModel, target: SparseModel) -> Similarity | None:
    """The similarity from one model's frame to another's, from the shared photo with most points in common; None where no
    photo is shared in which both see 8 points."""
    shared = sorted(source.cameras.keys() & target.cameras.keys())
    common = {photo: _common(source.seen[photo], target.seen[photo]) for photo in shared}
    for photo, pairs in common.items():
        if len(pairs) < LEAST_COMMON_POINTS:
            common[photo] = _neighbours(source, target, photo)
    if max(map(len, common.values()), default=0) < LEAST_COMMON_POINTS:
        return None
    photo = max(common, key=lambda photo: len(common[photo]))
    first, second = source.cameras[photo], target.cameras[photo]
    of_source, of_target = common[photo].T
    ratio = second.project(target.points[of_target])[1] / first.project(source.points[of_source])[1]
    scale = float(np.median(ratio))
    rotation = second.world_to_camera[:3, :3].T @ first.world_to_camera[:3, :3]
    return Similarity(scale, rotation, second.centre - scale * rotation @ first.centre)


def _neighbours(source: SparseModel, target: SparseModel, photo: int) -> Array:
    """(K, 2), K <= NEAREST_PAIRS: points of source in a photo that lie nearest to one of target's, and these; none where
    either sees fewer than 8."""
    seen = [model.seen[photo][:, 1] for model in (source, target)]
    if min(map(len, seen)) < LEAST_COMMON_POINTS:
        return np.zeros((0, 2), np.int64)
    pixels, others = (
        model.cameras[photo].project(model.points[index])[0] for model, index in zip((source, target), seen, strict=True)
    )
    away, nearest = cKDTree(others).query(pixels)
    chosen = np.argsort(away, kind="stable")[:NEAREST_PAIRS]
    return np.stack([seen[0][chosen], seen[1][nearest[chosen]]], axis=1)


def registered(source: SparseModel, target: SparseModel, photos: Sequence[int]) -> Similarity:
    """The similarity from one model's frame to another's that fits the points which both see at the same keypoints of these
    photos, those far away counting less (Umeyama's, weighted by the inverse square of the depth, outliers left out once).

    Raises UserError where too few points are common.
    """
    pairs = [(_common(source.seen[photo], target.seen[photo]), photo) for photo in photos]
    first = np.concatenate([source.points[common[:, 0]] for common, _ in pairs])
    second = np.concatenate([target.points[common[:, 1]] for common, _ in pairs])
    depth = np.concatenate([target.cameras[photo].project(target.points[common[:, 1]])[1] for common, photo in pairs])
    if len(first) < LEAST_COMMON_POINTS:
        raise UserError(f"the reconstructions with and without the test photos share only {len(first)} points")
    weight = 1 / depth**2
    found = umeyama(first, second, weight)
    away = np.linalg.norm(found.apply(first) - second, axis=1) / depth
    near = away <= OUTLYING * np.median(away)
    return umeyama(first[near], second[near], weight[near])


def transformed(model: SparseModel, similarity: Similarity) -> SparseModel:
    """The same model in another frame."""
    cameras = {photo: similarity.transform_camera(camera) for photo, camera in model.cameras.items()}
    return replace(model, cameras=cameras, points=similarity.apply(model.points))


def _common(first: Array, second: Array) -> Array:
    """(K, 2): the points of two models at the same keypoints of a photo. first, second: (M, 2), as `SparseModel.seen`."""
    _, of_first, of_second = np.intersect1d(first[:, 0], second[:, 0], return_indices=True)
    return np.stack([first[of_first, 1], second[of_second, 1]], axis=1)


def _merged(whole: SparseModel, other: SparseModel, to_whole: Similarity) -> SparseModel:
    """Both models in whole's frame. Points of both at one keypoint become whole's; photos of both keep whole's camera."""
    moved = transformed(other, to_whole)
    index = len(whole.points) + np.arange(len(other.points))
    for photo in whole.cameras.keys() & other.cameras.keys():
        common = _common(other.seen[photo], whole.seen[photo])
        index[common[:, 0]] = common[:, 1]
    seen = dict(whole.seen)
    for photo, pairs in other.seen.items():
        new = np.stack([pairs[:, 0], index[pairs[:, 1]]], axis=1)
        held = seen.get(photo, np.zeros((0, 2), np.int64))
        seen[photo] = np.concatenate([held, new[~np.isin(new[:, 0], held[:, 0])]])
    count = len(whole.points), len(other.points)
    return SparseModel(
        {**moved.cameras, **whole.cameras},
        np.concatenate([whole.points, moved.points]),
        seen,
        float(np.average([whole.error, other.error], weights=count)),
    )
