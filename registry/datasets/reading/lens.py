"""Calibrated lenses and their removal from a photo.

Pinholes and Brown's distortion are computed here; every other model of the current COLMAP (fisheyes, rational, division,
thin prism, …) by pycolmap, which the extra `sfm` brings.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from bench.types import Array, Camera, Unavailable, UserError

_BORDER_SAMPLES = 65
#: Focal length over the photo's long side. Below: a field of view above 157 degrees, which no pinhole photo has; above: one
#: below 1 degree. What lies outside is in another unit (normalised by the size, millimetres).
_FOCAL_RANGE = (0.1, 60.0)
#: Pixels that are wider than high, or the other way, by more than this are half of a pair of another unit.
_MOST_ANAMORPHIC = 2.5
#: A principal point this near to the corner (share of the sides) is measured from the centre, or normalised.
_CORNER = 0.05


@dataclass(frozen=True)
class Lens:
    """A calibration at width x height pixels; the centre of the first pixel is (0.5, 0.5).

    Attributes:
        fx, fy, cx, cy: Focal lengths and principal point in pixels.
        k1, k2, k3: Radial coefficients of Brown's model, as COLMAP's and OpenCV's OPENCV has them.
        p1, p2: Tangential ones.
        model: Another camera model by COLMAP's name; its coefficients beyond focal lengths and principal point are `extra`.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    model: str = ""
    extra: tuple[float, ...] = ()

    @property
    def distorts(self) -> bool:
        return bool(self.model) or any((self.k1, self.k2, self.k3, self.p1, self.p2))

    def checked(self) -> Lens:
        """This lens.

        Raises:
            UserError: A value makes no sense, is in another unit than pixels, or the distortion cannot be undone.
            Unavailable: The model needs pycolmap, which is not installed.
        """
        values = [self.fx, self.fy, self.cx, self.cy, self.k1, self.k2, self.k3, self.p1, self.p2, *self.extra]
        if not np.isfinite(values).all() or min(self.fx, self.fy, self.width, self.height) <= 0:
            raise UserError(f"the calibration {self.shown} is not usable; focal lengths and size must be positive")
        share = (self.fx / max(self.width, self.height), self.fy / max(self.width, self.height))
        if not _FOCAL_RANGE[0] <= min(share) <= max(share) <= _FOCAL_RANGE[1]:
            raise UserError(
                f"the focal length {self.fx:g}, {self.fy:g} does not fit {self.width}x{self.height} pixels; it must be in "
                "pixels (not normalised by the photo's size, not in millimetres)"
            )
        if not 1 / _MOST_ANAMORPHIC <= self.fx / self.fy <= _MOST_ANAMORPHIC:
            raise UserError(f"the focal lengths {self.fx:g} and {self.fy:g} do not belong together; both must be in pixels")
        if not (-0.5 * self.width < self.cx < 1.5 * self.width and -0.5 * self.height < self.cy < 1.5 * self.height):
            raise UserError(f"the principal point ({self.cx:g}, {self.cy:g}) lies far outside {self.width}x{self.height}")
        near = (abs(self.cx) <= _CORNER * self.width, abs(self.cy) <= _CORNER * self.height)
        if min(self.width, self.height) > 2 and (all(near) or min(abs(self.cx), abs(self.cy)) <= 1):
            raise UserError(
                f"the principal point ({self.cx:g}, {self.cy:g}) lies at the edge of {self.width}x{self.height}; it must "
                "be in pixels from the photo's upper left corner (not normalised, not from the centre)"
            )
        if self.distorts:
            _zoom(self)
        return self

    @property
    def shown(self) -> str:
        """The numbers, for a message."""
        return f"{self.width}x{self.height}, focal {self.fx:g}, {self.fy:g}, centre {self.cx:g}, {self.cy:g}"

    def resized(self, width: int, height: int) -> Lens:
        """The same lens for the photo at another size; distortion coefficients do not depend on it."""
        x, y = width / self.width, height / self.height
        return replace(self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y)

    def distorted(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Pixel coordinates in the photo of the ray (x, y, 1)."""
        if self.model:
            bent_x, bent_y = _bent(self.model, self.extra, x, y)
            return self.fx * bent_x + self.cx, self.fy * bent_y + self.cy
        square = x * x + y * y
        radial = 1 + square * (self.k1 + square * (self.k2 + square * self.k3))
        bent_x = x * radial + 2 * self.p1 * x * y + self.p2 * (square + 2 * x * x)
        bent_y = y * radial + self.p1 * (square + 2 * y * y) + 2 * self.p2 * x * y
        return self.fx * bent_x + self.cx, self.fy * bent_y + self.cy

    def camera(self, world_to_camera: Array) -> Camera:
        """The pinhole camera of this lens, its distortion left out."""
        intrinsics = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])
        return Camera(intrinsics, world_to_camera, self.width, self.height)


def colmap_lens(model: str, width: int, height: int, parameters: tuple[float, ...]) -> Lens:
    """The lens of one of COLMAP's camera models, not yet checked.

    Args:
        model: COLMAP's name of it, e.g. "OPENCV_FISHEYE".
        width, height: Pixels.
        parameters: In COLMAP's order: one or two focal lengths, the principal point, the coefficients.

    Raises:
        UserError: COLMAP has no such model, it has another number of parameters, or it is no perspective camera.
        Unavailable: The model needs pycolmap, which is not installed.
    """
    count = COLMAP_PARAMETERS.get(model)
    if count is None:
        raise UserError(f"has the unknown model {model} (known: {', '.join(COLMAP_PARAMETERS)})")
    if count != len(parameters):
        raise UserError(f"{model} has {count} parameters, not {len(parameters)}")
    if model == "EQUIRECTANGULAR":
        raise UserError(
            "has the model EQUIRECTANGULAR, a full panorama, which is not supported; cut perspective photos out of it"
        )
    fx, *rest = parameters
    fy, cx, cy, *extra = [fx, *rest] if model in _ONE_FOCAL else rest
    if model in ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"):
        k1, k2, p1, p2 = (*extra, *[0.0] * (4 - len(extra)))
        return Lens(width, height, fx, fy, cx, cy, k1, k2, 0.0, p1, p2)
    return Lens(width, height, fx, fy, cx, cy, model=model, extra=tuple(extra))


#: COLMAP's camera models in the order of their numbers (src/colmap/sensor/models.h of COLMAP 4), and the parameters of each.
COLMAP_PARAMETERS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
    "FOV": 5,
    "SIMPLE_RADIAL_FISHEYE": 4,
    "RADIAL_FISHEYE": 5,
    "THIN_PRISM_FISHEYE": 12,
    "RAD_TAN_THIN_PRISM_FISHEYE": 16,
    "SIMPLE_DIVISION": 4,
    "DIVISION": 5,
    "SIMPLE_FISHEYE": 3,
    "FISHEYE": 4,
    "EUCM": 6,
    "EQUIRECTANGULAR": 2,
}
_ONE_FOCAL = {
    "SIMPLE_PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "SIMPLE_DIVISION",
    "SIMPLE_FISHEYE",
}


def _bent(model: str, extra: tuple[float, ...], x: Array, y: Array) -> tuple[Array, Array]:
    """Where the model at unit focal length, its principal point at zero, sees the rays (x, y, 1); NaN where it sees none."""
    try:
        import pycolmap
    except ImportError as error:
        raise Unavailable(
            f"photos of the camera model {model} are undistorted by the package pycolmap: pip install 'vfm3d-bench[sfm]', "
            "or undistort them first with `colmap image_undistorter`"
        ) from error
    focal = [1.0] if model in _ONE_FOCAL else [1.0, 1.0]
    camera = pycolmap.Camera(model=model, width=1, height=1, params=[*focal, 0.0, 0.0, *extra])
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    pixels = np.asarray(camera.img_from_cam(rays), np.float64)
    return pixels[:, 0].reshape(x.shape), pixels[:, 1].reshape(x.shape)


def undistorted(image: Array, lens: Lens) -> tuple[Array, Lens]:
    """The photo (H, W, C) uint8 as a pinhole sees it, and that pinhole; unchanged where the lens does not distort.

    The size and the principal point stay; the focal lengths grow or shrink by one factor, the least in [0.5, 2] for which no
    pixel looks beyond the photo's edge. Bilinear.

    Raises:
        UserError: There is no such factor, or the distortion folds the photo (a wrong calibration).
    """
    if not lens.distorts:
        return image, lens
    target, x, y = _source_of_pixels(lens)
    channels = [
        map_coordinates(image[..., channel], [y - 0.5, x - 0.5], order=1, mode="nearest", output=np.float32)
        for channel in range(image.shape[2])
    ]
    return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8), target


def undistorted_depth(depth: Array, lens: Lens) -> Array:
    """The z-depth (H, W) float32 that lies on a distorted photo, on the photo that `undistorted` makes of it: each pixel has
    the depth of the pixel that its ray met. (The z coordinate of a point does not depend on the lens.)"""
    if not lens.distorts:
        return depth
    _, x, y = _source_of_pixels(lens)
    columns = np.clip(np.floor(x), 0, lens.width - 1).astype(int)
    rows = np.clip(np.floor(y), 0, lens.height - 1).astype(int)
    return depth[rows, columns]


def _source_of_pixels(lens: Lens) -> tuple[Lens, Array, Array]:
    """The pinhole that the photo is undistorted to, and where in the photo each of its pixels comes from."""
    zoom = _zoom(lens)
    target = replace(lens, fx=lens.fx * zoom, fy=lens.fy * zoom, k1=0.0, k2=0.0, k3=0.0, p1=0.0, p2=0.0, model="", extra=())
    columns, rows = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    x, y = lens.distorted((columns - target.cx) / target.fx, (rows - target.cy) / target.fy)
    return target, x, y


@functools.lru_cache(maxsize=4096)
def _zoom(lens: Lens) -> float:
    """The factor of `undistorted`. Raises UserError where there is none, or the lens folds the photo."""
    edge = np.linspace(0, 1, _BORDER_SAMPLES)
    columns = np.concatenate([edge, edge, 0 * edge, 0 * edge + 1]) * lens.width
    rows = np.concatenate([0 * edge, 0 * edge + 1, edge, edge]) * lens.height

    def inside(zoom: float) -> bool:
        x, y = lens.distorted((columns - lens.cx) / (zoom * lens.fx), (rows - lens.cy) / (zoom * lens.fy))
        return bool((x >= 0).all() and (x <= lens.width).all() and (y >= 0).all() and (y <= lens.height).all())

    low, high = 0.5, 2.0
    if not inside(high):
        raise UserError(f"the distortion of {lens} cannot be undone: it bends the photo's border by more than half")
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if inside(middle) else (middle, high)
    across, down = np.meshgrid(edge * lens.width, edge * lens.height)
    x, y = lens.distorted((across - lens.cx) / (high * lens.fx), (down - lens.cy) / (high * lens.fy))
    turns = np.gradient(x, axis=1) * np.gradient(y, axis=0) - np.gradient(x, axis=0) * np.gradient(y, axis=1)
    if not (turns > 0).all():
        raise UserError(f"the distortion of {lens} cannot be undone: it folds the photo over itself")
    return high


def resized_photo(image: Array, width: int, height: int) -> Array:
    """The photo (H, W, C) uint8 at another size, by Lanczos resampling."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
