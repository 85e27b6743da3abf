"""The data of the suite: cameras, views, scenes, samples, predictions.

Conventions, everywhere: OpenCV cameras (x right, y down, z forward); the centre of the pixel in column i and row j is
(i + 0.5, j + 0.5); images are (H, W, 3); depth is the z coordinate in the camera (not the distance along the ray), NaN
where it is unknown and +inf where there is only sky.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.text import listed

Array = NDArray[Any]


def nearest(layer: Array, height: int, width: int) -> Array:
    """(height, width, ...): the entry of (H, W, ...) under each target pixel's centre."""
    rows = ((np.arange(height) + 0.5) * layer.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * layer.shape[1] / width).astype(int)
    return layer[rows][:, columns]


def rigid_inverse(pose: Array) -> Array:
    """(4, 4) float64, the inverse of a rotation with a translation (4, 4)."""
    rotation, translation = pose[:3, :3], pose[:3, 3]
    inverse = np.eye(4)
    inverse[:3, :3] = rotation.T
    inverse[:3, 3] = -rotation.T @ translation
    return inverse


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    intrinsics: (3, 3) float64, in pixels, without skew. world_to_camera: (4, 4) float64, rigid. width, height: pixels.
    """

    intrinsics: Array
    world_to_camera: Array
    width: int
    height: int

    @property
    def camera_to_world(self) -> Array:
        """(4, 4) float64, the inverse of the rigid `world_to_camera`."""
        return rigid_inverse(self.world_to_camera)

    @property
    def centre(self) -> Array:
        """(3,) the camera's position in the world."""
        return self.camera_to_world[:3, 3]

    @property
    def fov_x(self) -> float:
        """Horizontal field of view in degrees."""
        left = math.atan2(self.intrinsics[0, 2], self.intrinsics[0, 0])
        right = math.atan2(self.width - self.intrinsics[0, 2], self.intrinsics[0, 0])
        return math.degrees(left + right)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera after its image is resampled to width x height pixels."""
        intrinsics = self.intrinsics.copy()
        intrinsics[0] *= width / self.width
        intrinsics[1] *= height / self.height
        return replace(self, intrinsics=intrinsics, width=width, height=height)

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The same camera after its image is cut to the window of width x height pixels at (left, top)."""
        intrinsics = self.intrinsics.copy()
        intrinsics[0, 2] -= left
        intrinsics[1, 2] -= top
        return replace(self, intrinsics=intrinsics, width=width, height=height)

    def unproject(self, depth: Array) -> Array:
        """World points (H, W, 3) of a depth map (H, W); NaN and inf are carried through."""
        columns, rows = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        x = (columns - self.intrinsics[0, 2]) / self.intrinsics[0, 0]
        y = (rows - self.intrinsics[1, 2]) / self.intrinsics[1, 1]
        with np.errstate(invalid="ignore"):
            points = np.stack([x, y, np.ones_like(x)], axis=-1) * np.asarray(depth, np.float64)[..., None]
            pose = self.camera_to_world
            return points @ pose[:3, :3].T + pose[:3, 3]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixel coordinates (..., 2) and depths (...) of world points (..., 3)."""
        local = points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]
        depth = local[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = self.intrinsics[0, 0] * local[..., 0] / depth + self.intrinsics[0, 2]
            y = self.intrinsics[1, 1] * local[..., 1] / depth + self.intrinsics[1, 2]
        return np.stack([x, y], axis=-1), depth


@dataclass(frozen=True, eq=False)
class View:
    """A posed photo.

    image: (H, W, 3) uint8, sRGB. camera: None where no pose is known. depth: (H, W) float32 ground truth, in the scene's
    unit. normal: (H, W, 3) float32 unit ground-truth normals in the camera frame, facing the camera, NaN where unknown.
    mask: (H, W) bool, True on the object.
    """

    name: str
    image: Array
    camera: Camera | None = None
    depth: Array | None = None
    normal: Array | None = None
    mask: Array | None = None


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """A sparse reconstruction: points (N, 3) float64 world, colours (N, 3) uint8, and, where it is known, which views
    see each point: visible[name] is an int array of indices into `points`."""

    points: Array
    colours: Array
    visible: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SceneSource:
    """How a scene stood on disk and what its reader made of it: for people and notes, nothing is computed from it.

    Attributes:
        format: The format, e.g. "COLMAP (binary, sparse/0)".
        photos: How many photos can be used, the split's and the others.
        left_out: Photos and frames that cannot be used: name -> reason.
        unused: Known fields and files of the format that nothing is made of.
    """

    format: str
    photos: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What a row should say: which photos were left out, and why the first one was; "" where none was."""
        if not self.left_out:
            return ""
        name, reason = next(iter(self.left_out.items()))
        count = len(self.left_out)
        return f"{count} of {count + self.photos} photos left out: {listed(list(self.left_out), 3)} ({name}: {reason})"


@dataclass(frozen=True, eq=False)
class MultiViewScene:
    """A scene of the probe track: training views, held-out views, and what else is known of it.

    unit: the unit of lengths ("millimetre", "metre", "scene"). The ground-truth depth is in the views. source: None where
    the scene is not read from files.
    """

    dataset: str
    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    sparse: SparsePoints | None = None
    unit: str = "scene"
    source: SceneSource | None = None

    @property
    def views(self) -> tuple[View, ...]:
        return self.train + self.test


@dataclass(frozen=True, eq=False)
class MonocularSample:
    """A sample of the geometry track.

    image: (H, W, 3) uint8. depth: (H, W) float32, NaN unknown, +inf sky; metres where `metric`. intrinsics: (3, 3)
    float64, *normalised*: image width = height = 1. segmentation: (H, W) int32 labels, 0 = none; labels: label -> name.
    """

    dataset: str
    name: str
    image: Array
    depth: Array
    intrinsics: Array
    segmentation: Array | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    metric: bool = True
    sharp_boundaries: bool = False


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a geometry estimator says of one photo; every field is optional, a field names its own invariance.

    points_*: (H, W, 3) camera coordinates. depth_*, disparity_*: (H, W). normal: (H, W, 3) directions in the camera that
    face it. intrinsics: (3, 3) normalised. mask: (H, W) bool, False where the estimator sees no surface (sky).
    """

    points_metric: Array | None = None
    points_scale_invariant: Array | None = None
    points_affine_invariant: Array | None = None
    depth_metric: Array | None = None
    depth_scale_invariant: Array | None = None
    depth_affine_invariant: Array | None = None
    disparity_affine_invariant: Array | None = None
    normal: Array | None = None
    intrinsics: Array | None = None
    mask: Array | None = None


@dataclass(frozen=True, eq=False)
class Initialisation:
    """What a point-map initialiser gives the probe, all in one world frame, the point map's.

    points: per training view (H, W, 3) float32 at the resolution of that view's image. masks: per training view (H, W)
    bool, where a Gaussian is placed. cameras, test_cameras: of the training and held-out views. test_depths: per held-out
    view (H, W) float32 or None, what the visibility mask is computed from.
    unit: the length in this world that the probe's rates take for 1, where the initialiser is one that they were chosen for;
    None: found from the points (bench.probe.frame). position_noise: standard deviation, in this world, of the noise that is
    added to each coordinate of the Gaussians' first positions, once their first sizes are found from the points.
    """

    points: tuple[Array, ...]
    masks: tuple[Array, ...]
    cameras: tuple[Camera, ...]
    test_cameras: tuple[Camera, ...]
    test_depths: tuple[Array | None, ...]
    unit: float | None = None
    position_noise: float = 0.0
