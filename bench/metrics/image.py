"""How close a rendered picture is to the photo: PSNR, SSIM, HaarPSI and LPIPS.

Pictures are tensors (H, W, 3) in [0, 1] on one device; what comes back is a Python float.
"""

from __future__ import annotations

import contextlib
import functools
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import Unavailable

RADIUS, SIGMA = 5, 1.5  #: of SSIM's Gaussian window, in pixels: 11 x 11
C1, C2 = 0.01**2, 0.03**2  #: SSIM's constants for a peak of 1
_STRIP = 32  # a blur goes by strips of an axis, which skips most of the band matrix's zeros
HAARPSI_SMALLEST_SIDE = 16  #: pixels; its largest filter covers so many
LPIPS_SMALLEST_SIDE = 16  #: pixels; VGG halves the picture four times
#: Where LPIPS's backbone comes from: torchvision's VGG-16, trained on ImageNet.
LPIPS_BACKBONE = "torchhub:https://download.pytorch.org/models/vgg16-397923af.pth"


def psnr(picture: Tensor, photo: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels, peak 1; +inf for equal pictures."""
    error = (picture.double() - photo.double()).square().mean().item()
    return math.inf if error == 0 else -10.0 * math.log10(error)


def ssim(picture: Tensor, photo: Tensor) -> float:
    """Structural similarity, the mean of `ssim_map`; 1 for equal pictures.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", TIP 2004.
    """
    return ssim_map(picture, photo).mean().item()


def ssim_map(picture: Tensor, photo: Tensor) -> Tensor:
    """(H, W, 3): SSIM at each pixel and channel: 11x11 Gaussian window, sigma 1.5, zero padding, population variances."""
    x, y = (each.permute(2, 0, 1) for each in (picture, photo))
    mean_x, mean_y, square_x, square_y, product = blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return (similarity / ((mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2))).permute(1, 2, 0)


def blur(planes: Tensor) -> Tensor:
    """Planes (P, H, W) under SSIM's Gaussian window, zero beyond the border.

    The window is separable: the blur is a product with a symmetric band matrix from either side, hence its own transpose.
    """
    _, height, width = planes.shape
    across = _band(width, planes.dtype, planes.device)
    down = _band(height, planes.dtype, planes.device)
    blurred = torch.cat([planes[..., reach] @ across[reach, strip] for strip, reach in _strips(width)], dim=-1)
    return torch.cat([down[strip, reach] @ blurred[:, reach] for strip, reach in _strips(height)], dim=-2)


def _strips(size: int) -> list[tuple[slice, slice]]:
    """Strips of an axis and, for each, what the window reaches from it."""
    return [
        (slice(start, min(start + _STRIP, size)), slice(max(start - RADIUS, 0), min(start + _STRIP + RADIUS, size)))
        for start in range(0, size, _STRIP)
    ]


@functools.lru_cache(maxsize=32)
def _band(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): the normalised window along one axis as a symmetric band matrix."""
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    window = torch.exp(-(offset**2) / (2 * SIGMA**2))
    window /= window.sum()
    position = torch.arange(size)
    distance = position[:, None] - position
    inside = distance.abs() <= RADIUS
    band = torch.where(inside, window[(distance + RADIUS).clamp(0, 2 * RADIUS)], 0.0)
    return band.to(device=device, dtype=dtype)


def haarpsi(picture: Tensor, photo: Tensor) -> float:
    """HaarPSI in [0, 1], 1 for equal pictures: a perceptual similarity that needs no weights (the piq package's).

    Source: R. Reisenhofer et al., "A Haar wavelet-based perceptual similarity index", 2018. Raises ValueError where a side
    is below 16 pixels.
    """
    _at_least(picture, HAARPSI_SMALLEST_SIDE, "HaarPSI")
    import piq

    return min(1.0, piq.haarpsi(_batch(picture), _batch(photo), data_range=1.0).item())


def lpips(picture: Tensor, photo: Tensor) -> tuple[float, float]:
    """LPIPS with VGG, 0 for equal pictures: (the paper's, the correct one).

    The paper's is fed [0, 1] pictures as they are, a quirk inherited from 3D Gaussian splatting; the correct one rescales
    them to the [-1, 1] that the network was trained on. Source: R. Zhang et al., "The unreasonable effectiveness of deep
    features as a perceptual metric", CVPR 2018. Raises Unavailable where the backbone's weights cannot be had, ValueError
    where a side is below 16 pixels.
    """
    _at_least(picture, LPIPS_SMALLEST_SIDE, "LPIPS")
    network = _lpips_network(picture.device)
    with torch.inference_mode():
        pair = torch.cat([_batch(picture), _batch(picture) * 2 - 1]), torch.cat([_batch(photo), _batch(photo) * 2 - 1])
        plain, rescaled = network(*pair).flatten().tolist()
    return plain, rescaled


def _batch(picture: Tensor) -> Tensor:
    return picture.float().permute(2, 0, 1)[None]


def _at_least(picture: Tensor, side: int, metric: str) -> None:
    if min(picture.shape[:2]) < side:
        height, width = picture.shape[:2]
        raise ValueError(f"{metric} needs pictures of at least {side} pixels a side, this one is {width}x{height}")


def _lpips_network(device: torch.device) -> Any:
    network = _load_lpips(device)
    if isinstance(network, Unavailable):  # a fresh error each time: a raised one gathers its traceback
        raise Unavailable(str(network))
    return network


@functools.cache
def _load_lpips(device: torch.device) -> Any:
    """The network, once per process and device, or the reason why there is none. It asks no network: a run fetches the
    backbone before its workers start."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE.rpartition("/")[2]
    # The reason stands in every row; a row that is published should not name a user's home.
    shown = Path("~") / file.relative_to(Path.home()) if file.is_relative_to(Path.home()) else file
    wanted = f"LPIPS needs the VGG-16 weights {file.name}: put them at {shown}, or run once with a network"
    if not file.is_file():
        return Unavailable(f"{wanted} (they are not there)")
    import lpips as package

    try:
        with contextlib.redirect_stdout(None), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package calls torchvision in a way that torchvision deprecates
            network = package.LPIPS(net="vgg", verbose=False)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:  # cut off, or no checkpoint
        return Unavailable(f"{wanted} ({type(error).__name__}: {error})")
    return network.eval().requires_grad_(False).to(device)
