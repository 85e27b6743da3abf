"""Held-out views of an optimised probe: registered to its Gaussians, rendered, and where they can be judged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.core.scenes import Camera, View, nearest
from bench.probe.measure.metrics import photo_tensor
from bench.probe.measure.poses import intrinsics_tensor, pose_vectors, refine_test_pose
from bench.probe.measure.visibility import Visibility, visibility
from bench.probe.settings import ProbeSettings
from bench.probe.start import Start
from bench.splat import Gaussians, Rendering, pose_matrix, rasterize


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One held-out view, at the size of the photos.

    Attributes:
        view: The photo on the grid, with its truth.
        photo: (h, w, 3) float32 in [0, 1].
        camera: Registered to the Gaussians.
        rendering: What the Gaussians show there.
        visible: (h, w) bool.
        seen: The same on the grid, and how it was found.
    """

    view: View
    photo: Tensor
    camera: Camera
    rendering: Rendering
    visible: Tensor
    seen: Visibility


def held_out_views(start: Start, gaussians: Gaussians, settings: ProbeSettings) -> list[HeldOut]:
    """Every held-out view of a probe, its camera refined while the Gaussians stay (Feat2GS, section 4)."""
    scene, protocol = start.scene, settings.protocol
    height, width = scene.grid.train[0].image.shape[:2]
    threshold, masked = protocol.visibility_threshold, protocol.masked_visibility
    masks = visibility(start.fine, height, width, threshold, masked=masked)
    found = []
    for view, full, camera, seen in zip(
        scene.grid.test, scene.photos.test, start.photographed.test_cameras, masks, strict=True
    ):
        photo = photo_tensor(full, settings.device)
        visible = torch.from_numpy(nearest(seen.mask, camera.height, camera.width)).to(photo.device)
        refined = refine_test_pose(gaussians, camera, photo, visible, protocol, backend=settings.backend).camera
        found.append(HeldOut(view, photo, refined, rendered(gaussians, refined, settings), visible, seen))
    return found


def rendered(gaussians: Gaussians, camera: Camera, settings: ProbeSettings) -> Rendering:
    """What a camera of the probe's frame sees of the Gaussians, without gradients."""
    pose: Tensor = pose_vectors([camera], settings.device)[0]
    with torch.inference_mode():
        return rasterize(
            gaussians,
            pose_matrix(pose[:4], pose[4:]),
            intrinsics_tensor(camera, settings.device),
            camera.width,
            camera.height,
            backend=settings.backend,
            alpha_max=settings.protocol.alpha_max,
        )
