"""The document of Gaussians: which of them are kept, and what that loses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from bench.core.scenes import Camera, MultiViewScene
from bench.metrics.image import psnr
from bench.report.viewer.document import Kind, document
from bench.report.viewer.nodes import Shown, cameras_of
from bench.splat import Gaussians, most_visible, seen_by

MOST_SPLATS = 100_000  #: of a model in a page: 3.4 MB of it, beside 0.8 MB of viewer
SPLATS = Kind("Gaussians", ("render", "depth", "normal"), "splats.html.j2")


def page(models: Sequence[Shown], scene: MultiViewScene, budget: int, conditions: str, marks: Sequence[str] = ()) -> str:
    """The document (bench.report.viewer.document.document).

    Args:
        models: One to four.
        scene: The views, in the world of the models.
        budget: How many Gaussians of a model are kept at most, the most visible ones in the views.
        conditions: What the models share: the title. Each pane says how many Gaussians are kept and what that costs: the
            PSNR of what the cameras see of the kept ones, in colours without view dependence, against what they see of the
            model.
        marks: Of the conditions.
    """
    cameras = cameras_of(scene)
    kept = [replace(model, gaussians=most_visible(_plain(model.gaussians), cameras, budget)) for model in models]
    losses = [_loss(model.gaussians, less.gaussians, cameras) for model, less in zip(models, kept, strict=True)]
    remarks = [f" ({loss})" for loss in losses]
    return document(kept, remarks, scene, SPLATS, conditions, marks, count=len(cameras))


def _plain(gaussians: Gaussians) -> Gaussians:
    """The same in colours without view dependence, which is what the page draws."""
    return replace(gaussians, spherical_harmonics=gaussians.spherical_harmonics[:, :1])


def _loss(whole: Gaussians, less: Gaussians, cameras: Sequence[Camera]) -> str:
    """What is said of the difference: PSNR over all cameras' pictures."""
    with torch.inference_mode():
        pictures = [torch.stack([seen_by(each, camera).rgb.clamp(0, 1) for camera in cameras]) for each in (whole, less)]
    found = psnr(pictures[1], pictures[0])
    return "no loss" if math.isinf(found) else f"{found:.1f} dB PSNR"
