"""Ways of a camera through a scene, from the cameras that its photos were taken with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from bench.core.scenes import Array, Camera, rigid_inverse
from bench.splat.gaussians import Gaussians, SplatError
from bench.splat.visibility import seen_by

_STANDING = 1e-6  #: cameras whose places spread by less than this share of the distance to what they see stand in one place


def interpolated(cameras: Sequence[Camera], count: int) -> list[Camera]:
    """Cameras on the way from the first to the last of some, through all of them in their order.

    Between two neighbours the place is linear and the rotation turns at one speed about one axis; intrinsics are linear.
    Every stretch takes the same time.

    Args:
        cameras: At least two.
        count: Of the cameras to give, at least two: the first and the last of `cameras` are the first and the last of them.

    Returns:
        `count` cameras with the picture size of the first.

    Raises:
        SplatError: For fewer than two of either.
    """
    if min(len(cameras), count) < 2:
        raise SplatError(f"a way between cameras takes two of them and two pictures; there are {len(cameras)} and {count}")
    first = cameras[0]
    cameras = [camera.resized(first.width, first.height) for camera in cameras]
    stops, times = np.arange(len(cameras)), np.linspace(0, len(cameras) - 1, count)
    poses = np.stack([camera.camera_to_world for camera in cameras])
    turned = Slerp(stops, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
    places = _between(stops, times, poses[:, :3, 3])
    intrinsics = _between(stops, times, np.stack([camera.intrinsics for camera in cameras]))
    return [
        Camera(own, _world_to_camera(rotation, place), first.width, first.height)
        for own, rotation, place in zip(intrinsics, turned, places, strict=True)
    ]


def orbit(cameras: Sequence[Camera], target: Array, count: int) -> list[Camera]:
    """Cameras on an ellipse about the middle of some, in the plane that their places span, all looking at one point.

    Its half-axes are sqrt(2) times the places' standard deviations along their two principal directions, as those of points
    spread evenly over an ellipse are. So cameras in a ring give their ring, and cameras in front of a scene a small turn in
    front of it: nothing is shown from where no photo was taken.

    Args:
        cameras: At least two, at different places.
        target: (3,) world, what is looked at.
        count: Of the cameras to give; one step further is the first again.

    Returns:
        `count` cameras with the intrinsics and the picture size of the first, upright as the given ones are on average. The
        first is where the ellipse is nearest in angle to the first of `cameras`.

    Raises:
        SplatError: Where they stand in one place.
    """
    poses = np.stack([camera.camera_to_world for camera in cameras])
    middle = poses[:, :3, 3].mean(axis=0)
    offsets = poses[:, :3, 3] - middle
    _, spread, axes = np.linalg.svd(offsets, full_matrices=len(cameras) < 3)
    spread = np.sqrt(2 / len(cameras)) * np.append(spread, np.zeros(2))[:2]
    if spread[0] <= _STANDING * np.linalg.norm(target - middle):
        raise SplatError("the cameras stand in one place: there is no way around what they see")
    if spread[1] <= _STANDING * spread[0]:
        spread[1] = 0
    along = offsets[0] @ axes[:2].T
    start = np.arctan2(along[1] / spread[1] if spread[1] else 0.0, along[0] / spread[0])
    angles = start + 2 * np.pi * np.arange(count) / count
    places = middle + np.stack([np.cos(angles), np.sin(angles)], axis=1) * spread @ axes[:2]
    down = poses[:, :3, 1].mean(axis=0)
    first = cameras[0]
    return [
        Camera(first.intrinsics, _world_to_camera(_looking(target - place, down), place), first.width, first.height)
        for place in places
    ]


def looked_at(gaussians: Gaussians, cameras: Sequence[Camera]) -> Array:
    """(3,) the point that cameras look at, in the world of the Gaussians.

    Each camera's point lies on its axis, at the median depth of what the middle of its picture shows; this is their mean.

    Raises:
        SplatError: Where none sees a Gaussian there.
    """
    found = []
    for camera in cameras:
        depth = seen_by(gaussians, camera).expected_depth.detach().cpu().numpy()
        height, width = depth.shape
        middle = depth[height // 4 : height - height // 4, width // 4 : width - width // 4]
        if np.isfinite(middle).any():
            found.append(camera.centre + camera.camera_to_world[:3, 2] * np.nanmedian(middle))
    if not found:
        raise SplatError("no camera sees a Gaussian in the middle of its picture: there is nothing to turn around")
    return np.mean(found, axis=0)


def _between(stops: Array, times: Array, values: Array) -> Array:
    """Linear interpolation of values (n, ...) at the stops (n,) to the times (m,): (m, ...)."""
    low = np.minimum(times.astype(int), len(stops) - 2)
    share = (times - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[low + 1] * share


def _looking(ahead: Array, down: Array) -> Array:
    """(3, 3) the rotation to the world of a camera that looks ahead with its picture's lower edge as far down as it goes."""
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(down, ahead)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead], axis=1)


def _world_to_camera(rotation: Array, place: Array) -> Array:
    """(4, 4) from a camera's rotation to the world (3, 3) and its place (3,)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, place
    return rigid_inverse(pose)
