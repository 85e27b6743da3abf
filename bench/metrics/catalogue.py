"""Every metric that a row may carry: its label, direction, unit and how tables print it. Defined once, used everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric's card.

    unit: as rows store it ("" for none, "scene" for the data set's own unit of length). kind: "2d" and "3d" are what the
    correlation matrices set against each other. factor and digits: how tables print a stored value.
    """

    name: str
    label: str
    track: Literal["probe", "geometry"]
    unit: str
    higher_is_better: bool | None
    kind: Literal["2d", "3d", "pose", "depth", "fov", "boundary", "other"]
    description: str
    factor: float = 1.0
    digits: int = 3
    bare_fraction: bool = False  #: printed as .7442, the way the papers print what lies in [0, 1]


CATALOGUE = (
    Metric("psnr", "PSNR", "probe", "dB", True, "2d", "peak signal-to-noise ratio of the masked held-out pair", digits=2),
    Metric(
        "ssim",
        "SSIM",
        "probe",
        "",
        True,
        "2d",
        "structural similarity, 11x11 Gaussian window, sigma 1.5",
        digits=4,
        bare_fraction=True,
    ),
    Metric(
        "lpips",
        "LPIPS",
        "probe",
        "",
        False,
        "2d",
        "LPIPS-VGG fed with [0, 1] images, as the paper does",
        digits=4,
        bare_fraction=True,
    ),
    Metric(
        "lpips_rescaled",
        "LPIPS [-1,1]",
        "probe",
        "",
        False,
        "2d",
        "LPIPS-VGG fed with [-1, 1] images, as it was trained",
        digits=4,
        bare_fraction=True,
    ),
    Metric(
        "haarpsi",
        "HaarPSI",
        "probe",
        "",
        True,
        "2d",
        "Haar wavelet perceptual similarity; needs no weights",
        digits=4,
        bare_fraction=True,
    ),
    Metric("accuracy", "Acc.", "probe", "scene", False, "3d", "mean nearest distance from Gaussian centres to ground truth"),
    Metric(
        "completeness", "Comp.", "probe", "scene", False, "3d", "mean nearest distance from ground truth to Gaussian centres"
    ),
    Metric(
        "distance", "Dist.", "probe", "scene", False, "3d", "mean distance of corresponding pairs after similarity alignment"
    ),
    Metric(
        "pose_rotation_error", "rotation", "probe", "degree", False, "pose", "mean angle between estimated and true cameras"
    ),
    Metric(
        "pose_translation_error",
        "translation",
        "probe",
        "extent",
        False,
        "pose",
        "mean camera offset over the scene's extent",
        digits=4,
    ),
    Metric("train_psnr", "training PSNR", "probe", "dB", True, "other", "PSNR of the training views", digits=2),
    Metric(
        "visible_share",
        "compared",
        "probe",
        "",
        None,
        "other",
        "share of a held-out view's pixels that is compared",
        digits=2,
    ),
    Metric("gaussians", "Gaussians", "probe", "", None, "other", "number of Gaussians", digits=0),
    Metric("rel", "Rel", "geometry", "share", False, "depth", "mean relative error", factor=100.0, digits=2),
    Metric("delta", "δ", "geometry", "share", True, "depth", "share of pixels within the threshold", factor=100.0, digits=1),
    Metric(
        "fov_x_error",
        "Mean",
        "geometry",
        "degree",
        False,
        "fov",
        "mean absolute error of the horizontal field of view",
        digits=2,
    ),
    Metric("fov_x_error_median", "Med.", "geometry", "degree", False, "fov", "median of the same", digits=2),
    Metric("fov_x_deviation", "Deviation", "geometry", "degree", None, "fov", "predicted less true field of view", digits=2),
    Metric("boundary_f1", "F1", "geometry", "share", True, "boundary", "F1 of relative depth jumps", factor=100.0, digits=1),
)
METRICS = {metric.name: metric for metric in CATALOGUE}
