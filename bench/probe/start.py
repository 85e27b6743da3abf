"""The first stage of a probe: scene, point map and features become Gaussians, cameras and photos in the probe's frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.scenes import Array, Initialisation
from bench.probe.features.map import FeatureMap
from bench.probe.frame import UnitFrame, on_grid, unit_frame, with_images_of
from bench.probe.measure.metrics import photo_tensor
from bench.probe.measure.poses import intrinsics_tensor, pose_vectors, scene_extent
from bench.probe.modes import Mode
from bench.probe.optimise import TrainingViews
from bench.probe.parameters import Parameters, initial_values
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene, one_size


@dataclass(frozen=True, eq=False)
class Start:
    """What a probe is optimised from.

    Attributes:
        scene: In its three sizes.
        frame: From the initialiser's world into the probe's.
        fine: The initialisation in the probe's frame, at the resolution that it came in; cameras as the initialiser gave
            them.
        photographed: The initialisation in the probe's frame on the grid, its cameras those of `scene.photos`.
        pixels: (N,) ascending flat indices into (training views, h, w) of the grid: where Gaussians stand.
        initial: First raw values of the Gaussians, attribute -> (N, channels).
        features: Of the training photos, on the device; None where the mode reads none and none were given.
        views: The training photos and their cameras.
    """

    scene: ProbeScene
    frame: UnitFrame
    fine: Initialisation
    photographed: Initialisation
    pixels: Array
    initial: Mapping[str, Tensor]
    features: FeatureMap | None
    views: TrainingViews

    def parameters(self, settings: ProbeSettings) -> Parameters:
        """What is optimised: a readout with its seed's first weights, and the free attributes."""
        pixels = torch.from_numpy(self.pixels).to(settings.device)
        precision = settings.protocol.precision
        return Parameters(settings.mode, self.initial, self.features, pixels, settings.seed, precision)


def prepare(
    scene: ProbeScene, initialisation: Initialisation, features: FeatureMap | None, settings: ProbeSettings
) -> Start:
    """Where the Gaussians of a probe start; arguments as for `bench.probe.probe.run_probe`.

    Raises:
        UserError: For features that are missing, not finite or of another grid, views that do not match, and an empty point
            map.
    """
    height, width = _check(scene, initialisation, features, settings.mode)
    photo_height, photo_width = one_size(scene.photos)
    device = settings.device
    frame = unit_frame(initialisation)
    fine = frame.enter(initialisation)
    gridded = on_grid(fine, height, width)
    pixels = np.flatnonzero(np.stack(gridded.masks))
    colours = np.stack([view.image for view in scene.grid.train]).reshape(-1, 3)[pixels] / 255
    points = np.stack(gridded.points).reshape(-1, 3)[pixels].astype(np.float64)
    initial = initial_values(points, colours, settings.protocol.opacity_initial, device)
    if fine.position_noise:
        noise = torch.randn(initial["position"].shape, generator=torch.Generator().manual_seed(settings.seed))
        initial["position"] += fine.position_noise * noise.to(device)
    photographed = with_images_of(gridded, photo_height, photo_width)
    views = TrainingViews(
        torch.stack([photo_tensor(view, device) for view in scene.photos.train]),
        torch.stack([intrinsics_tensor(camera, device) for camera in photographed.cameras]),
        pose_vectors(photographed.cameras, device),
        scene_extent(photographed.cameras),
    )
    if features is not None:
        features = features.to(device)
        if settings.protocol.feature_deviation is not None:
            features = features.with_deviation(settings.protocol.feature_deviation)
    return Start(scene, frame, fine, photographed, pixels, initial, features, views)


def _check(scene: ProbeScene, initialisation: Initialisation, features: FeatureMap | None, mode: Mode) -> tuple[int, int]:
    """The grid (height, width). Raises UserError as `prepare` says."""
    grid = scene.grid
    where = f"{grid.dataset}/{grid.name}"
    height, width = one_size(grid)
    counts = {
        "training views": (len(grid.train), len(initialisation.points), len(initialisation.cameras)),
        "held-out views": (len(grid.test), len(initialisation.test_cameras), len(initialisation.test_depths)),
    }
    for what, numbers in counts.items():
        if len(set(numbers)) != 1 or numbers[0] == 0:
            raise UserError(f"{where}: {numbers[0]} {what}, but the initialisation holds {numbers[1]} and {numbers[2]}")
    if features is None and mode.needs_feature:
        raise UserError(f"{where}: mode {mode.name} reads a feature and none was given")
    if features is not None and mode.needs_feature:
        expected = (len(grid.train), height, width)
        if (len(features.values), features.height, features.width) != expected:
            got = (len(features.values), features.height, features.width)
            raise UserError(f"{where}: the features are of (views, height, width) {got}, the photos of {expected}")
        broken = features.values.numel() - int(features.values.isfinite().sum())
        if broken:
            raise UserError(
                f"{where}: the feature holds {broken} values that are NaN or infinite, of {features.values.numel()}"
            )
    return height, width
