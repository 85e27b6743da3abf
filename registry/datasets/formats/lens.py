"""Calibrated lenses: pinhole with radial and tangential distortion, and its removal from a photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from bench.types import Array, Camera, UserError

_BORDER_SAMPLES = 65


@dataclass(frozen=True)
class Lens:
    """A calibration at width x height pixels; the centre of the first pixel is (0.5, 0.5).

    k1, k2, k3: radial, p1, p2: tangential coefficients of Brown's model, as COLMAP's and OpenCV's OPENCV has them.
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

    @property
    def distorts(self) -> bool:
        return any((self.k1, self.k2, self.k3, self.p1, self.p2))

    def checked(self, source: str) -> Lens:
        """This lens. Raises UserError naming `source` where a value makes no sense."""
        values = [self.fx, self.fy, self.cx, self.cy, self.k1, self.k2, self.k3, self.p1, self.p2]
        if not np.isfinite(values).all() or min(self.fx, self.fy, self.width, self.height) <= 0:
            raise UserError(f"{source}: the calibration {self} is not usable; focal lengths and size must be positive")
        if not (-0.5 * self.width < self.cx < 1.5 * self.width and -0.5 * self.height < self.cy < 1.5 * self.height):
            raise UserError(
                f"{source}: the principal point ({self.cx:g}, {self.cy:g}) lies far outside {self.width}x{self.height}"
            )
        return self

    def resized(self, width: int, height: int) -> Lens:
        """The same lens for the photo at another size; distortion coefficients do not depend on it."""
        x, y = width / self.width, height / self.height
        return replace(self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y)

    def distorted(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Pixel coordinates in the photo of the ray (x, y, 1)."""
        square = x * x + y * y
        radial = 1 + square * (self.k1 + square * (self.k2 + square * self.k3))
        bent_x = x * radial + 2 * self.p1 * x * y + self.p2 * (square + 2 * x * x)
        bent_y = y * radial + self.p1 * (square + 2 * y * y) + 2 * self.p2 * x * y
        return self.fx * bent_x + self.cx, self.fy * bent_y + self.cy

    def camera(self, world_to_camera: Array) -> Camera:
        """The pinhole camera of this lens, its distortion left out."""
        intrinsics = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])
        return Camera(intrinsics, world_to_camera, self.width, self.height)


def undistorted(image: Array, lens: Lens) -> tuple[Array, Lens]:
    """The photo (H, W, C) uint8 as a pinhole sees it, and that pinhole; unchanged where the lens does not distort.

    The size and the principal point stay; the focal lengths grow or shrink by one factor, the least for which no pixel looks
    beyond the photo's edge. Bilinear. Raises UserError where there is no such factor within [0.5, 2] (a wrong calibration).
    """
    if not lens.distorts:
        return image, lens
    zoom = _zoom(lens)
    target = replace(lens, fx=lens.fx * zoom, fy=lens.fy * zoom, k1=0.0, k2=0.0, k3=0.0, p1=0.0, p2=0.0)
    columns, rows = np.meshgrid(np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5)
    x, y = lens.distorted((columns - target.cx) / target.fx, (rows - target.cy) / target.fy)
    channels = [
        map_coordinates(image[..., channel], [y - 0.5, x - 0.5], order=1, mode="nearest", output=np.float32)
        for channel in range(image.shape[2])
    ]
    return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8), target


def _zoom(lens: Lens) -> float:
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
    return high


def resized_photo(image: Array, width: int, height: int) -> Array:
    """The photo (H, W, C) uint8 at another size, by Lanczos resampling."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
