"""The probe's optimisation against the authors' own training loop, iteration by iteration.

The truth is a table of numbers that the official code of Feat2GS (github.com/fanegg/Feat2GS, commit 0930a18: its training
scripts of the probe and of InstantSplat) gave on a CPU for the scene below, with its renderer, gsplat, replaced by this
suite's plain PyTorch one, its warm start shortened from 1000 to 12 iterations, its heads set to the same formula and its
views taken in turn. Everything else that decides a step was the official code's: initial values, warm-start loss, rendering
loss, learning rates, optimiser, poses, and which group is optimised when.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.core.protocols import PROBE_PROTOCOLS
from bench.probe import optimise as module
from bench.probe.features.map import FeatureMap
from bench.probe.measure.poses import intrinsics_tensor, pose_vectors, scene_extent
from bench.probe.modes import mode_named
from bench.probe.optimise import TrainingViews, optimise
from bench.probe.parameters import Parameters, initial_values
from bench.probe.settings import ProbeSettings
from bench.types import Array, Camera

WARM_START, RENDERING = 12, 12
VIEWS, HEIGHT, WIDTH, FOCAL, CHANNELS = 2, 12, 16, 20.0, 8
HEADS = ("position", "log_scale", "rotation", "opacity", "colour_dc", "colour_rest")
#: Factor and offset of a head's last layer: Gaussians in view and small, so that rounding does not decide the order of two
#: that cover each other.
LAST_LAYER = {"position": (0.3, (0.0, 0.0, 0.5)), "log_scale": (0.3, (-3.5, -3.5, -3.5))}
LOGGED = (0, 1, 5, 11, 12, 13, 17, 23)  #: iterations, counted from 0, whose loss stands in the table


@dataclass(frozen=True)
class Official:
    """losses: at the iterations LOGGED (InstantSplat, without a warm start: at all of them below 12). moved: mean absolute
    change of each group's parameters until the last iteration."""

    losses: tuple[float, ...]
    moved: dict[str, float]


def photos() -> Array:
    """(V, H, W, 3) uint8."""
    view, row, column, channel = np.ogrid[:VIEWS, :HEIGHT, :WIDTH, :3]
    waves = np.sin(0.5 * column + 0.9 * channel + 0.3 * view) * np.cos(0.4 * row - 0.7 * channel)
    return np.rint(255 * (0.5 + 0.4 * waves)).astype(np.uint8)


def cameras() -> list[Camera]:
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    found = []
    for view in range(VIEWS):
        sine, cosine = np.sin(0.08 * view + 0.02), np.cos(0.08 * view + 0.02)
        pose = np.array([[cosine, 0, sine, -0.06 * view], [0, 1, 0, 0.02 * view], [-sine, 0, cosine, 0.01], [0, 0, 0, 1]])
        found.append(Camera(intrinsics, pose, WIDTH, HEIGHT))
    return found


def points() -> Array:
    """(V, H, W, 3) float32, no two at one depth."""
    view, row, column = np.ogrid[:VIEWS, :HEIGHT, :WIDTH]
    depth = 0.5 + 0.04 * np.sin(0.37 * column + 0.23 * row + view) + 1.3e-4 * (column + WIDTH * row)
    return np.stack([camera.unproject(each) for camera, each in zip(cameras(), depth, strict=True)]).astype(np.float32)


def patch_features() -> Array:
    """(V, 3, 4, CHANNELS) float32."""
    view, row, column, channel = np.ogrid[:VIEWS, :3, :4, :CHANNELS]
    return np.sin(1.3 * channel + 0.8 * row * (channel + 1) + 1.1 * column + 2.0 * view).astype(np.float32)


def pixel_features() -> Array:
    """(V, H, W, 6) float32: what IUVRGB gives."""
    axes = np.meshgrid(*(np.linspace(0, 1, size) for size in (VIEWS, HEIGHT, WIDTH)), indexing="ij")
    index, row, column = (axis[..., None] for axis in axes)
    return np.concatenate([index, column, row, photos() / 255 * 2 - 1], axis=-1).astype(np.float32)


def head_values(head: str, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """The parameters of a head, of the size that default initialisation gives them, by formula."""
    values = [
        torch.sin(12.9898 * torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float64) + HEADS.index(head) + 0.5 * number)
        .reshape(shape)
        .div(shapes[0][1] ** 0.5)
        for number, shape in enumerate(shapes)
    ]
    factor, offset = LAST_LAYER.get(head, (1.0, (0.0,)))
    return [value.float() for value in (*values[:2], factor * values[2], 0 * values[3] + torch.tensor(offset))]


#: By mode, and whether the feature is per pixel (IUVRGB, with its hold on the scales).
TABLE: dict[tuple[str, bool], Official] = {
    ("G", False): Official(
        (2.83049, 2.783931, 2.724632, 2.71289, 0.4995666, 0.4872625, 0.4870201, 0.4862745),
        {
            "colour_dc": 0.0023572,
            "colour_rest": 9.5573e-05,
            "log_scale": 0.012945,
            "opacity": 0.024039,
            "pose": 0.00071385,
            "position": 0.015391,
            "rotation": 0.0067044,
        },
    ),
    ("T", False): Official(
        (0.9620607, 0.9257854, 0.8699244, 0.8571776, 0.314338, 0.3072581, 0.3036609, 0.2984554),
        {
            "colour_dc": 0.01452,
            "colour_rest": 0.020401,
            "log_scale": 0.0049498,
            "opacity": 0.050768,
            "pose": 0.00072456,
            "position": 5.3011e-06,
            "rotation": 0.00060272,
        },
    ),
    ("A", False): Official(
        (3.792551, 3.709716, 3.594556, 3.570068, 0.5224223, 0.5007977, 0.5001286, 0.4990115),
        {
            "colour_dc": 0.014249,
            "colour_rest": 0.020394,
            "log_scale": 0.013038,
            "opacity": 0.024065,
            "pose": 0.00067339,
            "position": 0.015391,
            "rotation": 0.0067138,
        },
    ),
    ("Gft", False): Official(
        (2.83049, 2.78072, 2.719683, 2.70721, 0.5025047, 0.4911335, 0.4907018, 0.490002),
        {
            "colour_dc": 0.0023055,
            "colour_rest": 9.6034e-05,
            "features": 0.016109,
            "log_scale": 0.01297,
            "opacity": 0.021969,
            "pose": 0.00072533,
            "position": 0.015715,
            "rotation": 0.006296,
        },
    ),
    ("Tft", False): Official(
        (0.9620607, 0.9246948, 0.8675991, 0.8546359, 0.3136677, 0.3066581, 0.303075, 0.2978695),
        {
            "colour_dc": 0.01425,
            "colour_rest": 0.020344,
            "features": 0.018212,
            "log_scale": 0.0049414,
            "opacity": 0.050717,
            "pose": 0.00072655,
            "position": 5.3007e-06,
            "rotation": 0.00060291,
        },
    ),
    ("Aft", False): Official(
        (3.792551, 3.706135, 3.588253, 3.562833, 0.5242838, 0.5041192, 0.5035803, 0.5024273),
        {
            "colour_dc": 0.013746,
            "colour_rest": 0.0203,
            "features": 0.016079,
            "log_scale": 0.012986,
            "opacity": 0.022516,
            "pose": 0.00072786,
            "position": 0.01573,
            "rotation": 0.0063402,
        },
    ),
    ("instantsplat", False): Official(
        (0.13501, 0.1220536, 0.093691, 0.06877631),
        {
            "colour_dc": 0.022658,
            "colour_rest": 0.0010419,
            "log_scale": 0.042273,
            "opacity": 0.45178,
            "pose": 0.00072279,
            "position": 3.9841e-05,
            "rotation": 0.0051922,
        },
    ),
    ("G", True): Official(
        (2.964962, 2.887262, 2.766437, 2.738787, 0.56028, 0.549654, 0.5491761, 0.5480165),
        {
            "colour_dc": 0.0021213,
            "colour_rest": 0.00010284,
            "log_scale": 0.022136,
            "opacity": 0.043294,
            "pose": 0.00073553,
            "position": 0.020225,
            "rotation": 0.017261,
        },
    ),
}


def trajectory(mode: str, per_pixel: bool, monkeypatch: pytest.MonkeyPatch) -> Official:
    """The same numbers from this suite."""
    chosen = mode_named(mode)
    cpu = torch.device("cpu")
    protocol = replace(
        PROBE_PROTOCOLS["paper-v1"],
        warm_start=WARM_START,
        iterations=WARM_START + RENDERING,
        instantsplat_iterations=RENDERING,
    )
    start = initial_values(points().reshape(-1, 3), photos().reshape(-1, 3) / 255, protocol.opacity_initial, cpu)
    values = torch.from_numpy(pixel_features() if per_pixel else patch_features())
    features = FeatureMap(values, HEIGHT, WIDTH, per_pixel) if chosen.needs_feature else None
    parameters = Parameters(chosen, start, features, torch.arange(VIEWS * HEIGHT * WIDTH), 0)
    for head in chosen.readout:
        assert parameters.readout is not None
        own = list(parameters.readout.heads[head].parameters())
        for parameter, value in zip(own, head_values(head, [tuple(each.shape) for each in own]), strict=True):
            nn.init.zeros_(parameter).data.add_(value)
    views = TrainingViews(
        torch.from_numpy(photos()).float() / 255,
        torch.stack([intrinsics_tensor(camera, cpu) for camera in cameras()]),
        pose_vectors(cameras(), cpu),
        scene_extent(cameras()),
    )
    losses: list[float] = []
    states: list[dict[str, list[Tensor]]] = []
    descend = module.descend

    def watched(loss: Tensor, optimiser: torch.optim.Optimizer, iteration: int) -> None:
        losses.append(loss.item())
        states.append({group["name"]: [p.detach().clone() for p in group["params"]] for group in optimiser.param_groups})
        descend(loss, optimiser, iteration)

    def in_turn(count: int, seed: int) -> Iterator[int]:
        return itertools.cycle(range(count))

    monkeypatch.setattr(module, "descend", watched)
    monkeypatch.setattr(module, "_shuffled", in_turn)
    optimise(parameters, views, ProbeSettings(chosen, protocol, holds_scales=per_pixel, backend="torch"))
    return summary(losses, states)


def summary(losses: Sequence[float], states: Sequence[dict[str, list[Any]]]) -> Official:
    """states: parameters by group before each iteration's update."""
    first, last = states[0], states[-1]
    moved = {}
    for name, starts in first.items():
        changes = [(new - old).abs().flatten() for new, old in zip(last[name], starts, strict=True)]
        moved[name] = float(torch.cat(changes).mean())
    return Official(tuple(losses[i] for i in LOGGED if i < len(losses)), moved)


@pytest.mark.parametrize(("mode", "per_pixel"), TABLE, ids=lambda value: str(value))
def test_each_iteration_is_that_of_the_official_loop(mode: str, per_pixel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, official = trajectory(mode, per_pixel, monkeypatch), TABLE[mode, per_pixel]
    assert ours.losses == pytest.approx(official.losses, rel=1e-4)
    # A free rotation starts on a round Gaussian, where its gradient is zero but for rounding, which Adam magnifies.
    skipped = {"rotation"} if "rotation" in mode_named(mode).free else set()
    for name in official.moved.keys() - skipped:
        assert ours.moved[name] == pytest.approx(official.moved[name], rel=2e-3, abs=1e-9), name
