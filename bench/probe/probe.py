"""One probe, from features and a point map to numbers and pictures: the Feat2GS track's entry point.

Source: Feat2GS (arXiv:2412.09606), and its official code where the paper is silent; PROTOCOLS and README restate it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.core.cells import Measurement
from bench.core.errors import UserError
from bench.core.protocols import ProbeProtocol
from bench.core.scenes import Array, Camera, Initialisation, MultiViewScene
from bench.probe.features.map import FeatureMap
from bench.probe.frame import UnitFrame, nearest, on_grid, unit_frame, with_images_of
from bench.probe.measure import metrics as evaluate
from bench.probe.measure.pictures import feature_pictures, to_bytes, view_pictures
from bench.probe.measure.poses import intrinsics_tensor, pose_vectors, posed, refine_test_pose, scene_extent
from bench.probe.measure.visibility import Visibility, visibility
from bench.probe.modes import Mode, mode_named
from bench.probe.optimise import Diverged, Optimised, TrainingViews, optimise, schedule_of
from bench.probe.parameters import Parameters, activated, initial_values
from bench.splat import Gaussians, Rendering, pose_matrix, rasterize
from bench.splat.render import Backend


@dataclass(frozen=True, eq=False)
class ProbeOutcome:
    """What a probe gives.

    pictures: (h, w, 3) uint8 by name (bench.probe.measure.pictures). gaussians: in the initialiser's world. curve:
    (iteration, training PSNR in dB) over the rendering stage; empty where it diverged.
    """

    measurements: tuple[Measurement, ...]
    pictures: Mapping[str, Array]
    gaussians: Gaussians
    curve: tuple[tuple[int, float], ...]


def run_probe(
    scene: MultiViewScene,
    initialisation: Initialisation,
    features: FeatureMap | None,
    mode: str,
    protocol: ProbeProtocol,
    *,
    seed: int,
    device: torch.device,
    per_pixel_prior: bool,
    backend: Backend = "auto",
    progress: Callable[[int, int], None] | None = None,
    photos: MultiViewScene | None = None,
) -> ProbeOutcome:
    """Train one probe on a scene and measure it.

    scene: on the probe's grid. photos: the same views at the size that they are rendered and compared at; None: the grid's.
    initialisation: of the same views, on the grid or finer; Gaussians start at the nearest pixel's point. features: of the
    training photos, None for `instantsplat`. per_pixel_prior: hold the scales near their initial values in the rendering
    stage, as for IUV and IUVRGB. progress: called with (iterations done, iterations in all).

    The same arguments give the same numbers on the same machine. A probe that diverges is measured as invalid, with the
    reason. Raises UserError for an unknown mode, features that are missing, not finite or of another grid, views that do not
    match, and an empty point map.
    """
    chosen = mode_named(mode)
    height, width = _check(scene, initialisation, features, chosen)
    frame = unit_frame(initialisation)
    fine = frame.enter(initialisation)
    start = on_grid(fine, height, width)
    pixels = np.flatnonzero(np.stack(start.masks))
    photos = photos or scene
    photo_height, photo_width = _one_size(photos)
    colours = np.stack([view.image for view in scene.train]).reshape(-1, 3)[pixels] / 255
    initial = initial_values(
        np.stack(start.points).reshape(-1, 3)[pixels].astype(np.float64),
        colours,
        protocol.opacity_initial,
        device,
    )
    if fine.position_noise:
        noise = torch.randn(initial["position"].shape, generator=torch.Generator().manual_seed(seed))
        initial["position"] += fine.position_noise * noise.to(device)
    if features is not None:
        features = FeatureMap(features.values.to(device), features.height, features.width, features.per_pixel)
    start = with_images_of(start, photo_height, photo_width)
    views = TrainingViews(
        torch.stack([evaluate.photo_tensor(view, device) for view in photos.train]),
        torch.stack([intrinsics_tensor(camera, device) for camera in start.cameras]),
        pose_vectors(start.cameras, device),
        scene_extent(start.cameras),
    )
    common = [
        evaluate.measured(evaluate.COUNT, float(len(pixels))),
        *evaluate.pose_measurements(scene.train, start.cameras, evaluate.INITIAL),
    ]
    pictures = {} if features is None else feature_pictures(features, scene.train)
    try:
        optimised = optimise(
            Parameters(chosen, initial, features, torch.from_numpy(pixels).to(device), seed, protocol.precision),
            initial,
            views,
            schedule_of(chosen, protocol),
            protocol,
            seed=seed,
            scale_prior=per_pixel_prior and chosen.needs_feature,
            backend=backend,
            progress=progress,
        )
    except Diverged as error:
        rows = evaluate.diverged_measurements(scene, f"the probe diverged at {error}")
        return ProbeOutcome((*common, *rows), pictures, frame.leave(activated(initial)), ())
    found = _Measured(scene, photos, start, optimised, pixels, protocol, backend)
    masks = visibility(fine, height, width, protocol.visibility_threshold)
    rows, drawn = found.everything(masks, frame)
    gaussians = frame.leave(optimised.gaussians.detach())
    return ProbeOutcome((*common, *rows), {**drawn, **pictures}, gaussians, optimised.curve)


@dataclass(frozen=True, eq=False)
class _Measured:
    """An optimised probe and what it is measured against. start: its cameras are those of the photos."""

    scene: MultiViewScene
    photos: MultiViewScene
    start: Initialisation
    optimised: Optimised
    pixels: Array
    protocol: ProbeProtocol
    backend: Backend

    def everything(self, masks: Sequence[Visibility], frame: UnitFrame) -> tuple[list[Measurement], dict[str, Array]]:
        rows = self._training()
        truth = evaluate.true_points(self.scene.train, self.pixels)
        depth_scale = frame.length
        if truth is not None:
            positions = self.optimised.values["position"].cpu().numpy()
            rows += evaluate.cloud_measurements(positions, truth, self.scene.unit)
            depth_scale = _scale(positions, truth, depth_scale)
        pictures: dict[str, Array] = {}
        gaussians = self.optimised.gaussians.detach()
        for view, full, camera, mask in zip(self.scene.test, self.photos.test, self.start.test_cameras, masks, strict=True):
            photo = evaluate.photo_tensor(full, gaussians.means.device)
            visible = torch.from_numpy(nearest(mask.mask, camera.height, camera.width)).to(photo.device)
            refined = refine_test_pose(gaussians, camera, photo, visible, self.protocol, backend=self.backend).camera
            rendering = self._render(gaussians, refined)
            rows += evaluate.view_measurements(view.name, evaluate.quantised(rendering.rgb), photo, visible, mask.note)
            height, width = mask.mask.shape
            if (height, width) != (refined.height, refined.width):  # pictures are on the grid, as the truth is
                refined = refined.resized(width, height)
                rendering = self._render(gaussians, refined)
            pictures |= view_pictures(
                view,
                refined,
                to_bytes(rendering.rgb),
                rendering.expected_depth.cpu().numpy(),
                rendering.alpha.cpu().numpy(),
                mask.mask,
                depth_scale,
            )
        return rows, pictures

    def _training(self) -> list[Measurement]:
        gaussians = self.optimised.gaussians.detach()
        cameras = [posed(camera, pose) for camera, pose in zip(self.start.cameras, self.optimised.poses, strict=True)]
        photos = torch.stack([evaluate.photo_tensor(view, gaussians.means.device) for view in self.photos.train])
        renders = [self._render(gaussians, camera).rgb for camera in cameras]
        return [
            evaluate.training_psnr(renders, photos),
            *evaluate.pose_measurements(self.scene.train, cameras, evaluate.REFINED),
        ]

    def _render(self, gaussians: Gaussians, camera: Camera) -> Rendering:
        device = gaussians.means.device
        pose: Tensor = pose_vectors([camera], device)[0]
        with torch.inference_mode():
            return rasterize(
                gaussians,
                pose_matrix(pose[:4], pose[4:]),
                intrinsics_tensor(camera, device),
                camera.width,
                camera.height,
                backend=self.backend,
                alpha_max=self.protocol.alpha_max,
            )


def _scale(positions: Array, truth: Array, fallback: float) -> float:
    """From the probe's unit to the truth's: the similarity's where there is one, else the frame's."""
    try:
        return evaluate.cloud_alignment(positions, truth).scale
    except UserError:
        return fallback


def _one_size(scene: MultiViewScene) -> tuple[int, int]:
    """(height, width) of the photos. Raises UserError where they differ."""
    sizes = {view.image.shape[:2] for view in scene.views}
    if len(sizes) != 1:
        raise UserError(
            f"{scene.dataset}/{scene.name}: the photos are of different sizes ({sorted(sizes)}); a probe needs one grid"
        )
    return sizes.pop()


def _check(
    scene: MultiViewScene, initialisation: Initialisation, features: FeatureMap | None, mode: Mode
) -> tuple[int, int]:
    """The grid (height, width). Raises UserError as `run_probe` says."""
    where = f"{scene.dataset}/{scene.name}"
    height, width = _one_size(scene)
    counts = {
        "training views": (len(scene.train), len(initialisation.points), len(initialisation.cameras)),
        "held-out views": (len(scene.test), len(initialisation.test_cameras), len(initialisation.test_depths)),
    }
    for what, numbers in counts.items():
        if len(set(numbers)) != 1 or numbers[0] == 0:
            raise UserError(f"{where}: {numbers[0]} {what}, but the initialisation holds {numbers[1]} and {numbers[2]}")
    if features is None and mode.needs_feature:
        raise UserError(f"{where}: mode {mode.name} reads a feature and none was given")
    if features is not None and mode.needs_feature:
        expected = (len(scene.train), height, width)
        if (len(features.values), features.height, features.width) != expected:
            got = (len(features.values), features.height, features.width)
            raise UserError(f"{where}: the features are of (views, height, width) {got}, the photos of {expected}")
        broken = features.values.numel() - int(features.values.isfinite().sum())
        if broken:
            raise UserError(
                f"{where}: the feature holds {broken} values that are NaN or infinite, of {features.values.numel()}"
            )
    return height, width
