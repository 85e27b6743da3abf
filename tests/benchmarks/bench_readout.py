"""The readout on patches against the same perceptrons per pixel, and the rendering loss: CPU time, memory, deviation.

Run `python tests/benchmarks/bench_readout.py`; `--repeats N` and `--sizes 37k` make it longer or shorter. Three views with
24 x 32 patches; sizes 37k = 3 x 96 x 128 and 150k = 3 x 192 x 256 pixels. Both paths take turns in one process and on one
thread, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import native
from bench.probe.features import FeatureMap
from bench.probe.image_loss import PhotometricLoss
from bench.probe.modes import mode_named
from bench.probe.readout import HEAD_CHANNELS, Readout
from bench.provenance import measured

VIEWS, PATCHES = 3, (24, 32)
SIZES = {"37k": (96, 128), "150k": (192, 256)}


@dataclass(frozen=True)
class Row:
    """One measurement. CPU milliseconds of a forward and backward pass: median, and the range of the middle half.

    ratio: CPU time of the reference over that of this path. peak_mb: memory that a pass needs beyond what is there before.
    error: the largest relative deviation (L2 norm) of an output or a gradient from the reference's; 0 for itself.
    """

    case: str
    path: str
    milliseconds: float
    low: float
    high: float
    ratio: float
    peak_mb: float
    error: float


def measure(
    sizes: Sequence[str] = tuple(SIZES),
    channels: Sequence[int] = (256, 64),
    modes: Sequence[str] = ("A", "G", "T"),
    repeats: int = 5,
) -> list[Row]:
    """Readout rows (patch against pixel path) for every combination, then the rendering loss (band products against
    two-dimensional convolutions) for one view of each size. Uses one thread."""
    torch.set_num_threads(1)
    rows = []
    for size in sizes:
        for width in channels:
            for mode in modes:
                rows += _readout_rows(size, width, mode, repeats)
    for size in sizes:
        rows += _loss_rows(size, repeats)
    return rows


def _readout_rows(size: str, channels: int, mode: str, repeats: int) -> list[Row]:
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
        "per pixel": lambda: run(lambda: readout.forward_pixels(upsampled)),
        "patches": lambda: run(lambda: readout(features)),
    }
    return _compare(f"readout {mode}, {channels} channels, {size} pixels", paths, repeats)


def _loss_rows(size: str, repeats: int) -> list[Row]:
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
    return _compare("loss, one view, {} x {}".format(*SIZES[size]), paths, repeats)


def _compare(case: str, paths: dict[str, Callable[[], list[Tensor]]], repeats: int) -> list[Row]:
    """A row for each path; the first one is the reference."""
    results = {name: run() for name, run in paths.items()}
    times: dict[str, list[float]] = {name: [] for name in paths}
    peaks = {}
    for name, run in paths.items():
        _release_memory()
        with measured("cpu") as before:
            pass
        with measured("cpu") as within:
            run()
        peaks[name] = within.peak_memory_mb - before.peak_memory_mb
    for _ in range(repeats):
        for name, run in paths.items():
            start = time.process_time()
            run()
            times[name].append(1e3 * (time.process_time() - start))
    reference = next(iter(paths))
    rows = []
    for name in paths:
        low, median, high = statistics.quantiles(times[name], n=4)
        ratio = statistics.median(times[reference]) / median
        deviations = [
            ((own - true).norm() / true.norm()).item() for own, true in zip(results[name], results[reference], strict=True)
        ]
        rows.append(Row(case, name, median, low, high, ratio, peaks[name], max(deviations)))
    return rows


def _release_memory() -> None:
    """Give freed memory back to the system, where the C library can, so that the next peak counts it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--channels", nargs="+", type=int, default=[256, 64])
    parser.add_argument("--modes", nargs="+", choices=["A", "G", "T"], default=["A", "G", "T"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"C++ kernel: {native.missing('readout') or 'built'}; CPU: {torch.backends.cpu.get_cpu_capability()}; one thread")
    print(f"{'case':40} {'path':14} {'CPU ms':>8} {'middle half':>17} {'ratio':>6} {'peak MB':>8} {'error':>8}")
    for row in measure(options.sizes, options.channels, options.modes, options.repeats):
        cost = f"{row.milliseconds:8.1f} {f'{row.low:.1f} to {row.high:.1f}':>17} {row.ratio:6.1f} {row.peak_mb:8.0f}"
        print(f"{row.case:40} {row.path:14} {cost} {row.error:8.1e}")


if __name__ == "__main__":
    main()
