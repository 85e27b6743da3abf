"""Camera poses of a probe: as numbers to optimise, refined for held-out views, and compared with the truth.

Source: Feat2GS (arXiv:2412.09606), section 4 and supplement, and its official code where the paper is silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.protocols import ProbeProtocol
from bench.core.scenes import Array, Camera
from bench.metrics.relative_pose import auc, pair_errors, rotation_angle
from bench.metrics.similarity import Similarity
from bench.splat import Gaussians, matrix_to_quaternion, pose_matrix, rasterize
from bench.splat.render import Backend


def pose_vectors(cameras: Sequence[Camera], device: torch.device) -> Tensor:
    """(V, 7) float32: world-to-camera unit quaternion w x y z, then translation."""
    matrices = [torch.from_numpy(np.asarray(camera.world_to_camera, np.float64)) for camera in cameras]
    vectors = [torch.cat([matrix_to_quaternion(matrix), matrix[:3, 3]]) for matrix in matrices]
    return torch.stack(vectors).float().to(device)


def posed(camera: Camera, pose: Tensor) -> Camera:
    """The camera with the pose (7,) in place of its own."""
    matrix = pose_matrix(pose[:4].double(), pose[4:].double())
    return replace(camera, world_to_camera=matrix.detach().cpu().numpy())


def intrinsics_tensor(camera: Camera, device: torch.device) -> Tensor:
    """(3, 3) float32."""
    return torch.from_numpy(np.asarray(camera.intrinsics, np.float32)).to(device)


def scene_extent(cameras: Sequence[Camera]) -> float:
    """1.1 times the largest distance of a camera centre from their mean (3D Gaussian splatting's)."""
    centres = np.stack([camera.centre for camera in cameras])
    return float(1.1 * np.linalg.norm(centres - centres.mean(axis=0), axis=1).max())


@dataclass(frozen=True, eq=False)
class RefinedPose:
    """camera: with the pose of the lowest loss. losses: (steps,) masked L1 at each step, before its update."""

    camera: Camera
    losses: Array


def refine_test_pose(
    gaussians: Gaussians, camera: Camera, photo: Tensor, mask: Tensor, protocol: ProbeProtocol, *, backend: Backend = "auto"
) -> RefinedPose:
    """The held-out camera that shows the frozen Gaussians most like the photo.

    photo: (h, w, 3) in [0, 1]; mask: (h, w) in {0, 1}, where the two are compared; both at the camera's size. Adam on the
    translation and the quaternion, the L1 of the masked pair averaged over all pixels. The pose of the lowest loss is kept:
    the one that was rendered, where the official code keeps the one that its gradient step leads to.
    """
    device = photo.device
    start = pose_vectors([camera], device)[0]
    quaternion, translation = nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone())
    optimiser = torch.optim.Adam(
        [
            {"params": [translation], "lr": protocol.test_pose_translation_rate},
            {"params": [quaternion], "lr": protocol.test_pose_rotation_rate},
        ]
    )
    frozen, intrinsics = gaussians.detach(), intrinsics_tensor(camera, device)
    target, weight = photo * mask[..., None], mask[..., None].to(photo.dtype)
    best, lowest = start, torch.full((), torch.inf, device=device)
    losses = []
    for _ in range(protocol.test_pose_steps):
        pose = torch.cat([quaternion, translation])
        rendering = rasterize(
            frozen,
            pose_matrix(quaternion, translation),
            intrinsics,
            camera.width,
            camera.height,
            backend=backend,
            alpha_max=protocol.alpha_max,
            check=device.type == "cpu",  # which waits for a GPU
        )
        loss = (rendering.rgb * weight - target).abs().mean()
        with torch.no_grad():
            better = loss < lowest
            best, lowest = torch.where(better, pose, best), torch.where(better, loss, lowest)
        losses.append(loss.detach())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    history = torch.stack(losses).cpu().numpy() if losses else np.zeros(0, np.float32)
    return RefinedPose(posed(camera, best), history)


# ------------------------------------------------------------------------------------------------- errors against the truth


def camera_alignment(estimated: Sequence[Camera], truth: Sequence[Camera]) -> Similarity:
    """The similarity from the estimated cameras' world into the true one, from the cameras alone.

    The rotation is the mean (in the chordal sense) of the views' relative rotations; scale and translation are the
    least-squares fit of the camera centres under it. That is defined from two views on, where centres alone leave a turn
    about their line free. The scale is not negative, and 1 where all the estimated centres fall together.
    """
    turns = sum(_to_world(true) @ _to_world(mine).T for mine, true in zip(estimated, truth, strict=True))
    left, _, right = np.linalg.svd(turns)
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    source = np.stack([camera.centre for camera in estimated]) @ rotation.T
    target = np.stack([camera.centre for camera in truth])
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    spread = ((source - source_mean) ** 2).sum()
    overlap = float(((source - source_mean) * (target - target_mean)).sum())
    scale = max(overlap, 0.0) / spread if spread > 0 else 1.0
    return Similarity(scale, rotation, target_mean - scale * source_mean)


def pose_errors(estimated: Sequence[Camera], truth: Sequence[Camera]) -> tuple[float, float]:
    """Mean errors of the cameras after `camera_alignment`: (rotation in degrees, translation as a share of the true scene
    extent).

    The translation error is NaN where the true cameras all stand in one place.
    """
    alignment = camera_alignment(estimated, truth)
    turned = [alignment.rotation @ _to_world(camera) for camera in estimated]
    angles = [rotation_angle(mine.T @ _to_world(true)) for mine, true in zip(turned, truth, strict=True)]
    centres = alignment.apply(np.stack([camera.centre for camera in estimated]))
    offsets = np.linalg.norm(centres - np.stack([camera.centre for camera in truth]), axis=1)
    extent = scene_extent(truth)
    return float(np.mean(angles)), float(np.mean(offsets) / extent) if extent > 0 else float("nan")


def relative_pose_auc(estimated: Sequence[Camera], truth: Sequence[Camera], degrees: Sequence[int]) -> list[float]:
    """The area under the curve of relative poses, over all pairs of views, up to each threshold; nothing is aligned."""
    poses = [np.stack([camera.world_to_camera for camera in cameras]) for cameras in (estimated, truth)]
    errors = pair_errors(*poses)
    return [auc(errors, threshold) for threshold in degrees]


def _to_world(camera: Camera) -> Array:
    return camera.world_to_camera[:3, :3].T
