"""The rasterizer of the gsplat package (arXiv:2409.06765), on CUDA, in float32.

Where its semantics can differ from the other backends (read from the sources of gsplat 1.5.3):

- *Clamp of alpha*: a constant of the installed build, 0.999 in 1.5.3, 0.99 in others; `alpha_clamp()` reads it, and `render`
  warns where it is not the `alpha_max` that was asked for.
- *Cut-off radius*: min(3.33, sqrt(2 ln(255 opacity))) standard deviations, rounded up to whole pixels. As sqrt(2 ln 255) is
  3.329, this drops no pair above 1/255: the same as here.
- *Culling*: depth < near and depth > 1e10 are culled, as here.
- *Exponential*: the fast `__expf` and float32 transmittance, so values differ from the oracle by about 1e-5 relative and a
  pair within that distance of a threshold may fall on its other side.
- *Determinant* of the 2D covariance: by subtraction, which loses precision for very long thin splats.
- *Pose*: gradients through the means, the covariances and the viewing directions, as here.
- *Order of sums*: atomics, so gradients are not the same bit for bit from run to run.

It reads the number of tile intersections back from the GPU to size its buffers, once an image: the one wait in a step, and
the reason why a step is not captured as a CUDA graph.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import warnings
from pathlib import Path

from torch import Tensor

from bench.splat.gaussians import COEFFICIENTS, Gaussians
from bench.splat.settings import Settings


@functools.cache
def alpha_clamp() -> float | None:
    """The clamp of alpha in the installed gsplat, read from its kernel's source; None where that cannot be found."""
    spec = importlib.util.find_spec("gsplat")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        root = Path(folder) / "cuda"
        for source in (root / "csrc" / "RasterizeToPixels3DGSFwd.cu", root / "include" / "Common.h"):
            text = source.read_text(encoding="utf-8", errors="replace") if source.is_file() else ""
            if found := re.search(r"alpha\s*=\s*min\((0\.\d+)f|define\s+MAX_ALPHA\s+\(?(0\.\d+)", text):
                return float(found[1] or found[2])
    return None


@functools.cache
def _warn_of_clamp(asked: float) -> None:
    """Once per value: the numbers of this build are not those of the protocol."""
    installed = alpha_clamp()
    if installed != asked:
        found = "at an unknown value" if installed is None else f"at {installed}"
        warnings.warn(f"the installed gsplat clamps alpha {found}, not at alpha_max = {asked}", stacklevel=4)


def render(
    gaussians: Gaussians, world_to_camera: Tensor, intrinsics: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """rgb (H, W, 3), accumulated depth (H, W) and alpha (H, W), differentiable by the Gaussians and the pose."""
    from gsplat import rasterization  # lazy: the import may compile its kernels

    _warn_of_clamp(settings.alpha_max)
    image, alpha, _ = rasterization(
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        gaussians.spherical_harmonics[:, : COEFFICIENTS[settings.degree]],
        world_to_camera[None],
        intrinsics[None],
        settings.width,
        settings.height,
        near_plane=settings.near,
        eps2d=settings.low_pass,
        sh_degree=settings.degree,
        packed=False,
        render_mode="RGB+D",
    )
    return image[0, ..., :3], image[0, ..., 3], alpha[0, ..., 0]
