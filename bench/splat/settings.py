"""What every backend must agree on, beside the Gaussians and the camera."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA_MIN = 1.0 / 255.0  #: a splat's contribution to a pixel below this is dropped
TRANSMITTANCE_MIN = 1e-4  #: a pixel is closed before the splat that would bring its transmittance to this or below
DEPTH_MAX = 1e10  #: Gaussians farther away are culled, as gsplat does by default


@dataclass(frozen=True)
class Settings:
    """width, height: pixels. degree: of the spherical harmonics that are evaluated. alpha_max: clamp of a splat's opacity in
    a pixel. near: depth below which Gaussians are culled. low_pass: added to the 2D variances, pixels squared."""

    width: int
    height: int
    degree: int
    alpha_max: float
    near: float
    low_pass: float
