"""The readout on patches and on pixels against the same perceptrons head after head, and the rendering loss against
convolutions, forward and backward.

Three views with 24 x 32 patches; sizes 37k = 3 x 96 x 128 and 150k = 3 x 192 x 256 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.perf.timing import Result, compare
from bench.probe.features.map import FeatureMap
from bench.probe.measure.image_loss import PhotometricLoss
from bench.probe.modes import mode_named
from bench.probe.readout.readout import HEAD_CHANNELS, Readout

VIEWS, PATCHES = 3, (24, 32)
SIZES = {"37k": (96, 128), "150k": (192, 256)}
CHANNELS = (256, 64)
MODES = ("A", "G", "T")


def measure(
    sizes: Sequence[str] = tuple(SIZES),
    channels: Sequence[int] = CHANNELS,
    modes: Sequence[str] = MODES,
    repeats: int = 5,
) -> Iterator[Result]:
    """The readout for every combination, then the loss for one view a size. The reference evaluates the heads one by one on
    every pixel; beside it the two ways of the probe, for patch features and for features that differ from pixel to pixel.
    """
    for size in sizes:
        for width in channels:
            for mode in modes:
                yield from _readout(size, width, mode, repeats)
    for size in sizes:
        yield from _loss(size, repeats)


def _readout(size: str, channels: int, mode: str, repeats: int) -> list[Result]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(VIEWS, *PATCHES, channels, generator=generator)
    features = FeatureMap(values, *SIZES[size], per_pixel=False)
    upsampled = features.upsampled().flatten(0, 2)
    readout = Readout(channels, mode_named(mode).readout, seed=1)
    # The derivative of a ReLU jumps at zero: pixels that have a hidden unit within rounding of it get no gradient.
    gradients = {}
    with torch.no_grad():
        for head, stack in readout.heads.items():
            before = F.linear(upsampled, stack.get_parameter("0.weight"), stack.get_parameter("0.bias"))
            smooth = (before.abs() > 1e-5).all(dim=1, keepdim=True)
            gradients[head] = smooth * torch.randn(len(upsampled), HEAD_CHANNELS[head], generator=generator)

    def run(outputs: Callable[[], dict[str, Tensor]]) -> list[Tensor]:
        found = outputs()
        of_parameters = torch.autograd.grad(list(found.values()), list(readout.parameters()), list(gradients.values()))
        return [*(output.detach() for output in found.values()), *of_parameters]

    paths = {
        "head by head": lambda: run(lambda: head_by_head(readout, upsampled)),
        "patches": lambda: run(lambda: readout(features)),
        "pixels": lambda: run(lambda: readout.forward_pixels(upsampled)),
    }
    case = f"mode {mode}, {channels} channels, {size} pixels"
    return compare("readout", case, paths, repeats, slow=("head by head", "pixels"))


def head_by_head(readout: Readout, features: Tensor) -> dict[str, Tensor]:
    """What `readout.forward_pixels` gives, in plain torch as the official code does it."""
    return {head: layers(features) for head, layers in readout.heads.items()}


def _loss(size: str, repeats: int) -> list[Result]:
    generator = torch.Generator().manual_seed(0)
    photo = torch.rand(*SIZES[size], 3, generator=generator)
    render = (photo + 0.1 * torch.randn(photo.shape, generator=generator)).clamp(0, 1).requires_grad_()
    offset = torch.arange(-5.0, 6.0)
    window = torch.exp(-(offset**2) / 4.5) / torch.exp(-(offset**2) / 4.5).sum()
    kernel = (window[:, None] * window).expand(3, 1, 11, 11).contiguous()

    def direct() -> Tensor:
        def mean(image: Tensor) -> Tensor:
            return F.conv2d(image, kernel, padding=5, groups=3)

        x, y = (image.permute(2, 0, 1)[None] for image in (render, photo))
        mean_x, mean_y = mean(x), mean(y)
        above = (2 * mean_x * mean_y + 1e-4) * (2 * (mean(x * y) - mean_x * mean_y) + 9e-4)
        spread = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
        ssim = above / ((mean_x**2 + mean_y**2 + 1e-4) * (spread + 9e-4))
        return 0.8 * (x - y).abs().mean() + 0.2 * (1 - ssim.mean())

    loss = PhotometricLoss(photo)

    def run(evaluate: Callable[[], Tensor]) -> list[Tensor]:
        value = evaluate()
        return [value.detach(), *torch.autograd.grad(value, render)]

    paths = {"convolutions": lambda: run(direct), "band products": lambda: run(lambda: loss(render))}
    return compare("loss", "one view, {} x {}".format(*SIZES[size]), paths, repeats)
