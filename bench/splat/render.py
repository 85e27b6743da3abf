"""`rasterize`: one function, three backends with the same semantics."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench import native
from bench.core.absent import is_installed
from bench.core.errors import Unavailable
from bench.splat import gsplat_backend, native_backend, torch_backend
from bench.splat.gaussians import Gaussians, SplatError
from bench.splat.settings import ALPHA_MIN, Settings

Backend = Literal["auto", "gsplat", "native", "torch"]


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered image over black. rgb: (H, W, 3), not clamped above. depth: (H, W), the sum of weight times z, in the
    scene's unit. alpha: (H, W) in [0, 1], the sum of the weights."""

    rgb: Tensor
    depth: Tensor
    alpha: Tensor

    @property
    def expected_depth(self) -> Tensor:
        """(H, W) depth / alpha, NaN where nothing was drawn; differentiable. (A pixel's alpha is 0 or at least 1/255.)"""
        drawn = self.alpha > 0.5 * ALPHA_MIN
        return torch.where(drawn, self.depth / torch.where(drawn, self.alpha, 1.0), math.nan)


def rasterize(
    gaussians: Gaussians,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    *,
    backend: Backend = "auto",
    degree: int | None = None,
    alpha_max: float = 0.999,
    near: float = 0.01,
    low_pass: float = 0.3,
    threads: int = 1,
    check: bool = True,
) -> Rendering:
    """Render Gaussians as 3D Gaussian Splatting does (arXiv:2308.04079), with the semantics of gsplat (arXiv:2409.06765).

    world_to_camera: (4, 4) rigid, OpenCV axes. intrinsics: (3, 3) in pixels, no skew; the centre of the pixel in column i
    and row j is (i + 0.5, j + 0.5). Both are brought to the Gaussians' device and type. width, height: pixels. Gradients
    flow to every field of the Gaussians and to world_to_camera, not to the intrinsics.

    EWA projection with low_pass (pixels squared) added to the 2D variances; a splat's opacity in a pixel is clamped at
    alpha_max and dropped below 1/255; front to back by the depth of the mean (ties in the order given), until the
    transmittance would fall to 1e-4 or below; Gaussians nearer than `near` or farther than 1e10 are culled. degree: of the
    spherical harmonics that are evaluated, by default all that are there.

    backend: "torch" (any device and float type), "native" (C++, CPU, float32, on that many threads; gradients are the same
    bit for bit for any number), "gsplat" (CUDA, float32; see gsplat_backend for what differs), or "auto": the fastest that
    serves these tensors on this machine.

    check: look at the values first. That waits for a GPU, so a loop that runs on one does without and looks at its result.

    Raises SplatError (a ValueError) naming the field for wrong shapes, NaN, infinity and values out of range; Unavailable
    where a backend that was asked for by name cannot be had.
    """
    degree = gaussians.degree if degree is None else degree
    _check_arguments(gaussians, world_to_camera, intrinsics, width, height, degree, alpha_max, near, low_pass, threads)
    world_to_camera = world_to_camera.to(gaussians.means)
    intrinsics = intrinsics.detach().to(gaussians.means)
    if check:
        _check_values(gaussians, world_to_camera, intrinsics)
    settings = Settings(int(width), int(height), degree, float(alpha_max), float(near), float(low_pass))
    chosen = _choose(backend, gaussians)
    if chosen == "native":
        return Rendering(*native_backend.render(gaussians, world_to_camera, intrinsics, settings, threads))
    if chosen == "gsplat" and len(gaussians) > 0:  # gsplat's kernels do not take an empty set
        return Rendering(*gsplat_backend.render(gaussians, world_to_camera, intrinsics, settings))
    return Rendering(*torch_backend.render(gaussians, world_to_camera, intrinsics, settings))


def backend_reasons() -> dict[str, str]:
    """For each backend why it cannot be used on this machine, and what to do; "" where it can."""
    return {"gsplat": _gsplat_missing(), "native": native.missing("raster"), "torch": ""}


@functools.cache
def _gsplat_missing() -> str:
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    if not is_installed("gsplat"):
        return "the package gsplat is not installed"
    return ""


def available_backends() -> tuple[str, ...]:
    """The backends that can be used on this machine, fastest first."""
    return tuple(name for name, reason in backend_reasons().items() if not reason)


def _choose(backend: str, gaussians: Gaussians) -> str:
    """The backend to use. Raises SplatError or Unavailable where the one asked for cannot serve."""
    device, dtype = gaussians.means.device.type, gaussians.means.dtype
    serves = {
        "gsplat": device == "cuda" and dtype == torch.float32,
        "native": device == "cpu" and dtype == torch.float32,
        "torch": True,
    }
    if backend == "auto":
        return next(name for name in available_backends() if serves[name])
    if backend not in serves:
        raise SplatError(f"backend {backend!r} is not one of auto, {', '.join(serves)}")
    if reason := backend_reasons()[backend]:
        raise Unavailable(f"the {backend} rasterizer cannot be used: {reason}; use backend='torch'")
    if not serves[backend]:
        raise SplatError(f"the {backend} rasterizer cannot serve {dtype} tensors on {device}; use backend='torch'")
    return backend


def _check_arguments(
    gaussians: Gaussians,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    degree: int,
    alpha_max: float,
    near: float,
    low_pass: float,
    threads: int,
) -> None:
    for name, tensor, shape in (("world_to_camera", world_to_camera, (4, 4)), ("intrinsics", intrinsics, (3, 3))):
        if tuple(tensor.shape) != shape:
            raise SplatError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
    if not 0 <= degree <= gaussians.degree:
        raise SplatError(f"degree is {degree}; these Gaussians hold spherical harmonics of degree 0 to {gaussians.degree}")
    for name, whole in (("width", width), ("height", height), ("threads", threads)):
        if whole != int(whole) or not 1 <= whole < 2**20:
            raise SplatError(f"{name} is {whole}; expected a whole number from 1 to {2**20 - 1}")
    if not ALPHA_MIN < alpha_max < 1:
        raise SplatError(f"alpha_max is {alpha_max}; expected a number between 1/255 and 1")
    for name, value, positive in (("near", near, True), ("low_pass", low_pass, False)):
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise SplatError(f"{name} is {value}; expected a {'positive' if positive else 'non-negative'} number")


def _check_values(gaussians: Gaussians, world_to_camera: Tensor, intrinsics: Tensor) -> None:
    """Raise SplatError for values that no rendering can be made of. Sums find NaN and infinity in one pass and one transfer
    from the device; only where a sum is not finite (it may have overflowed) is each value looked at."""
    tensors = {name: getattr(gaussians, name).detach() for name in Gaussians.__dataclass_fields__}
    tensors |= {"world_to_camera": world_to_camera.detach(), "intrinsics": intrinsics}
    if len(gaussians) == 0:
        ranges = [intrinsics.new_tensor(1.0)] * 4
    else:
        ranges = [tensors["scales"].amin(), *tensors["opacities"].aminmax(), tensors["quaternions"].abs().amax(-1).amin()]
    focal = torch.minimum(intrinsics[0, 0], intrinsics[1, 1])
    first, second, third = tensors["world_to_camera"][:3, :3]
    determinant = torch.linalg.cross(first, second) @ third
    numbers = torch.stack([*(t.sum() for t in tensors.values()), *ranges, focal, determinant]).tolist()
    sums, (scale, opacity, opacity_max, quaternion, focal_length, volume) = numbers[: len(tensors)], numbers[len(tensors) :]
    for (name, tensor), total in zip(tensors.items(), sums, strict=True):
        if not math.isfinite(total) and (bad := int((~torch.isfinite(tensor)).sum())):
            raise SplatError(f"{name} holds NaN or infinity: {bad} of {tensor.numel()} values")
    if scale < 0:
        raise SplatError(f"scales must not be negative; the smallest is {scale:g} (are they still logarithms?)")
    if opacity < 0 or opacity_max > 1:
        raise SplatError(f"opacities must be in [0, 1]; they span {opacity:g} to {opacity_max:g} (are they still logits?)")
    if quaternion == 0:
        raise SplatError("quaternions holds a zero quaternion, which is no rotation")
    if focal_length <= 0:
        raise SplatError("intrinsics must have positive focal lengths at [0, 0] and [1, 1]")
    if not 0.5 < volume < 2:
        raise SplatError(f"world_to_camera must be a rigid transform; the determinant of its rotation is {volume:g}")
