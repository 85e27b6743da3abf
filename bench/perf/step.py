"""A whole step of the probe's rendering stage (readout, rasterizer, loss, optimiser; forward and backward), natively and in
plain torch with the perceptrons per pixel, as the official code does it; and whole cells of `quick-v1`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench import native
from bench.core.cells import Cell
from bench.core.protocols import PROBE_PROTOCOLS
from bench.perf.raster import scene
from bench.perf.readout import head_by_head
from bench.perf.timing import Compute, Result, compare
from bench.probe.features.map import FeatureMap
from bench.probe.measure.image_loss import PhotometricLoss
from bench.probe.modes import mode_named
from bench.probe.optimise import TrainingViews, descend, optimise, render_view
from bench.probe.parameters import Parameters, activated, initial_values
from bench.probe.settings import ProbeSettings
from bench.splat import SH_0

VIEWS, PATCHES, SIZE, CHANNELS = 3, (24, 32), (128, 96), 256
WARM_START = 30  #: iterations that bring the Gaussians near their places before anything is timed
_RATE = 1e-6  # small, so that all timed steps render the same scene
MODES = ("A", "G", "T")
CELL = {"dataset": "procedural", "scene": "room", "model": "random-vit", "protocol": "quick-v1"}


def measure(
    size: tuple[int, int] = SIZE,
    patches: tuple[int, int] = PATCHES,
    channels: int = CHANNELS,
    modes: Sequence[str] = MODES,
    repeats: int = 15,
) -> Iterator[Result]:
    """The two ways to do a step. size: (width, height) of the probe's grid; 3 x width x height Gaussians. patches: (rows,
    columns) of a photo. The views are three photos of the rasterizer's scene, from one camera."""
    for mode in modes:
        fast, plain = _steps(size, patches, channels, mode)
        count = VIEWS * size[0] * size[1]
        case = f"mode {mode}, {channels} channels, {count} Gaussians, {size[0]} x {size[1]}"
        yield from compare(
            "step", case, {"torch, per pixel": plain, "on patches": fast}, repeats, slow=("torch, per pixel",)
        )


def _steps(size: tuple[int, int], patches: tuple[int, int], channels: int, mode: str) -> tuple[Compute, Compute]:
    """A step on patches with the fastest rasterizer, and one per pixel with the torch rasterizer; they start alike."""
    width, height = size
    chosen = mode_named(mode)
    protocol = replace(PROBE_PROTOCOLS["paper-v1"], warm_start=WARM_START, iterations=WARM_START)
    fastest = ProbeSettings(chosen, protocol)
    gaussians, _, intrinsics = scene(width, height)
    colours = (0.5 + SH_0 * gaussians.spherical_harmonics[:, 0]).clamp(0, 1)
    initial = initial_values(gaussians.means.double().numpy(), colours.numpy(), 0.5, torch.device("cpu"))
    poses = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0]]).repeat(VIEWS, 1)
    blank = TrainingViews(torch.zeros(VIEWS, height, width, 3), intrinsics.repeat(VIEWS, 1, 1), poses, 1.0)
    with torch.no_grad():
        photo = render_view(activated(initial), poses[0], blank, 0, 3, fastest).clamp(0, 1)
    views = TrainingViews(photo.repeat(VIEWS, 1, 1, 1), blank.intrinsics, poses, 1.0)
    values = torch.randn(VIEWS, *patches, channels, generator=torch.Generator().manual_seed(0))
    on_patches = FeatureMap(values, height, width, per_pixel=False)
    per_pixel = FeatureMap(on_patches.upsampled(), height, width, per_pixel=True)
    pixels = torch.arange(VIEWS * height * width)
    fast, plain = (Parameters(chosen, initial, features, pixels, seed=0) for features in (on_patches, per_pixel))
    optimise(fast, views, fastest)
    for group, other in zip(fast.groups(), plain.groups(), strict=True):
        for trained, own in zip(group["params"], other["params"], strict=True):
            own.data.copy_(trained.data)
    assert plain.readout is not None
    own, upsampled = plain.readout, per_pixel.values.flatten(0, 2)
    slow = _step(plain, lambda: plain.free | head_by_head(own, upsampled), views, replace(fastest, backend="torch"))
    return _step(fast, fast.values, views, fastest), slow


def _step(
    parameters: Parameters,
    values: Callable[[], Mapping[str, Tensor]],
    views: TrainingViews,
    settings: ProbeSettings,
) -> Compute:
    poses = nn.Parameter(views.poses.clone())
    groups = [*parameters.groups(), {"name": "pose", "params": [poses]}]
    optimiser = torch.optim.Adam(groups, lr=_RATE, eps=settings.protocol.adam_epsilon, fused=True)
    losses = [PhotometricLoss(photo, settings.protocol.ssim_weight) for photo in views.photos]
    turn = iter(np.tile(np.arange(VIEWS), 10_000).tolist())

    def run() -> list[Tensor]:
        view = next(turn)
        picture = render_view(activated(values()), poses[view], views, view, 3, settings)
        loss = losses[view](picture)
        descend(loss, optimiser, iteration=1)
        return [picture.detach(), loss.detach()]

    return run


def measure_cells(modes: Sequence[str] = ("A", "Aft")) -> Iterator[Result]:
    """Whole cells of `quick-v1` on a randomly initialised network, with the features in the cache: without and with the C++
    kernels. The notes hold the PSNR on the held-out views; a probe amplifies rounding, that of fine-tuned features most."""
    from bench.core.residents import Residents
    from bench.core.track import Settings
    from bench.probe.track import ProbeTrack

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(None, Path(folder), "cpu", "pretrained")
        for mode in modes:
            cell = Cell("probe", mode=mode, pointmap="simulated", seed=0, **CELL)
            reached: dict[str, float] = {}

            def run(path: str, cell: Cell = cell, reached: dict[str, float] = reached) -> list[Tensor]:
                outcome = ProbeTrack().run(cell, settings, Residents())
                psnr = [found.value for found in outcome.measurements if found.metric == "psnr"]
                reached[path] = float(np.mean(psnr))
                return [torch.tensor(psnr)]

            def without_kernels(run: Callable[[str], list[Tensor]] = run) -> list[Tensor]:
                with native.without_kernels():
                    return run("torch")

            paths: dict[str, Compute] = {"torch": without_kernels, "native": partial(run, "native")}
            for result in compare("cell", f"{cell.protocol}, {cell.label}", paths, 1):
                yield replace(result, note=f"PSNR {reached[result.path]:.2f} dB")
