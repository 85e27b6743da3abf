"""The rendering loss of 3D Gaussian splatting (arXiv:2308.04079, equation 7): 0.8 L1 + 0.2 (1 - SSIM), per photo.

SSIM as the metric has it (bench.metrics.image), with its window and constants; the quotient is written anew, factor by
factor, because the gradient is made of those factors: value and gradient cost two blurs of three maps, where automatic
differentiation of `ssim_map` would blur five maps forth and back, and what depends on the photo alone is computed once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.metrics.image import C1, C2, blur


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
        self._mean, square = blur(torch.cat([self._photo, self._photo**2])).chunk(2)
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
        own_mean, square, product = blur(torch.cat([x, x * x, x * photo])).chunk(3)
        luminance = 2 * own_mean * mean + C1
        structure = 2 * (product - own_mean * mean) + C2
        below_luminance = own_mean**2 + mean**2 + C1
        below_structure = square - own_mean**2 + variance + C2
        scale = 1 / (below_luminance * below_structure)
        ssim = luminance * structure * scale
        if ctx.needs_input_grad[0]:
            # The derivatives of SSIM by the three blurred maps, blurred back (the blur is its own transpose).
            of_product = 2 * luminance * scale
            of_square = -ssim / below_structure
            of_mean = 2 * (mean * structure * scale - own_mean * (ssim / below_luminance + of_square)) - mean * of_product
            back_mean, back_square, back_product = blur(torch.cat([of_mean, of_square, of_product])).chunk(3)
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
