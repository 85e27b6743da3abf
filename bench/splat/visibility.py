"""Which Gaussians matter to what some cameras see: what may be left out where only so many can be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bench.core.scenes import Camera
from bench.splat.gaussians import SH_0, Gaussians
from bench.splat.render import Rendering, rasterize


def seen_by(gaussians: Gaussians, camera: Camera) -> Rendering:
    """What a camera in the world of the Gaussians sees of them, with the rasterizer's defaults; differentiable."""
    pose, intrinsics = (torch.from_numpy(each).to(gaussians.means) for each in (camera.world_to_camera, camera.intrinsics))
    return rasterize(gaussians, pose, intrinsics, camera.width, camera.height)


def visibility(gaussians: Gaussians, cameras: Sequence[Camera]) -> Tensor:
    """(N,) how much of the cameras' pictures each Gaussian makes up: its weight in blending, summed over all pixels.

    Blending is linear in colours, so that the weights are the gradient of the pictures' sum in one channel.
    """
    grey = gaussians.means.new_zeros(len(gaussians), 1, 3).requires_grad_()
    plain = replace(gaussians.detach(), spherical_harmonics=grey)
    total = sum((seen_by(plain, camera).rgb[..., 0].sum() for camera in cameras), gaussians.means.new_zeros(()))
    if not total.requires_grad:  # nothing is seen
        return gaussians.means.new_zeros(len(gaussians))
    (gradient,) = torch.autograd.grad(total, grey)
    return gradient[:, 0, 0] / SH_0


def most_visible(gaussians: Gaussians, cameras: Sequence[Camera], count: int) -> Gaussians:
    """The `count` Gaussians with the greatest `visibility`, in their order; all of them where there are no more."""
    if len(gaussians) <= count:
        return gaussians
    order = torch.argsort(visibility(gaussians, cameras), descending=True, stable=True)
    return gaussians.select(order[:count].sort().values)
