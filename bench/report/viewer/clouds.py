"""The document of point clouds: the truth of a photo beside what estimators predict for it, coloured by the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.core.protocols import GeometryProtocol
from bench.core.scenes import Array, Camera, MonocularSample, MultiViewScene, Prediction, View
from bench.geometry.camera import points_from_depth
from bench.geometry.evaluate import aligned_prediction
from bench.metrics.colours import coloured
from bench.report.viewer.document import Kind, data_uri, document
from bench.report.viewer.nodes import Cloud

MOST_POINTS = 100_000  #: of a model in a page: 2 MB of it, beside 0.8 MB of viewer
WORST_ERROR = 0.3  #: the relative error that is drawn brightest
#: On slate: what is right is drawn black.
POINTS = Kind("Points", ("depth-truth", "depth", "error"), "points.html.j2", ("/no views", "/photo"), 96)


def points_page(models: Sequence[Cloud], scene: MultiViewScene, conditions: str, marks: Sequence[str] = ()) -> str:
    """The document (bench.report.viewer.document.document); models: the truth first."""
    ramp = np.linspace(0, WORST_ERROR, 160)[None].repeat(12, axis=0)
    legend = data_uri(coloured(ramp, (0, WORST_ERROR), "inferno"))
    return document(
        models, [""] * len(models), scene, POINTS, conditions, marks, legend=legend, worst=round(100 * WORST_ERROR)
    )


def as_scene(sample: MonocularSample) -> MultiViewScene:
    """The photo as the one held-out view of a scene, in the world of its camera."""
    height, width = sample.depth.shape
    intrinsics = np.diag([width, height, 1.0]) @ sample.intrinsics
    camera = Camera(intrinsics, np.eye(4), width, height)
    return MultiViewScene(sample.dataset, sample.name, (), (View(sample.name, sample.image, camera),))


def true_cloud(sample: MonocularSample) -> Cloud:
    """What is known of the photo, in its colours."""
    points = points_from_depth(sample.depth, sample.intrinsics)
    return _cloud("truth", sample, points, sample.image, np.isfinite(sample.depth))


def predicted_cloud(
    name: str,
    sample: MonocularSample,
    prediction: Prediction,
    protocol: GeometryProtocol,
    pictures: Mapping[str, Array],
    scores: Mapping[str, str],
) -> tuple[Cloud, str] | None:
    """What is predicted where the truth is known, coloured by the error, and the alignment it was brought to the truth by.

    The error of a point is its distance from the true one, as a share of the true one's distance from the camera (MoGe,
    arXiv:2410.19115, the metric of point maps). None where the prediction cannot be aligned.

    Args:
        name: Of the model.
        sample: The photo and its truth.
        prediction: Before it is aligned (bench.geometry.evaluate.aligned_prediction).
        protocol: Says how to align.
        pictures, scores: As bench.report.viewer.nodes.Model has them.
    """
    aligned = aligned_prediction(sample, prediction, protocol)
    if aligned is None:
        return None
    truth = points_from_depth(sample.depth, sample.intrinsics)
    known = np.isfinite(sample.depth) & np.isfinite(aligned.points).all(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(aligned.points - truth, axis=-1) / np.linalg.norm(truth, axis=-1)
    colours = coloured(error, (0.0, WORST_ERROR), "inferno")
    return _cloud(name, sample, aligned.points, colours, known, pictures, scores), aligned.block


def _cloud(
    name: str,
    sample: MonocularSample,
    points: Array,
    colours: Array,
    known: Array,
    pictures: Mapping[str, Array] | None = None,
    scores: Mapping[str, str] | None = None,
) -> Cloud:
    """The known ones of the points (H, W, 3), thinned at random, the same way each time, where there are too many."""
    pixels = np.flatnonzero(known)
    kept = pixels
    if len(pixels) > MOST_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(pixels, MOST_POINTS, replace=False))
    angle = float(1 / (sample.intrinsics[0, 0] * known.shape[1]) * np.sqrt(len(pixels) / max(len(kept), 1)))
    places, seen = points.reshape(-1, 3)[kept], np.ascontiguousarray(colours.reshape(-1, 3)[kept])
    return Cloud(name, places, seen, len(pixels), angle, pictures or {}, scores or {})
