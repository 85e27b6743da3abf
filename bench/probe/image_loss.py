"""The rendering loss of 3D Gaussian splatting (arXiv:2308.04079, equation 7): 0.8 L1 + 0.2 (1 - SSIM), per photo.

SSIM (Wang et al., 2004) over 11 x 11 Gaussian windows, sigma 1.5, zero padding, averaged over all pixels and channels. The
window is separable: a blur is a product with a symmetric band matrix from either side, and therefore its own transpose. The
gradient is written out, so that value and gradient cost two blurs of three maps, and what depends on the photo alone is
computed once.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from bench.types import UserError

_RADIUS = 5
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_STRIP = 32  # a blur of larger images goes by strips, which skips most of the band matrix's zeros


class PhotometricLoss:
    """The loss of renders of one view against its photo; what depends on the photo alone is computed once.

    photo: (H, W, 3) in [0, 1], float32 or float64. ssim_weight: of 1 - SSIM; L1 has the rest. Calling it with a render
    (H, W, 3) of the same type gives the differentiable scalar loss. Raises UserError for a render of another shape.
    """

    def __init__(self, photo: Tensor, ssim_weight: float = 0.2) -> None:
        if photo.ndim != 3 or not photo.is_floating_point():
            raise UserError(f"a photo must be (H, W, 3) in floating point, not {tuple(photo.shape)} {photo.dtype}")
        self.ssim_weight = ssim_weight
        self._photo = _planes(photo.detach())
        self._mean, square = _blur(torch.cat([self._photo, self._photo**2])).chunk(2)
        self._variance = square - self._mean**2

    def __call__(self, render: Tensor) -> Tensor:
        expected = (*self._photo.shape[1:], self._photo.shape[0])
        if tuple(render.shape) != expected:
            raise UserError(f"the render is {tuple(render.shape)} and its photo {expected}")
        return _Loss.apply(render, self._photo, self._mean, self._variance, self.ssim_weight)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, render: Tensor, photo: Tensor, mean: Tensor, variance: Tensor, weight: float) -> Tensor:
        x = _planes(render)
        difference = x - photo
        own_mean, square, product = _blur(torch.cat([x, x * x, x * photo])).chunk(3)
        luminance = 2 * own_mean * mean + _C1
        structure = 2 * (product - own_mean * mean) + _C2
        below_luminance = own_mean**2 + mean**2 + _C1
        below_structure = square - own_mean**2 + variance + _C2
        scale = 1 / (below_luminance * below_structure)
        ssim = luminance * structure * scale
        if ctx.needs_input_grad[0]:
            # The derivatives of SSIM by the three blurred maps, blurred back (the blur is its own transpose).
            of_product = 2 * luminance * scale
            of_square = -ssim / below_structure
            of_mean = 2 * (mean * structure * scale - own_mean * (ssim / below_luminance + of_square)) - mean * of_product
            back_mean, back_square, back_product = _blur(torch.cat([of_mean, of_square, of_product])).chunk(3)
            of_ssim = back_mean + 2 * x * back_square + photo * back_product
            gradient = ((1 - weight) * difference.sign() - weight * of_ssim) / x.numel()
            ctx.save_for_backward(gradient.permute(1, 2, 0).contiguous())
        return (1 - weight) * difference.abs().mean() + weight * (1 - ssim.mean())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None, None, None


def _planes(image: Tensor) -> Tensor:
    """(3, H, W) in memory order from (H, W, 3)."""
    return image.permute(2, 0, 1).contiguous()


def _blur(planes: Tensor) -> Tensor:
    """Planes (P, H, W) under the Gaussian window, zero beyond the border."""
    _, height, width = planes.shape
    across = _band(width, planes.dtype, planes.device)
    down = _band(height, planes.dtype, planes.device)
    blurred = torch.cat([planes[..., reach] @ across[reach, strip] for strip, reach in _strips(width)], dim=-1)
    return torch.cat([down[strip, reach] @ blurred[:, reach] for strip, reach in _strips(height)], dim=-2)


def _strips(size: int) -> list[tuple[slice, slice]]:
    """Strips of an axis and, for each, what the window reaches from it."""
    return [
        (slice(start, min(start + _STRIP, size)), slice(max(start - _RADIUS, 0), min(start + _STRIP + _RADIUS, size)))
        for start in range(0, size, _STRIP)
    ]


@functools.lru_cache(maxsize=32)
def _band(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): the normalised window along one axis as a symmetric band matrix."""
    offset = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
    window = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    window /= window.sum()
    position = torch.arange(size)
    distance = position[:, None] - position
    inside = distance.abs() <= _RADIUS
    band = torch.where(inside, window[(distance + _RADIUS).clamp(0, 2 * _RADIUS)], 0.0)
    return band.to(device=device, dtype=dtype)
