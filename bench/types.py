"""The nouns of the suite and the four interfaces that a plug-in implements.

Conventions, everywhere: OpenCV cameras (x right, y down, z forward); the centre of the pixel in column i and row j is
(i + 0.5, j + 0.5); images are (H, W, 3); depth is the z coordinate in the camera (not the distance along the ray), NaN
where it is unknown and +inf where there is only sky.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
Track = Literal["probe", "geometry", "perf"]
Weights = Literal["pretrained", "random", "none"]


class UserError(Exception):
    """A mistake that the user can mend: one message that names the file or field and what to do; exit code 2."""


class Unavailable(UserError):
    """Something that cannot be had on this machine (weights, a data set, a package): the reason, and what to do."""


# --------------------------------------------------------------------------------------------------------- cameras, views


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
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        inverse = np.eye(4)
        inverse[:3, :3] = rotation.T
        inverse[:3, 3] = -rotation.T @ translation
        return inverse

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
class MultiViewScene:
    """A scene of the probe track: training views, held-out views, and what else is known of it.

    unit: the unit of lengths ("millimetre", "metre", "scene"). The ground-truth depth is in the views.
    """

    dataset: str
    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    sparse: SparsePoints | None = None
    unit: str = "scene"

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

    points_*: (H, W, 3) camera coordinates. depth_*, disparity_*: (H, W). intrinsics: (3, 3) normalised. mask: (H, W) bool,
    False where the estimator sees no surface (sky).
    """

    points_metric: Array | None = None
    points_scale_invariant: Array | None = None
    points_affine_invariant: Array | None = None
    depth_metric: Array | None = None
    depth_scale_invariant: Array | None = None
    depth_affine_invariant: Array | None = None
    disparity_affine_invariant: Array | None = None
    intrinsics: Array | None = None
    mask: Array | None = None


@dataclass(frozen=True, eq=False)
class Initialisation:
    """What a point-map initialiser gives the probe, all in one world frame, the point map's.

    points: per training view (H, W, 3) float32 at the resolution of that view's image. masks: per training view (H, W)
    bool, where a Gaussian is placed. cameras, test_cameras: of the training and held-out views. test_depths: per held-out
    view (H, W) float32 or None, what the visibility mask is computed from. simulated: True where ground truth was used.
    unit: the length in this world that the probe's rates take for 1, where the initialiser is one that they were chosen for;
    None: found from the points (bench.probe.frame). position_noise: standard deviation, in this world, of the noise that is
    added to each coordinate of the Gaussians' first positions, once their first sizes are found from the points.
    """

    points: tuple[Array, ...]
    masks: tuple[Array, ...]
    cameras: tuple[Camera, ...]
    test_cameras: tuple[Camera, ...]
    test_depths: tuple[Array | None, ...]
    simulated: bool = False
    unit: float | None = None
    position_noise: float = 0.0


# --------------------------------------------------------------------------------------------------------------- cards


@dataclass(frozen=True)
class Card:
    """What a table or a leaderboard says of a model.

    arch: e.g. "ViT-B/14". channels: feature width before PCA (0 for estimators). stride: pixels per token. supervision
    and data: as the papers' tables name them. domain: "3D", "2D", "2.5D" or "-". weights: "hf:owner/name", "timm:name",
    "torchhub:…", "page:URL", or "" where none are needed. paper: arXiv id or URL.
    """

    name: str
    arch: str = "-"
    channels: int = 0
    stride: int = 1
    supervision: str = "-"
    domain: str = "-"
    data: str = "-"
    license: str = "-"
    weights: str = ""
    paper: str = ""
    note: str = ""


@dataclass(frozen=True)
class DatasetCard:
    """What `bench list datasets` and `bench data where` say of a data set.

    folder: its folder under the data root; "" for an embedded one. url: where its publisher offers it. size_gb: download.
    """

    name: str
    scene_type: str = "-"
    complexity: str = "-"
    view_range: str = "-"
    train_views: str = "-"
    license: str = "-"
    url: str = ""
    folder: str = ""
    size_gb: float | None = None
    unit: str = "scene"
    note: str = ""


# ----------------------------------------------------------------------------------------------------------- measurements


@dataclass(frozen=True)
class Measurement:
    """One metric value: one row of the tables, less the columns that the cell fills in.

    view: the photo it was measured on, or "all". status: "ok", "unavailable" (with the reason in note), "invalid" (NaN
    or not computable). `value` is NaN unless the status is "ok".
    """

    metric: str
    value: float
    view: str = "all"
    unit: str = ""
    higher_is_better: bool | None = None
    alignment: str = "-"
    status: Literal["ok", "unavailable", "invalid"] = "ok"
    note: str = ""


# ----------------------------------------------------------------------------------------------------- plug-in interfaces


@dataclass(frozen=True, eq=False)
class FeatureInput:
    """What a feature provider may look at: the training photos of one scene, prepared as VFM.md's shared input.

    images: (B, 3, H, W) float32 in [0, 1], H and W multiples of 16 (on the probe's own grid for per-pixel providers).
    points: (B, H, W, 3) float32 ground-truth world positions where they are known, else None; only the oracle reads them.
    """

    images: torch.Tensor
    points: torch.Tensor | None = None


class Model:
    """What can be known of a provider, an estimator or an initialiser before anything is loaded.

    needs: packages beyond the suite's own, each with how to get it. random_weights: False where it cannot be built without
    its checkpoint.
    """

    card: ClassVar[Card]
    needs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    random_weights: ClassVar[bool] = True

    @classmethod
    def parameter_bytes(cls) -> int | None:
        """What its parameters take in memory; None where that is not known without building it."""
        return None


class FeatureProvider(Model):
    """A frozen vision model seen as a dense feature extractor. A plug-in gives `card`, `load` and `extract`.

    per_pixel: True where the feature has one vector a pixel by nature (IUVRGB); it is then used as it is, without PCA.
    """

    per_pixel: ClassVar[bool] = False

    def __init__(self, weights: Weights = "pretrained", checkpoint: Path | None = None) -> None:
        #: "none" where the card names no weights, whatever was asked for.
        self.weights: Weights = weights if self.card.weights else "none"
        self.checkpoint = checkpoint

    def load(self, device: torch.device) -> None:
        """Build the network and load its weights. Raises Unavailable where they cannot be had."""

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Features (B, h, w, C) of images (B, 3, H, W) in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement extract(images)")

    def extract_scene(self, scene: FeatureInput) -> torch.Tensor:
        """Features (B, h, w, C) of a whole scene; providers that need more than the photos override this."""
        return self.extract(scene.images)

    @property
    def weights_digest(self) -> str:
        """What identifies weights whose files are not at hand: the source and whether they are pretrained or random."""
        return f"{self.weights}:{self.checkpoint or self.card.weights}"


class GeometryEstimator(Model):
    """A model that predicts geometry from one photo. A plug-in gives `card`, `load` and `predict`."""

    def __init__(self, weights: Weights = "pretrained", checkpoint: Path | None = None) -> None:
        self.weights: Weights = weights if self.card.weights else "none"
        self.checkpoint = checkpoint

    def load(self, device: torch.device) -> None:
        """Build the network and load its weights. Raises Unavailable where they cannot be had."""

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        """The prediction for image (H, W, 3) uint8, at the same size. intrinsics: normalised (3, 3), where an estimator is
        allowed to see them."""
        raise NotImplementedError(f"{type(self).__name__} must implement predict(image, intrinsics)")

    def predict_sample(self, sample: MonocularSample) -> Prediction:
        """The prediction for a sample; only reference rows that read the truth (`oracle`) override this."""
        return self.predict(sample.image)

    @property
    def weights_digest(self) -> str:
        return f"{self.weights}:{self.checkpoint or self.card.weights}"


class PointmapInitialiser(Model):
    """Finds where the Gaussians start and where the cameras stand. A plug-in gives `card` and `initialise`."""

    def load(self, device: torch.device) -> None:
        """Build what is needed. Raises Unavailable where it cannot be had."""

    def initialise(self, scene: MultiViewScene, seed: int) -> Initialisation:
        """Point maps and cameras of a scene. Raises UserError where the scene lacks what this initialiser needs."""
        raise NotImplementedError(f"{type(self).__name__} must implement initialise(scene, seed)")


class Dataset:
    """A set of scenes (probe track), of samples (geometry track) or both. `root`: the data root; None for embedded ones.

    A plug-in gives `card`, `tracks`, `scenes` and the loader of each of its tracks.
    """

    card: ClassVar[DatasetCard]
    tracks: ClassVar[tuple[Track, ...]] = ("probe",)
    default_pointmap: ClassVar[str] = "sparse"  #: the initialiser of the probe track where the user names none
    default_scenes: ClassVar[tuple[str, ...]] = ()  #: scenes and samples run where the user names none; () = all

    def scenes(self, root: Path | None, track: Track) -> Sequence[str]:
        """Names of the scenes (or samples) found under the root. Raises Unavailable where the data set is not on disk."""
        raise NotImplementedError(f"{type(self).__name__} must implement scenes(root, track)")

    def pointmap_of(self, root: Path | None, name: str) -> str:
        """The initialiser of one scene where the user names none; by default the data set's."""
        return self.default_pointmap

    def load_scene(self, root: Path | None, name: str) -> MultiViewScene:
        """A scene of the probe track. Raises UserError naming the file at fault."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_scene(root, name)")

    def load_sample(self, root: Path | None, name: str) -> MonocularSample:
        """A sample of the geometry track. Raises UserError naming the file at fault."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_sample(root, name)")

    def fingerprint(self, root: Path | None, name: str, track: Track) -> str:
        """A digest of everything on disk that decides what is loaded (for embedded data: the version of the generator)."""
        raise NotImplementedError(f"{type(self).__name__} must implement fingerprint(root, name, track)")
