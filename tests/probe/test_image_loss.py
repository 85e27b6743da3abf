"""The rendering loss against a direct convolution and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.probe.measure.image_loss import PhotometricLoss
from bench.types import UserError


def window() -> Tensor:
    weights = [[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)]
    kernel = torch.tensor(weights, dtype=torch.float64)
    return kernel / kernel.sum()


def direct(render: Tensor, photo: Tensor, weight: float = 0.2) -> Tensor:
    """The loss as it is defined, with two-dimensional convolutions in float64."""
    x, y = (image.double().permute(2, 0, 1)[:, None] for image in (render, photo))

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(image, window()[None, None], padding=5)

    covariance = mean(x * y) - mean(x) * mean(y)
    variances = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    above = (2 * mean(x) * mean(y) + 0.01**2) * (2 * covariance + 0.03**2)
    below = (mean(x) ** 2 + mean(y) ** 2 + 0.01**2) * (variances + 0.03**2)
    return (1 - weight) * (x - y).abs().mean() + weight * (1 - (above / below).mean())


def images(height: int, width: int, noise: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    photo = torch.rand(height, width, 3, generator=generator, dtype=torch.float64)
    return (photo + noise * torch.randn(photo.shape, generator=generator)).clamp(0, 1), photo


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (11, 11), (32, 33), (70, 31), (72, 96)])
def test_value_and_gradient_equal_the_direct_ones(size: tuple[int, int]) -> None:
    render, photo = images(*size)
    render.requires_grad_()
    true = direct(render, photo)
    (gradient,) = torch.autograd.grad(true, render)
    loss = PhotometricLoss(photo)(render)
    (own,) = torch.autograd.grad(3 * loss, render)
    torch.testing.assert_close(loss, true, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(own, 3 * gradient, rtol=1e-8, atol=1e-14)


def test_single_precision() -> None:
    render, photo = images(72, 96)
    low = render.float().requires_grad_()
    loss = PhotometricLoss(photo.float())(low)
    (own,) = torch.autograd.grad(loss, low)
    high = low.detach().double().requires_grad_()
    true = direct(high, photo.float())
    (gradient,) = torch.autograd.grad(true, high)
    assert loss.dtype == torch.float32
    assert abs(loss.item() - true.item()) < 1e-6
    assert (own.double() - gradient).norm() < 1e-5 * gradient.norm()


def test_gradient_by_finite_differences() -> None:
    render, photo = images(6, 8)
    assert torch.autograd.gradcheck(PhotometricLoss(photo, ssim_weight=0.7), (render.requires_grad_(),), eps=1e-7)


def test_known_values() -> None:
    _, photo = images(40, 30)
    assert PhotometricLoss(photo)(photo).item() == pytest.approx(0, abs=1e-12)
    black, grey = torch.zeros(11, 11, 3), torch.full((11, 11, 3), 0.5)
    assert PhotometricLoss(grey, ssim_weight=0.0)(black).item() == pytest.approx(0.5)
    one = torch.ones(1, 1, 3, dtype=torch.float64)
    centre = window()[5, 5].item()  # what the zero padding leaves of the window over an image of one pixel
    mean, variance = centre, centre - centre**2
    ssim = 0.01**2 / (mean**2 + 0.01**2) * 0.03**2 / (variance + 0.03**2)
    assert PhotometricLoss(one)(0 * one).item() == pytest.approx(0.8 + 0.2 * (1 - ssim))


def test_a_nan_in_the_render_is_not_hidden() -> None:
    render, photo = images(20, 20)
    render[10, 10, 0] = float("nan")
    assert PhotometricLoss(photo)(render).isnan()


def test_bad_input() -> None:
    with pytest.raises(UserError, match="photo"):
        PhotometricLoss(torch.zeros(4, 4))
    with pytest.raises(UserError, match="photo"):
        PhotometricLoss(torch.zeros(4, 4, 3, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"\(4, 5, 3\)"):
        PhotometricLoss(torch.zeros(4, 4, 3))(torch.zeros(4, 5, 3))
