"""A probe's numbers: held-out photos, positions against the truth, camera poses (Feat2GS, arXiv:2412.09606, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.core.cells import Measurement, collapsed_note
from bench.core.errors import Unavailable, UserError
from bench.core.scenes import Array, Camera, MultiViewScene, View
from bench.metrics import cloud, image
from bench.metrics.catalogue import METRICS, Metric
from bench.metrics.similarity import Similarity, umeyama
from bench.probe.measure.poses import pose_errors, relative_pose_auc
from bench.probe.measure.viewpoints import ViewpointGap

PSNR, SSIM, HAARPSI = METRICS["psnr"], METRICS["ssim"], METRICS["haarpsi"]
LPIPS, LPIPS_RESCALED = METRICS["lpips"], METRICS["lpips_rescaled"]
VISIBLE, TRAIN_PSNR, COUNT = METRICS["visible_share"], METRICS["train_psnr"], METRICS["gaussians"]
ACCURACY, COMPLETENESS, DISTANCE = METRICS["accuracy"], METRICS["completeness"], METRICS["distance"]
VIEW_ANGLE, VIEW_DISTANCE = METRICS["view_angle"], METRICS["view_distance"]
ROTATION_ERROR, TRANSLATION_ERROR = METRICS["pose_rotation_error"], METRICS["pose_translation_error"]

_CLOUD_METRICS: tuple[tuple[Metric, Callable[[Array, Array], float]], ...] = (
    (ACCURACY, cloud.accuracy),
    (COMPLETENESS, cloud.completeness),
    (DISTANCE, cloud.distance),
)
_ONE_PICTURE_METRICS = ((PSNR, image.psnr), (SSIM, image.ssim), (HAARPSI, image.haarpsi))
_PAIRED_METRICS = (PSNR, SSIM, HAARPSI, LPIPS, LPIPS_RESCALED)
_AUC_METRICS = {METRICS[f"pose_auc_{degrees}"]: degrees for degrees in (5, 15, 30)}
_POSE_METRICS = (ROTATION_ERROR, TRANSLATION_ERROR, *_AUC_METRICS)
ONE_COLOUR_SHARE = 0.95  #: of the visible pixels, in a collapsed render
INITIAL, REFINED, SIMILARITY = "initial", "refined", "similarity"  #: alignments


def measured(
    metric: Metric, value: float, *, view: str = "all", alignment: str = "-", note: str = "", unit: str | None = None
) -> Measurement:
    """The value, or an invalid row where it is not finite. unit: where it is the scene's, not the metric's."""
    if not math.isfinite(value):
        return gap(metric, "invalid", f"the value is {value}", view=view, alignment=alignment, unit=unit)
    shown = metric.unit if unit is None else unit
    return Measurement(metric.name, value, view, shown, metric.higher_is_better, alignment, "ok", note)


def gap(
    metric: Metric,
    status: Literal["unavailable", "invalid", "collapsed"],
    reason: str,
    *,
    view: str = "all",
    alignment: str = "-",
    unit: str | None = None,
) -> Measurement:
    """The row of a value that is not there."""
    shown = metric.unit if unit is None else unit
    return Measurement(metric.name, math.nan, view, shown, metric.higher_is_better, alignment, status, reason)


# ------------------------------------------------------------------------------------------------------- held-out photos


def view_measurements(view: str, render: Tensor, photo: Tensor, visible: Tensor, note: str = "") -> list[Measurement]:
    """The 2D metrics of one held-out view, render and photo both multiplied by the visibility mask.

    Where the visible render is of one colour and the photo is not, the probe has collapsed: then there are no values to
    compare with others, and the notes say what they would be.

    render, photo: (h, w, 3) in [0, 1]; visible: (h, w) bool; all on one device. note: how the mask was found.
    """
    rows = _view_measurements(view, render, photo, visible, note)
    if not visible.any() or not one_colour(render[visible]) or one_colour(photo[visible]):
        return rows
    return [_collapsed(row) if row.status == "ok" and row.metric != VISIBLE.name else row for row in rows]


def one_colour(pixels: Tensor) -> bool:
    """Whether ONE_COLOUR_SHARE of pixels (N, 3) in [0, 1] lie within two 8-bit levels of their median colour."""
    near = (pixels - pixels.median(dim=0).values).abs().amax(dim=1) <= 2.5 / 255
    return near.float().mean().item() >= ONE_COLOUR_SHARE


def _collapsed(row: Measurement) -> Measurement:
    note = "; ".join(filter(None, (collapsed_note(row.value), row.note)))
    return replace(row, value=math.nan, status="collapsed", note=note)


def _view_measurements(view: str, render: Tensor, photo: Tensor, visible: Tensor, note: str) -> list[Measurement]:
    share = visible.float().mean().item()
    rows = [measured(VISIBLE, share, view=view, note=note)]
    if share == 0:
        reason = "no pixel of this view shows what a training view shows"
        return rows + [gap(metric, "invalid", reason, view=view) for metric in _PAIRED_METRICS]
    mask = visible[..., None].to(photo.dtype)
    pair = render * mask, photo * mask
    for metric, function in _ONE_PICTURE_METRICS:
        try:
            rows.append(measured(metric, function(*pair), view=view, note=note))
        except ValueError as error:
            rows.append(gap(metric, "invalid", str(error), view=view))
    try:
        plain, rescaled = image.lpips(*pair)
    except Unavailable as error:
        rows += [gap(metric, "unavailable", str(error), view=view) for metric in (LPIPS, LPIPS_RESCALED)]
    except ValueError as error:
        rows += [gap(metric, "invalid", str(error), view=view) for metric in (LPIPS, LPIPS_RESCALED)]
    else:
        rows += [measured(LPIPS, plain, view=view, note=note), measured(LPIPS_RESCALED, rescaled, view=view, note=note)]
    return rows


def training_psnr(renders: Sequence[Tensor], photos: Tensor) -> Measurement:
    """Mean PSNR over the training views (V, h, w, 3), all pixels."""
    values = [image.psnr(render.clamp(0, 1), photo) for render, photo in zip(renders, photos, strict=True)]
    return measured(TRAIN_PSNR, float(np.mean(values)), view="train")


# ---------------------------------------------------------------------------------------------------------- 3D positions


def true_points(views: Sequence[View], pixels: Array) -> Array | None:
    """(N, 3) float64 ground-truth points at flat pixel indices (N,) into (views, h, w), NaN where unknown; None without
    depth."""
    if not any(view.depth is not None and view.camera is not None for view in views):
        return None
    points = [
        np.full((*view.image.shape[:2], 3), np.nan)
        if view.depth is None or view.camera is None
        else view.camera.unproject(np.where(np.isfinite(view.depth), view.depth, np.nan))
        for view in views
    ]
    return np.concatenate([each.reshape(-1, 3) for each in points])[pixels]


def cloud_alignment(positions: Array, truth: Array) -> Similarity:
    """The similarity from the probe's positions (N, 3) to the true points (N, 3), over the rows where the truth is known.

    Raises UserError where it is not defined: fewer than three such rows, or all on a line.
    """
    known = np.isfinite(truth).all(axis=1)
    return umeyama(np.asarray(positions, np.float64)[known], truth[known])


def cloud_measurements(positions: Array, truth: Array, unit: str) -> list[Measurement]:
    """Accuracy, completeness and distance in the truth's unit, after `cloud_alignment`."""
    try:
        alignment = cloud_alignment(positions, truth)
    except UserError as error:
        return [gap(metric, "invalid", str(error), alignment=SIMILARITY, unit=unit) for metric, _ in _CLOUD_METRICS]
    known = np.isfinite(truth).all(axis=1)
    aligned = alignment.apply(positions[known])
    return [
        measured(metric, function(aligned, truth[known]), alignment=SIMILARITY, unit=unit)
        for metric, function in _CLOUD_METRICS
    ]


# ----------------------------------------------------------------------------------------------------------- camera poses


def pose_measurements(views: Sequence[View], cameras: Sequence[Camera], alignment: str) -> list[Measurement]:
    """Mean pose error of the training cameras against the truth, and the AUC of their relative poses, where the truth is
    known for all of at least two.

    alignment: "initial" or "refined", whichever the cameras are.
    """
    truth = [view.camera for view in views if view.camera is not None]
    if len(truth) < len(views) or len(truth) < 2:
        return []
    errors = (*pose_errors(cameras, truth), *relative_pose_auc(cameras, truth, list(_AUC_METRICS.values())))
    return [
        measured(metric, error, view="train", alignment=alignment)
        for metric, error in zip(_POSE_METRICS, errors, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------------- viewpoints


def viewpoint_measurements(views: Sequence[View], gaps: Sequence[ViewpointGap]) -> list[Measurement]:
    """How far each held-out view lies from the training views, as the initialiser's cameras have it."""
    return [
        measured(metric, value, view=view.name)
        for view, found in zip(views, gaps, strict=True)
        for metric, value in ((VIEW_ANGLE, found.angle), (VIEW_DISTANCE, found.distance))
    ]


# ------------------------------------------------------------------------------------------------------------- divergence


def diverged_measurements(scene: MultiViewScene, reason: str) -> list[Measurement]:
    """The rows of a probe that did not converge to numbers: what it would have measured, each invalid with the reason."""
    rows = [gap(metric, "invalid", reason, view=view.name) for view in scene.test for metric in _PAIRED_METRICS]
    rows.append(gap(TRAIN_PSNR, "invalid", reason, view="train"))
    if true_points(scene.train, np.zeros(0, int)) is not None:
        rows += [gap(metric, "invalid", reason, alignment=SIMILARITY, unit=scene.unit) for metric, _ in _CLOUD_METRICS]
    if len(scene.train) > 1 and all(view.camera is not None for view in scene.train):
        rows += [gap(metric, "invalid", reason, view="train", alignment=REFINED) for metric in _POSE_METRICS]
    return rows


def quantised(picture: Tensor) -> Tensor:
    """The picture as an 8-bit file holds it, in [0, 1]: what the official code measures."""
    return (picture.clamp(0, 1) * 255).round() / 255


def photo_tensor(view: View, device: torch.device) -> Tensor:
    """(h, w, 3) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(view.image)).to(device).float() / 255
