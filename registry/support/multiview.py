"""Networks that see all photos of a scene at once: what each says, brought to the suite's conventions once for its roles.

A package has one module in registry/networks/multiview, with the conventions that it needs: how photos are resized and
normalised, which way its poses point, where its pixels' centres are, what its confidence means. The roles, an estimator of
one photo and an initialiser of a probe, are then the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from bench.core.scenes import nearest
from bench.types import Array, Camera
from registry.support.packages import LibraryModel
from registry.support.reconstruction import Estimate

_LEAST_DEPTH = 1e-6


@dataclass(frozen=True, eq=False)
class Views:
    """What a network says of N photos of one size.

    Attributes:
        points: (N, H, W, 3) float32, each view's surface in its own camera (OpenCV axes: x right, y down, z forward).
        intrinsics: (N, 3, 3) float64, in pixels; the centre of the first pixel is (0.5, 0.5).
        world_to_camera: (N, 4, 4) float64, rigid, in a world of the network's choice and the points' unit.
        placed: (N, H, W) bool, where a Gaussian may be placed.
        surface: (N, H, W) bool, False where the network sees none (sky); None where it does not tell.
    """

    points: Array
    intrinsics: Array
    world_to_camera: Array
    placed: Array
    surface: Array | None = None

    @property
    def depth(self) -> Array:
        """(N, H, W) the z coordinate in each view's camera."""
        return self.points[..., 2]

    def at(self, height: int, width: int) -> Views:
        """The same for photos of another size.

        The inverse depth is interpolated bilinearly, which keeps planes plane, and so is how far points stray from the rays
        of their pixels; masks are the nearest pixel's.
        """
        rows, columns = self.points.shape[1:3]
        intrinsics = np.diag([width / columns, height / rows, 1.0]) @ self.intrinsics
        depth = np.maximum(self.depth, _LEAST_DEPTH)
        stray = self.points[..., :2] / depth[..., None] - _slopes(rows, columns, self.intrinsics)
        found = _bilinear(np.concatenate([stray, 1 / depth[..., None]], axis=-1), height, width)
        z = 1 / found[..., 2:]
        points = np.concatenate([(found[..., :2] + _slopes(height, width, intrinsics)) * z, z], axis=-1)
        surface = None if self.surface is None else _nearest(self.surface, height, width)
        return Views(points, intrinsics, self.world_to_camera, _nearest(self.placed, height, width), surface)

    def estimate(self) -> Estimate:
        """Cameras, depth and masks, as initialisers give them: a Gaussian wherever one may be placed at a positive depth."""
        height, width = self.points.shape[1:3]
        poses = zip(self.intrinsics, self.world_to_camera, strict=True)
        placed = self.placed & np.isfinite(self.points).all(axis=-1) & (self.depth > _LEAST_DEPTH)
        return Estimate(
            tuple(Camera(intrinsics, pose, width, height) for intrinsics, pose in poses), tuple(self.depth), tuple(placed)
        )


class MultiviewNetwork(LibraryModel):
    """A network that sees photos together. A subclass gives `card`, `needs`, `load` and `views`.

    Attributes:
        metric: Whether its lengths are in metres.
    """

    random_weights = False
    metric: ClassVar[bool] = False

    def views(self, images: Sequence[Array]) -> Views:
        """What the network says of photos (H, W, 3) uint8, all of one size; the answer is at a size of its own."""
        raise NotImplementedError(f"{type(self).__name__} must implement views(images)")


def from_depth(
    depth: Array, intrinsics: Array, world_to_camera: Array, placed: Array, surface: Array | None = None
) -> Views:
    """The views of a network that gives depth (N, h, w) and cameras; the rest as `Views` has it, at that size."""
    height, width = depth.shape[1:]
    slopes = _slopes(height, width, intrinsics)
    points = np.concatenate([slopes * depth[..., None], depth[..., None]], axis=-1).astype(np.float32)
    return Views(points, intrinsics, world_to_camera, placed, surface)


def centred_intrinsics(points: Array) -> Array:
    """The pinhole cameras that fit point maps best, with the principal point at the picture's centre.

    Along each axis the focal length that brings the points nearest to their pixels, in least squares.

    Args:
        points: (N, h, w, 3), in each view's camera. Points that are not finite or not in front of it do not count.

    Returns:
        (N, 3, 3) float64, in pixels; the centre of the first pixel is (0.5, 0.5).
    """
    count, height, width = points.shape[:3]
    usable = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
    seen = np.where(usable[..., None], points, [0.0, 0.0, 1.0])
    seen = seen[..., :2] / seen[..., 2:]
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1) - [width / 2, height / 2]
    found = np.tile(np.eye(3), (count, 1, 1))
    found[:, [0, 1], [0, 1]] = (seen * pixels).sum(axis=(1, 2)) / (seen**2).sum(axis=(1, 2))
    found[:, :2, 2] = width / 2, height / 2
    return found


def inverse_poses(poses: Array) -> Array:
    """(N, 4, 4) float64: rigid poses (N, 3 or 4, 4), camera to world, the other way round."""
    rotation = poses[:, :3, :3].astype(np.float64).transpose(0, 2, 1)
    return whole_poses(np.concatenate([rotation, -rotation @ poses[:, :3, 3:]], axis=-1))


def whole_poses(poses: Array) -> Array:
    """(N, 4, 4) float64: poses (N, 3 or 4, 4) with their last row."""
    whole = np.tile(np.eye(4), (len(poses), 1, 1))
    whole[:, :3] = poses[:, :3]
    return whole


def _slopes(height: int, width: int, intrinsics: Array) -> Array:
    """(N, height, width, 2): x / z and y / z of the rays through the pixels' centres."""
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    focals = intrinsics[:, [0, 1], [0, 1]]
    slopes: Array = (pixels - intrinsics[:, None, None, :2, 2]) / focals[:, None, None]
    return slopes


def _bilinear(maps: Array, height: int, width: int) -> Array:
    """(N, height, width, C) of maps (N, h, w, C), float32."""
    values = torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32))
    found: Array = F.interpolate(values, (height, width), mode="bilinear").permute(0, 2, 3, 1).numpy()
    return found


def _nearest(masks: Array, height: int, width: int) -> Array:
    """(N, height, width) bool of masks (N, h, w)."""
    return np.stack([nearest(mask, height, width) for mask in masks])
