"""From correspondences to one model of the photos: which focal length, which models, joined.

The mapper refines a focal length, it does not find one: begun far away it settles in a wrong one where the photos show
planes. It begins with the length for which most matches agree with an essential matrix of their pair. What it finds in few
photos also depends on the two that it starts from, and on whether the length may still move. It is therefore run with the
length refined, and again with it held, from each of the pairs with most matches; what connects most photos, and of those
explains most matches, counts. How many points a model has does not tell: a model that is joined of two with different focal
lengths, or that places a photo wrongly, keeps the points that it was made with, and contradicts the matches of the photos
that it brought together.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.types import Array, Camera
from registry.support.sfm.correspondences import FEW_PHOTOS, Correspondences, quiet
from registry.support.sfm.joining import joined
from registry.support.sfm.mapping import FOCAL_BOUNDS, LEAST_PAIR_INLIERS, Mapper, SparseModel

#: How many focal lengths are tried, then how many about the best; the share of the long side that is begun with where the
#: matches do not tell, lengths that explain this share of the most matches being equally good.
FOCALS = 12
FINE_FOCALS = 7
FOCAL_SHARE = 1.0
AS_GOOD = 0.99
#: Lengths that differ by less than this share are one.
SAME_FOCAL = 0.02
#: The length begun with is kept, unrefined, where it connects more photos or explains so many times as many matches.
CLEARLY_MORE = 1.05
#: A match is explained where both keypoints lie so near to each other's epipolar lines, in pixels of photos whose long side
#: is 512.
EXPLAINED_ERROR = 2.0
#: How far in pixels, of photos whose long side is 512, a match may be from its epipolar line. So many pairs are asked, for
#: so many of their matches, evenly taken, by so many samples.
MOST_EPIPOLAR_ERROR = 1.0
PAIRS_ASKED = 6
MATCHES_ASKED = 200
SAMPLES = 200


def reconstruct(found: Correspondences, width: int, height: int, focal: float | None = None) -> SparseModel | None:
    """The model that connects most photos. Seeded, on one thread: one machine gives the same model every time.

    Args:
        found: Keypoints and matches of the photos.
        width: Of every photo, in pixels.
        height: Of every photo, in pixels.
        focal: In pixels, where it is known; it is then held.

    Returns:
        A model of some of the photos, or None where no two match well enough.
    """
    import pycolmap

    quiet(pycolmap)
    if focal is not None:
        models = _models(found, width, height, focal, refine=False)
        return _joined(models, found) if models else None
    begin = likely_focal(found, width, height)
    refined = _models(found, width, height, begin, refine=True)
    if not refined or len(found.keypoints) > FEW_PHOTOS:
        return _joined(refined, found) if refined else None
    again = _models(found, width, height, refined[0].focal, refine=False)
    best = max((_joined(models, found) for models in (refined, again) if models), key=lambda model: _extent(model, found))
    if abs(refined[0].focal / begin - 1) < SAME_FOCAL:
        return best
    unrefined = _models(found, width, height, begin, refine=False)
    if not unrefined:
        return best
    other = _joined(unrefined, found)
    (photos, matches), (of_other, more) = _extent(best, found), _extent(other, found)
    return other if (of_other, more) > (photos, CLEARLY_MORE * matches) else best


def _models(found: Correspondences, width: int, height: int, focal: float, refine: bool) -> Sequence[SparseModel]:
    """What the mapper makes, the largest first; of few photos with the length held also from each of the starts."""
    with tempfile.TemporaryDirectory(prefix="bench-sfm-") as name:
        mapper = Mapper(Path(name), found, width, height, focal)
        models = mapper.models(refine)
        if not refine and len(found.keypoints) <= FEW_PHOTOS:
            models += [model for start in mapper.starts for model in mapper.models(refine, start)]
    return sorted(models, key=lambda model: _extent(model, found), reverse=True)


def _joined(models: Sequence[SparseModel], found: Correspondences) -> SparseModel:
    """The models joined, begun with the one for which the whole explains most."""
    return max((joined([first, *models]) for first in models), key=lambda model: _extent(model, found))


def _extent(model: SparseModel, found: Correspondences) -> tuple[int, int]:
    return len(model.cameras), explained_matches(model, found)


def explained_matches(model: SparseModel, found: Correspondences) -> int:
    """How many of the matches between the model's photos its cameras explain: those within EXPLAINED_ERROR of the epipolar
    geometry of their pair (Sampson's distance: Hartley and Zisserman, Multiple View Geometry, section 11.4.3)."""
    count = 0
    for (i, j), matches in found.matches.items():
        if i in model.cameras and j in model.cameras and len(matches):
            error = EXPLAINED_ERROR * max(model.cameras[i].width, model.cameras[i].height) / 512
            pair = found.keypoints[i][matches[:, 0]], found.keypoints[j][matches[:, 1]]
            count += int((_sampson(model.cameras[i], model.cameras[j], *pair) <= error**2).sum())
    return count


def _sampson(first: Camera, second: Camera, pixels: Array, others: Array) -> Array:
    """(N,) squared distances in pixels of matches (N, 2) and (N, 2) from the epipolar geometry of two cameras."""
    relative = second.world_to_camera @ np.linalg.inv(first.world_to_camera)
    x, y, z = relative[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]
    fundamental = np.linalg.inv(second.intrinsics).T @ essential @ np.linalg.inv(first.intrinsics)
    a, b = (np.column_stack([each, np.ones(len(each))]) for each in (pixels, others))
    lines, others_lines = a @ fundamental.T, b @ fundamental
    across = np.square(lines[:, :2]).sum(axis=1) + np.square(others_lines[:, :2]).sum(axis=1)
    return np.square((b * lines).sum(axis=1)) / np.maximum(across, np.finfo(float).tiny)


def likely_focal(found: Correspondences, width: int, height: int) -> float:
    """The focal length in pixels for which most matches lie near the epipolar lines of an essential matrix of their pair; of
    lengths that are nearly as good the one nearest to the long side. Seeded."""
    import pycolmap

    long_side = max(width, height)
    options = pycolmap.RANSACOptions(
        max_error=MOST_EPIPOLAR_ERROR * long_side / 512, min_num_trials=SAMPLES, max_num_trials=SAMPLES, random_seed=0
    )
    most_first = sorted(found.matches, key=lambda pair: (-len(found.matches[pair]), pair))[:PAIRS_ASKED]
    matched = [
        [found.keypoints[photo][matches[:: -(-len(matches) // MATCHES_ASKED), side]] for side, photo in enumerate(pair)]
        for pair in most_first
        for matches in [found.matches[pair]]
        if len(matches) >= LEAST_PAIR_INLIERS
    ]

    def explained(share: float) -> int:
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=width, height=height, params=[share * long_side, width / 2, height / 2]
        )
        fits = [pycolmap.estimate_essential_matrix(first, second, camera, camera, options) for first, second in matched]
        return sum(fit["num_inliers"] for fit in fits if fit is not None)

    coarse = np.geomspace(*FOCAL_BOUNDS, FOCALS)
    step = coarse[1] / coarse[0]
    fine = _best(coarse, [explained(share) for share in coarse]) * np.geomspace(1 / step, step, FINE_FOCALS)
    return long_side * _best(fine, [explained(share) for share in fine])


def _best(shares: Array, counts: Sequence[int]) -> float:
    """Of the shares whose counts are nearly the largest the one nearest to FOCAL_SHARE."""
    good = shares[np.array(counts) >= AS_GOOD * max(counts)]
    return float(good[np.abs(np.log(good / FOCAL_SHARE)).argmin()])
