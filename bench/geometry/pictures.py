"""The pictures of one evaluated photo: truth, aligned prediction, error, and both point clouds from the side.

Names are kind and sample, "depth.<sample>"; all (h, w, 3) uint8. Kinds: photo, depth-truth, depth, error, points-truth,
points.
"""

from __future__ import annotations

import numpy as np

from bench.core.protocols import GeometryProtocol
from bench.core.scenes import Array, MonocularSample, Prediction
from bench.geometry.camera import points_from_depth
from bench.geometry.evaluate import aligned_prediction
from bench.metrics.colours import NOTHING, coloured, finite_range

_LONG_SIDE = 320
_WORST_ERROR = 0.3  #: the relative depth error that is drawn brightest
_SIDE_STEP = 0.35  #: how far the second viewpoint moves sideways, as a share of the median depth


def sample_pictures(sample: MonocularSample, prediction: Prediction, protocol: GeometryProtocol) -> dict[str, Array]:
    """The pictures of a sample; those of the prediction are missing where it cannot be aligned."""
    step = max(1, -(-max(sample.depth.shape) // _LONG_SIDE))
    thin = (slice(step // 2, None, step), slice(step // 2, None, step))
    image, truth = sample.image[thin], sample.depth[thin].astype(np.float64)
    span = finite_range(np.where(truth > 0, truth, np.nan))
    true_points = points_from_depth(sample.depth, sample.intrinsics)[thin]
    pictures = {
        "photo": image,
        "depth-truth": _depth_colours(truth, span),
        "points-truth": _from_the_side(true_points, image, truth, sample.intrinsics),
    }
    aligned = aligned_prediction(sample, prediction, protocol)
    if aligned is not None:
        depth = aligned.depth[thin]
        pictures["depth"] = _depth_colours(depth, span)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.abs(depth - truth) / truth
        pictures["error"] = coloured(error, (0.0, _WORST_ERROR), "inferno")
        pictures["points"] = _from_the_side(aligned.points[thin], image, truth, sample.intrinsics)
    return {f"{kind}.{sample.name}": np.ascontiguousarray(picture) for kind, picture in pictures.items()}


def _depth_colours(depth: Array, span: tuple[float, float]) -> Array:
    """Over disparity, near is red: what is close shows its relief. span: of the depth."""
    with np.errstate(invalid="ignore", divide="ignore"):
        nearness = np.where(depth > 0, -1 / depth, np.nan)
    return coloured(nearness, (-1 / span[0], -1 / span[1]), "Spectral")


def _from_the_side(points: Array, colours: Array, truth: Array, intrinsics: Array) -> Array:
    """The coloured points seen by a camera that has stepped to the side and turned back to the scene's middle.

    points, colours: (h, w, 3). The step follows the truth's median depth, so that truth and prediction are seen alike.
    """
    height, width = truth.shape
    valid = np.isfinite(points).all(axis=-1) & np.isfinite(truth) & (points[..., 2] > 0)
    canvas = np.full((height, width, 3), NOTHING, np.uint8)
    finite = truth[np.isfinite(truth)]
    if not finite.size or not valid.any():
        return canvas
    middle = float(np.median(finite))
    angle = np.arctan(_SIDE_STEP)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    pivot = np.array([0.0, 0.0, middle])
    seen = (points[valid] - pivot) @ turn.T + pivot
    seen[:, 2] += 0.15 * middle
    kept = seen[:, 2] > 0.05 * middle
    seen, drawn = seen[kept], colours[valid][kept]
    columns = np.floor((intrinsics[0, 0] * seen[:, 0] / seen[:, 2] + intrinsics[0, 2]) * width).astype(np.int64)
    rows = np.floor((intrinsics[1, 1] * seen[:, 1] / seen[:, 2] + intrinsics[1, 2]) * height).astype(np.int64)
    order = np.argsort(-seen[:, 2], kind="stable")  # far first, so that near points cover them
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = rows[order] + down, columns[order] + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        canvas[y[inside], x[inside]] = drawn[order][inside]
    return canvas
