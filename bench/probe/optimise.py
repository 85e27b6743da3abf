"""The two stages of a probe's optimisation, their learning rates, and the joint refinement of the training cameras.

Source: Feat2GS (arXiv:2412.09606), section 3.3 and supplement, and its official code where the paper is silent.

On a GPU nothing in the loops waits for it, but for the renderer's own read-back (`bench.splat.gsplat_backend`), which is
also why no CUDA graph is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.cells import INSTANTSPLAT
from bench.core.protocols import ProbeProtocol, Rates
from bench.probe.measure.image_loss import PhotometricLoss
from bench.probe.modes import Mode
from bench.probe.parameters import Parameters, activated
from bench.probe.settings import ProbeSettings
from bench.splat import Gaussians, SplatError, pose_matrix, rasterize

_CURVE_POINTS = 50
_PROGRESS_EVERY = 20  # iterations
_HIGHEST_DEGREE = 3


class Diverged(Exception):
    """The loss or a Gaussian stopped being a number. Says at which iteration."""


@dataclass(frozen=True)
class Schedule:
    """What one mode does under a protocol.

    warm_start, rendering: iterations of the two stages. degree_every: the SH degree starts at 0 and rises by one every so
    many rendering iterations; None = degree 3 from the start.
    """

    warm_start: int
    rendering: int
    rates: Rates
    degree_every: int | None = None

    def degree(self, step: int) -> int:
        """The SH degree in use at rendering iteration `step`, counted from 1."""
        return _HIGHEST_DEGREE if self.degree_every is None else min(_HIGHEST_DEGREE, step // self.degree_every)


def schedule_of(mode: Mode, protocol: ProbeProtocol) -> Schedule:
    """InstantSplat has neither readout nor warm start and rates of its own; all other modes share one schedule."""
    if mode.name == INSTANTSPLAT:
        rates = protocol.rates.scaled(protocol.instantsplat_factor)
        return Schedule(0, protocol.instantsplat_iterations, rates, protocol.instantsplat_degree_every)
    return Schedule(protocol.warm_start, protocol.iterations - protocol.warm_start, protocol.rates)


def log_linear(ends: tuple[float, float], steps: int, step: int) -> float:
    """The rate at `step`: from ends[0] at step 0 to ends[1] at step `steps`, linear in its logarithm, constant beyond."""
    share = min(max(step / steps, 0.0), 1.0)
    return math.exp((1 - share) * math.log(ends[0]) + share * math.log(ends[1]))


def rendering_rates(rates: Rates, extent: float, step: int) -> dict[str, float]:
    """Learning rate of every group at rendering iteration `step`, counted from 1.

    extent: the scene's, in the probe's unit; it scales the rate of the positions only. A fine-tuned feature is frozen by
    then.
    """
    return {
        "position": log_linear(rates.position, rates.position_steps, step) * extent,
        "log_scale": rates.scale,
        "rotation": rates.rotation,
        "opacity": rates.opacity,
        "colour_dc": rates.colour_dc,
        "colour_rest": rates.colour_rest,
        "features": 0.0,
        "pose": log_linear(rates.pose, rates.pose_steps, step),
    }


@dataclass(frozen=True, eq=False)
class TrainingViews:
    """The training photos on one device. photos: (V, h, w, 3) float32 in [0, 1]. intrinsics: (V, 3, 3). poses: (V, 7), the
    world-to-camera quaternion w x y z and translation that refinement starts from. extent: of the cameras, in the probe's
    unit."""

    photos: Tensor
    intrinsics: Tensor
    poses: Tensor
    extent: float


@dataclass(frozen=True, eq=False)
class Optimised:
    """values: raw attributes. poses: (V, 7). curve: (iteration, training PSNR in dB) averaged over stretches of
    iterations."""

    values: Mapping[str, Tensor]
    poses: Tensor
    curve: tuple[tuple[int, float], ...]

    @property
    def gaussians(self) -> Gaussians:
        return activated(self.values)


def optimise(
    parameters: Parameters,
    views: TrainingViews,
    settings: ProbeSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Optimised:
    """Warm start, then rendering.

    Args:
        parameters: What is optimised, and the first values that the warm start teaches the readout.
        views: The training photos and cameras.
        settings: Mode, protocol, seed, and whether the log-scales are held near their first values.
        progress: Called with (iterations done, iterations in all).

    Raises:
        Diverged: Where the loss stops being a number.
    """
    protocol, initial = settings.protocol, parameters.initial
    schedule = schedule_of(settings.mode, protocol)
    holds_scales = settings.holds_scales and settings.mode.needs_feature
    poses = nn.Parameter(views.poses.clone(), requires_grad=protocol.refine_poses)
    groups = [*parameters.groups(), {"name": "pose", "params": [poses]}]
    # Parameters without a gradient (free ones in the warm start, frozen ones after it) are skipped, their state untouched.
    optimiser = torch.optim.Adam(groups, lr=0.0, eps=protocol.adam_epsilon, fused=True)
    total = schedule.warm_start + schedule.rendering

    for step in range(1, schedule.warm_start + 1):
        rate = log_linear(protocol.warm_start_rate, schedule.warm_start, step)
        _set_rates(optimiser, {group["name"]: rate for group in optimiser.param_groups})
        values = parameters.values()
        terms = [(values[name] - initial[name]).abs().mean() for name in parameters.mode.readout]
        descend(torch.stack(terms).sum(), optimiser, step)
        _report(progress, step, total)
    parameters.freeze_features()

    losses = [PhotometricLoss(photo, protocol.ssim_weight) for photo in views.photos]
    order = _shuffled(len(views.photos), settings.seed)
    errors = []
    for step in range(1, schedule.rendering + 1):
        iteration, view = schedule.warm_start + step, next(order)
        _set_rates(optimiser, rendering_rates(schedule.rates, views.extent, step))
        values = parameters.values()
        try:
            picture = render_view(activated(values), poses[view], views, view, schedule.degree(step), settings)
        except SplatError as error:
            raise Diverged(f"iteration {iteration}: {error}") from error
        loss = losses[view](picture)
        if holds_scales:
            loss = loss + protocol.iuv_scale_weight * (values["log_scale"] - initial["log_scale"]).abs().mean()
        descend(loss, optimiser, iteration)
        errors.append((picture.detach() - views.photos[view]).square().mean())
        _report(progress, iteration, total)

    with torch.no_grad():
        values = {name: value.detach() for name, value in parameters.values().items()}
        poses.copy_(torch.cat([nn.functional.normalize(poses[:, :4], dim=1), poses[:, 4:]], dim=1))
    broken = [name for name, value in values.items() if not bool(value.isfinite().all())]
    if broken:
        raise Diverged(f"iteration {total}: {', '.join(broken)} of some Gaussians are not finite")
    return Optimised(values, poses.detach(), _curve(errors, schedule.warm_start))


def render_view(
    gaussians: Gaussians,
    pose: Tensor,
    views: TrainingViews,
    view: int,
    degree: int,
    settings: ProbeSettings,
) -> Tensor:
    """The training view (h, w, 3) from its current pose (7,), differentiable. On a GPU the values are not looked at."""
    height, width = views.photos.shape[1:3]
    return rasterize(
        gaussians,
        pose_matrix(pose[:4], pose[4:]),
        views.intrinsics[view],
        width,
        height,
        backend=settings.backend,
        degree=degree,
        alpha_max=settings.protocol.alpha_max,
        check=pose.device.type == "cpu",
    ).rgb


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, iteration: int) -> None:
    """Backward pass and update; clears the gradients. Raises Diverged where the loss is no number."""
    # Asking a GPU for the number would stall it, and its renderer bears NaN: there the Gaussians are looked at once, at the
    # end.
    if loss.device.type == "cpu" and not math.isfinite(loss.item()):
        raise Diverged(f"iteration {iteration}: the loss is {loss.item()}")
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _set_rates(optimiser: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rates[group["name"]]


def _shuffled(count: int, seed: int) -> Iterator[int]:
    """Indices below `count`: each once before any comes again, in a new order every round."""
    generator = np.random.default_rng(seed)
    while True:
        yield from generator.permutation(count).tolist()


def _report(progress: Callable[[int, int], None] | None, iteration: int, total: int) -> None:
    if progress is not None and (iteration % _PROGRESS_EVERY == 0 or iteration == total):
        progress(iteration, total)


def _curve(errors: Sequence[Tensor], offset: int) -> tuple[tuple[int, float], ...]:
    """Mean PSNR over about 50 stretches of iterations; (the last iteration of the stretch, dB)."""
    if not errors:
        return ()
    decibels = -10 * torch.stack(list(errors)).double().clamp(min=1e-12).log10().cpu().numpy()
    stretches = np.array_split(np.arange(len(decibels)), min(_CURVE_POINTS, len(decibels)))
    return tuple((offset + int(stretch[-1]) + 1, float(decibels[stretch].mean())) for stretch in stretches)
