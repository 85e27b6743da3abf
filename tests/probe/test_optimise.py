from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from closed_form_scene import camera_at
from torch import Tensor

from bench.core.protocols import PROBE_PROTOCOLS, ProbeProtocol
from bench.probe.features.map import FeatureMap
from bench.probe.frame import on_grid, unit_frame
from bench.probe.measure.metrics import photo_tensor
from bench.probe.measure.poses import intrinsics_tensor, pose_errors, pose_vectors, posed, scene_extent
from bench.probe.modes import ATTRIBUTES, mode_named
from bench.probe.optimise import (
    Diverged,
    Optimised,
    TrainingViews,
    _shuffled,
    log_linear,
    optimise,
    rendering_rates,
    schedule_of,
)
from bench.probe.parameters import Parameters, activated, initial_values
from bench.probe.settings import ProbeSettings
from bench.splat import pose_matrix, rasterize
from bench.types import Initialisation, MultiViewScene

CPU = torch.device("cpu")
PAPER = PROBE_PROTOCOLS["paper-v1"]
SHORT = replace(PAPER, iterations=14, warm_start=8, instantsplat_iterations=6)


# --------------------------------------------------------------------------------------------- schedules, worked by hand


def test_log_linear_by_hand() -> None:
    assert log_linear((1e-2, 1e-4), 1000, 0) == pytest.approx(1e-2)
    assert log_linear((1e-2, 1e-4), 1000, 500) == pytest.approx(1e-3)
    assert log_linear((1e-2, 1e-4), 1000, 1000) == pytest.approx(1e-4)
    assert log_linear((1e-2, 1e-4), 1000, 7000) == pytest.approx(1e-4)


def test_rates_of_the_paper() -> None:
    """The official code's arguments (github.com/fanegg/Feat2GS, commit 0930a18)."""
    rates = rendering_rates(PAPER.rates, extent=2.0, step=500)
    assert rates["pose"] == pytest.approx(1e-5)
    assert rendering_rates(PAPER.rates, 2.0, 1000)["pose"] == pytest.approx(1e-6)
    assert rendering_rates(PAPER.rates, 2.0, 7000)["pose"] == pytest.approx(1e-6)
    assert rendering_rates(PAPER.rates, 2.0, 15_000)["position"] == pytest.approx(2 * 1.6e-6)
    assert rendering_rates(PAPER.rates, 2.0, 30_000)["position"] == pytest.approx(2 * 1.6e-7)
    constant = {"colour_dc": 2.5e-4, "colour_rest": 1.25e-5, "opacity": 5e-3, "log_scale": 5e-4, "rotation": 1e-4}
    assert {name: rates[name] for name in constant} == pytest.approx(constant)


def test_schedules_of_the_paper() -> None:
    for name in ("G", "T", "A", "Gft", "Tft", "Aft"):
        schedule = schedule_of(mode_named(name), PAPER)
        assert (schedule.warm_start, schedule.rendering) == (1000, 7000)
        assert schedule.degree(1) == 3
    free = schedule_of(mode_named("instantsplat"), PAPER)
    assert (free.warm_start, free.rendering) == (0, 7000)
    assert free.degree(1) == 3
    rising = schedule_of(mode_named("instantsplat"), replace(PAPER, instantsplat_degree_every=1000))
    assert [rising.degree(step) for step in (1, 999, 1000, 1999, 2000, 3000, 7000)] == [0, 0, 1, 1, 2, 3, 3]
    rates = rendering_rates(free.rates, 1.0, 500)
    assert rates["colour_dc"] == pytest.approx(2.5e-3)
    assert rates["opacity"] == pytest.approx(0.05)
    assert rates["pose"] == pytest.approx(1e-5)  # not raised tenfold


def test_every_view_comes_once_a_round() -> None:
    drawn = list(islice(_shuffled(4, seed=3), 40))
    rounds = [drawn[i : i + 4] for i in range(0, 40, 4)]
    assert all(sorted(each) == [0, 1, 2, 3] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert drawn == list(islice(_shuffled(4, seed=3), 40))


# --------------------------------------------------------------------------------------------- the stages, on a tiny scene


class Problem:
    """The tiny scene at a quarter of its size, ready to be optimised."""

    def __init__(self, scene: MultiViewScene, start: Initialisation) -> None:
        self.start = on_grid(unit_frame(start).enter(start), 12, 16)
        self.photos = torch.stack([photo_tensor(view, CPU)[1::2, 1::2] for view in scene.train])
        points = np.stack(self.start.points).reshape(-1, 3).astype(np.float64)
        self.initial = initial_values(points, self.photos.reshape(-1, 3).numpy(), 0.1, CPU)
        values = torch.randn(3, 3, 4, 8, generator=torch.Generator().manual_seed(0))
        self.features = FeatureMap(values, 12, 16, per_pixel=False)

    def parameters(self, mode: str) -> Parameters:
        return Parameters(mode_named(mode), self.initial, self.features, torch.arange(len(self.initial["opacity"])), 0)

    def views(self) -> TrainingViews:
        intrinsics = torch.stack([intrinsics_tensor(camera, CPU) for camera in self.start.cameras])
        return TrainingViews(
            self.photos, intrinsics, pose_vectors(self.start.cameras, CPU), scene_extent(self.start.cameras)
        )

    def run(self, parameters: Parameters, protocol: ProbeProtocol, scale_prior: bool = False) -> Optimised:
        settings = ProbeSettings(parameters.mode, protocol, holds_scales=scale_prior)
        return optimise(parameters, self.views(), settings)

    def distance(self, values: Mapping[str, Tensor], names: tuple[str, ...]) -> float:
        """The warm start's loss."""
        return sum((values[name] - self.initial[name]).abs().mean().item() for name in names)


@pytest.fixture(scope="module")
def problem(tiny_scene: MultiViewScene, tiny_truth: Initialisation) -> Problem:
    return Problem(tiny_scene, tiny_truth)


@pytest.mark.parametrize("name", ["G", "T", "Aft"])
def test_warm_start_teaches_the_heads_and_moves_nothing_else(problem: Problem, name: str) -> None:
    parameters = problem.parameters(name)
    before = problem.distance(parameters.values(), parameters.mode.readout)
    after = problem.run(parameters, replace(PAPER, iterations=150, warm_start=150))
    assert problem.distance(after.values, parameters.mode.readout) < 0.7 * before
    for free in parameters.mode.free:
        assert torch.equal(after.values[free], problem.initial[free])
    torch.testing.assert_close(after.poses, problem.views().poses)
    assert after.curve == ()


def test_rendering_moves_every_attribute_and_camera(problem: Problem) -> None:
    for name in ("G", "instantsplat"):
        warm = problem.run(problem.parameters(name), replace(SHORT, iterations=8, instantsplat_iterations=0))
        full = problem.run(problem.parameters(name), replace(SHORT, instantsplat_degree_every=1))
        for attribute in ATTRIBUTES:
            assert not torch.equal(full.values[attribute], warm.values[attribute]), (name, attribute)
        assert ((full.poses - warm.poses).abs().amax(dim=1) > 0).all()
        assert all(np.isfinite(value) for _, value in full.curve)
        assert [iteration for iteration, _ in full.curve][-1] == (14 if name == "G" else 6)


def test_fine_tuned_features_are_frozen_after_the_warm_start(problem: Problem) -> None:
    start = problem.parameters("Gft").fine_tuned_features
    tuned, rendered = problem.parameters("Gft"), problem.parameters("Gft")
    problem.run(tuned, replace(SHORT, iterations=8))
    problem.run(rendered, SHORT)
    assert start is not None
    assert tuned.fine_tuned_features is not None
    assert rendered.fine_tuned_features is not None
    assert not torch.equal(tuned.fine_tuned_features, start)
    assert torch.equal(tuned.fine_tuned_features, rendered.fine_tuned_features)


def test_degree_zero_leaves_the_other_harmonics(problem: Problem) -> None:
    values = problem.run(problem.parameters("instantsplat"), replace(SHORT, instantsplat_degree_every=100)).values
    assert not values["colour_rest"].any()


def test_the_same_seed_gives_the_same_numbers(problem: Problem) -> None:
    first, second = (problem.run(problem.parameters("A"), SHORT) for _ in range(2))
    for name in ATTRIBUTES:
        assert torch.equal(first.values[name], second.values[name])
    assert first.curve == second.curve


def test_the_scale_prior_holds_the_scales(problem: Problem) -> None:
    protocol = replace(SHORT, iterations=28, rates=replace(PAPER.rates, scale=5e-2))
    strong = replace(protocol, iuv_scale_weight=10.0)
    free = problem.run(problem.parameters("T"), protocol).values
    held = problem.run(problem.parameters("T"), strong, scale_prior=True).values
    assert problem.distance(held, ("log_scale",)) < 0.5 * problem.distance(free, ("log_scale",))


def test_divergence_is_named(problem: Problem) -> None:
    for protocol in (
        replace(SHORT, rates=PAPER.rates.scaled(1e30)),
        replace(SHORT, warm_start_rate=(1e38, 1e38)),
        replace(SHORT, iterations=9, rates=PAPER.rates.scaled(1e38)),
    ):
        with pytest.raises(Diverged, match=r"iteration \d+"):
            problem.run(problem.parameters("A"), protocol)


def test_progress_ends_at_the_total(problem: Problem) -> None:
    seen: list[tuple[int, int]] = []
    parameters = problem.parameters("T")
    settings = ProbeSettings(parameters.mode, SHORT)
    optimise(parameters, problem.views(), settings, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (14, 14)


def test_joint_refinement_lowers_the_pose_error(problem: Problem) -> None:
    """Photos of opaque Gaussians, of which one camera is a little wrong; the Gaussians stay."""
    initial = problem.initial | {"opacity": torch.full_like(problem.initial["opacity"], 2.0)}
    views = problem.views()
    photos = [
        rasterize(activated(initial), pose_matrix(pose[:4], pose[4:]), intrinsics, 16, 12).rgb.clamp(0, 1)
        for pose, intrinsics in zip(views.poses, views.intrinsics, strict=True)
    ]
    truth = problem.start.cameras
    turned = truth[2].world_to_camera.copy()
    turned[:3] = camera_at((0.0, 0.0, 0.0), yaw=0.8).world_to_camera[:3, :3] @ turned[:3]
    estimated = (*truth[:2], replace(truth[2], world_to_camera=turned))
    still = replace(PAPER.rates.scaled(1e-9), pose=(1e-3, 1e-4), pose_steps=60)
    protocol = replace(PAPER, instantsplat_iterations=60, rates=still)
    parameters = Parameters(mode_named("instantsplat"), initial, None, None, 0)
    found = optimise(
        parameters,
        replace(views, photos=torch.stack(photos), poses=pose_vectors(estimated, CPU)),
        ProbeSettings(parameters.mode, protocol),
    )
    refined = [posed(camera, pose) for camera, pose in zip(estimated, found.poses, strict=True)]
    assert pose_errors(refined, truth)[0] < 0.6 * pose_errors(estimated, truth)[0]


def test_poses_stay_where_the_protocol_says_so(problem: Problem) -> None:
    found = problem.run(problem.parameters("instantsplat"), replace(SHORT, refine_poses=False))
    torch.testing.assert_close(found.poses, problem.views().poses)
