"""One probe, from features and a point map to numbers and pictures: prepare, optimise, measure, draw.

Source: Feat2GS (arXiv:2412.09606), and its official code where the paper is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.cells import Measurement
from bench.core.errors import UserError
from bench.core.scenes import Array, Initialisation
from bench.probe.features.map import FeatureMap
from bench.probe.measure import metrics
from bench.probe.measure.held_out import HeldOut, held_out_views, rendered
from bench.probe.measure.pictures import feature_pictures, to_bytes, view_pictures
from bench.probe.measure.poses import posed
from bench.probe.measure.viewpoints import viewpoint_gaps
from bench.probe.optimise import Diverged, Optimised, optimise
from bench.probe.parameters import activated
from bench.probe.settings import ProbeSettings
from bench.probe.start import Start, prepare
from bench.probe.views import ProbeScene
from bench.splat import Gaussians


@dataclass(frozen=True, eq=False)
class ProbeOutcome:
    """What a probe gives.

    Attributes:
        measurements: The rows.
        pictures: (h, w, 3) uint8 by name (bench.probe.measure.pictures).
        gaussians: In the initialiser's world.
        curve: (iteration, training PSNR in dB) over the rendering stage; empty where it diverged.
    """

    measurements: tuple[Measurement, ...]
    pictures: Mapping[str, Array]
    gaussians: Gaussians
    curve: tuple[tuple[int, float], ...]


def run_probe(
    scene: ProbeScene,
    initialisation: Initialisation,
    features: FeatureMap | None,
    settings: ProbeSettings,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeOutcome:
    """Train one probe on a scene and measure it.

    The same arguments give the same numbers on the same machine. A probe that diverges is measured as invalid, with the
    reason.

    Args:
        scene: In its three sizes; Gaussians stand on the grid, photos are what is rendered and compared.
        initialisation: Of the same views, on the grid or finer; Gaussians start at the nearest pixel's point.
        features: Of the training photos; None for `instantsplat`.
        settings: Mode, protocol, seed, device.
        progress: Called with (iterations done, iterations in all).

    Raises:
        UserError: For features that are missing, not finite or of another grid, views that do not match, and an empty point
            map.
    """
    start = prepare(scene, initialisation, features, settings)
    try:
        optimised = optimise(start.parameters(settings), start.views, settings, progress)
    except Diverged as error:
        lost = metrics.diverged_measurements(scene.grid, f"the probe diverged at {error}")
        unchanged = start.frame.leave(activated(start.initial))
        return ProbeOutcome((*measure_start(start), *lost), draw_features(start), unchanged, ())
    gaussians = optimised.gaussians.detach()
    views = held_out_views(start, gaussians, settings)
    return ProbeOutcome(
        measurements=(*measure_start(start), *measure(start, optimised, views, settings)),
        pictures={**draw(start, optimised, views, settings), **draw_features(start)},
        gaussians=start.frame.leave(gaussians),
        curve=optimised.curve,
    )


def measure_start(start: Start) -> list[Measurement]:
    """What is known before anything is optimised: the number of Gaussians, the errors of the training cameras, and how far
    the held-out views lie from them."""
    grid, found = start.scene.grid, start.photographed
    points = np.stack(found.points).reshape(-1, 3)[start.pixels]
    return [
        metrics.measured(metrics.COUNT, float(len(start.pixels))),
        *metrics.pose_measurements(grid.train, found.cameras, metrics.INITIAL),
        *metrics.viewpoint_measurements(grid.test, viewpoint_gaps(found.test_cameras, found.cameras, points)),
    ]


def measure(start: Start, optimised: Optimised, views: Sequence[HeldOut], settings: ProbeSettings) -> list[Measurement]:
    """The rows of an optimised probe: training photos and cameras, positions against the truth, held-out photos."""
    gaussians = optimised.gaussians.detach()
    cameras = [posed(camera, pose) for camera, pose in zip(start.photographed.cameras, optimised.poses, strict=True)]
    rows = [
        metrics.training_psnr([rendered(gaussians, camera, settings).rgb for camera in cameras], start.views.photos),
        *metrics.pose_measurements(start.scene.grid.train, cameras, metrics.REFINED),
    ]
    truth = metrics.true_points(start.scene.grid.train, start.pixels)
    if truth is not None:
        positions = optimised.values["position"].cpu().numpy()
        rows += metrics.cloud_measurements(positions, truth, start.scene.grid.unit)
    for each in views:
        render = metrics.quantised(each.rendering.rgb)
        rows += metrics.view_measurements(each.view.name, render, each.photo, each.visible, each.seen.note)
    return rows


def draw(start: Start, optimised: Optimised, views: Sequence[HeldOut], settings: ProbeSettings) -> dict[str, Array]:
    """The pictures of the held-out views, on the grid, as the truth is."""
    gaussians, scale = optimised.gaussians.detach(), _depth_scale(start, optimised)
    pictures: dict[str, Array] = {}
    for each in views:
        camera, rendering = each.camera, each.rendering
        height, width = each.seen.mask.shape
        if (height, width) != (camera.height, camera.width):
            camera = camera.resized(width, height)
            rendering = rendered(gaussians, camera, settings)
        rgb, alpha = to_bytes(rendering.rgb), rendering.alpha.cpu().numpy()
        depth = rendering.expected_depth.cpu().numpy() * scale
        pictures |= view_pictures(each.view, camera, rgb, depth, alpha, each.seen.mask)
    return pictures


def draw_features(start: Start) -> dict[str, Array]:
    """The pictures of the features of the training photos; none where there are none."""
    return {} if start.features is None else feature_pictures(start.features, start.scene.grid.train)


def _depth_scale(start: Start, optimised: Optimised) -> float:
    """From the probe's unit to the truth's: the similarity's where there is one, else the frame's."""
    truth = metrics.true_points(start.scene.grid.train, start.pixels)
    if truth is None:
        return start.frame.length
    try:
        return metrics.cloud_alignment(optimised.values["position"].cpu().numpy(), truth).scale
    except UserError:
        return start.frame.length
