"""Whole probes on a tiny scene: 768 Gaussians a photo at most, a few iterations."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from closed_form_scene import rendered, truth

from bench.core.protocols import PROBE_PROTOCOLS, Rates
from bench.metrics import image
from bench.metrics.similarity import Similarity
from bench.probe.features.map import FeatureMap
from bench.probe.modes import mode_named
from bench.probe.probe import ProbeOutcome, run_probe
from bench.probe.settings import ProbeSettings
from bench.probe.views import ProbeScene, to_grid
from bench.splat import rasterize
from bench.types import Initialisation, MultiViewScene, Unavailable, UserError

SHORT = replace(
    PROBE_PROTOCOLS["paper-v1"],
    grid_long_side=32,
    iterations=32,
    warm_start=25,
    rates=Rates().scaled(10),
    instantsplat_iterations=30,
    instantsplat_factor=1.0,
    instantsplat_degree_every=10,
    test_pose_steps=2,
    visibility_threshold=2e-2,
)
IMAGE_METRICS = {"psnr", "ssim", "haarpsi", "lpips", "lpips_rescaled", "visible_share"}


@pytest.fixture(autouse=True)
def _no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_load_lpips", lambda device: Unavailable("no weights here"))


@pytest.fixture(scope="module")
def features(tiny_scene: MultiViewScene) -> FeatureMap:
    values = torch.randn(3, 6, 8, 16, generator=torch.Generator().manual_seed(0))
    return FeatureMap(values, 24, 32, per_pixel=False)


Runner = Callable[..., ProbeOutcome]


@pytest.fixture(scope="module")
def probe(tiny_scene: MultiViewScene, tiny_truth: Initialisation, features: FeatureMap) -> Runner:
    def run(mode: str, **changes: object) -> ProbeOutcome:
        given = {
            "scene": tiny_scene,
            "initialisation": tiny_truth,
            "features": None if mode == "instantsplat" else features,
            "protocol": SHORT,
            "seed": 0,
            "progress": None,
        } | changes
        scene: Any = given["scene"]
        sizes = ProbeScene(scene, scene, given.get("photos", scene))  # type: ignore[arg-type]
        settings = ProbeSettings(mode_named(mode), given["protocol"], given["seed"])  # type: ignore[arg-type]
        return run_probe(sizes, given["initialisation"], given["features"], settings, given["progress"])  # type: ignore[arg-type]

    return run


def value(outcome: ProbeOutcome, metric: str, **where: str) -> float:
    found = [
        row for row in outcome.measurements if row.metric == metric and all(getattr(row, k) == v for k, v in where.items())
    ]
    assert len(found) == 1, f"{len(found)} rows of {metric}"
    return found[0].value


@pytest.mark.parametrize("mode", ["G", "T", "Aft", "instantsplat"])
def test_a_whole_probe(probe: Runner, mode: str) -> None:
    outcome = probe(mode)
    # So short a probe may end in one colour, which is told and is no value.
    collapsed = {row.metric for row in outcome.measurements if row.status == "collapsed"}
    assert collapsed <= IMAGE_METRICS
    for metric in IMAGE_METRICS - {"lpips", "lpips_rescaled"} - collapsed:
        assert math.isfinite(value(outcome, metric, view="test0"))
    gaps = [row for row in outcome.measurements if row.status not in ("ok", "collapsed")]
    assert {row.metric for row in gaps} == {"lpips", "lpips_rescaled"}
    assert value(outcome, "gaussians") == 3 * 24 * 32 == len(outcome.gaussians)
    assert value(outcome, "pose_rotation_error", view="train", alignment="initial") == pytest.approx(0, abs=1e-5)
    assert value(outcome, "distance", alignment="similarity") >= 0
    kinds = {name.split(".", 1)[0] for name in outcome.pictures}
    expected = {"photo", "render", "depth", "depth-truth", "normal", "normal-truth", "error", "visible"}
    assert kinds == expected | (set() if mode == "instantsplat" else {"features"})
    for name, picture in outcome.pictures.items():
        assert picture.shape == (24, 32, 3), name
        assert picture.dtype == np.uint8, name
    iterations = [iteration for iteration, _ in outcome.curve]
    assert iterations == sorted(iterations)
    assert iterations[-1] == (30 if mode == "instantsplat" else 32)


def test_optimisation_pays(probe: Runner) -> None:
    outcome = probe("instantsplat", protocol=replace(SHORT, instantsplat_iterations=60))
    first, last = outcome.curve[0][1], outcome.curve[-1][1]
    assert last > first + 5
    assert value(outcome, "psnr", view="test0") > 18
    assert value(outcome, "train_psnr", view="train") > 18
    # the rendered picture is the one that was measured
    visible = outcome.pictures["visible.test0"] > 0
    render, photo = (np.where(visible, outcome.pictures[f"{kind}.test0"] / 255.0, 0) for kind in ("render", "photo"))
    assert value(outcome, "psnr", view="test0") == pytest.approx(-10 * math.log10(((render - photo) ** 2).mean()), abs=1e-3)


def test_the_same_cell_gives_the_same_numbers(probe: Runner) -> None:
    first, second = probe("T"), probe("T")
    for one, other in zip(first.measurements, second.measurements, strict=True):
        assert one.value == other.value or math.isnan(one.value)
    for name, picture in first.pictures.items():
        np.testing.assert_array_equal(picture, second.pictures[name])
    assert value(probe("T", seed=1), "psnr", view="test0") != value(first, "psnr", view="test0")


def test_the_unit_of_the_world_does_not_matter(
    probe: Runner, tiny_scene: MultiViewScene, tiny_truth: Initialisation
) -> None:
    """Millimetres far from the origin: the same picture, 3D errors a thousand times as large."""
    world = Similarity(1000.0, np.eye(3), np.array([2e4, -1e4, 5e3]))
    scene = replace(
        tiny_scene,
        unit="millimetre",
        **{
            name: tuple(
                replace(view, camera=world.transform_camera(view.camera), depth=view.depth * 1000)
                for view in getattr(tiny_scene, name)
            )
            for name in ("train", "test")
        },
    )
    large, small = probe("T", scene=scene, initialisation=truth(scene)), probe("T")
    assert value(large, "psnr", view="test0") == pytest.approx(value(small, "psnr", view="test0"), abs=0.1)
    assert value(large, "distance") == pytest.approx(1000 * value(small, "distance"), rel=0.05)
    centre = torch.from_numpy(np.concatenate([p.reshape(-1, 3) for p in truth(scene).points])).median(dim=0).values
    assert (large.gaussians.means.median(dim=0).values - centre).norm() < 300


def test_masks_and_missing_truth(probe: Runner, tiny_scene: MultiViewScene, tiny_truth: Initialisation) -> None:
    masks = [mask.copy() for mask in tiny_truth.masks]
    masks[1][:, :10] = False
    points = [points.copy() for points in tiny_truth.points]
    points[1][:, :10] = np.nan
    start = replace(tiny_truth, masks=tuple(masks), points=tuple(points), test_depths=(None,))
    scene = replace(
        tiny_scene,
        train=tuple(replace(view, depth=None, camera=None) for view in tiny_scene.train),
        test=tuple(replace(view, depth=None, camera=None) for view in tiny_scene.test),
    )
    outcome = probe("G", scene=scene, initialisation=start)
    assert value(outcome, "gaussians") == 3 * 24 * 32 - 240 == len(outcome.gaussians)
    metrics = {row.metric for row in outcome.measurements}
    assert metrics == IMAGE_METRICS | {"gaussians", "train_psnr", "view_angle", "view_distance"}
    assert next(row for row in outcome.measurements if row.metric == "psnr").note
    assert "depth-truth.test0" not in outcome.pictures


def test_a_finer_point_map_is_sampled(probe: Runner, tiny_scene: MultiViewScene) -> None:
    larger = replace(
        tiny_scene,
        **{
            name: tuple(rendered(view.name, view.camera.resized(96, 72)) for view in getattr(tiny_scene, name))
            for name in ("train", "test")
        },
    )
    outcome = probe("instantsplat", scene=to_grid(larger, 32), initialisation=truth(larger))
    assert value(outcome, "gaussians") == 3 * 24 * 32
    assert value(outcome, "visible_share") > 0.9


def test_photos_finer_than_the_grid_are_what_is_rendered_and_compared(probe: Runner, tiny_scene: MultiViewScene) -> None:
    """The held-out PSNR anew, from the Gaussians and the camera that was not refined, at twice the grid's size."""
    finer = replace(
        tiny_scene,
        **{
            name: tuple(rendered(view.name, view.camera.resized(64, 48)) for view in getattr(tiny_scene, name))
            for name in ("train", "test")
        },
    )
    protocol = replace(SHORT, test_pose_steps=0)
    outcome, coarse = probe("instantsplat", photos=finer, protocol=protocol), probe("instantsplat", protocol=protocol)
    assert value(outcome, "gaussians") == 3 * 24 * 32
    (view,) = finer.test
    drawn = rasterize(
        outcome.gaussians,
        torch.from_numpy(view.camera.world_to_camera).float(),
        torch.from_numpy(view.camera.intrinsics).float(),
        64,
        48,
    ).rgb
    visible = outcome.pictures["visible.test0"][..., :1].repeat(2, axis=0).repeat(2, axis=1) / 255
    pair = ((drawn.clamp(0, 1) * 255).round().numpy() / 255 * visible, view.image / 255 * visible)
    expected = -10 * math.log10(np.mean((pair[0] - pair[1]) ** 2))
    assert value(outcome, "psnr", view="test0") == pytest.approx(expected, abs=0.02)
    assert value(coarse, "psnr", view="test0") != pytest.approx(expected, abs=0.1)
    assert outcome.pictures["render.test0"].shape == (24, 32, 3), "pictures stay on the grid"


def test_noise_moves_the_first_positions_alone(probe: Runner, tiny_truth: Initialisation) -> None:
    untrained = replace(SHORT, instantsplat_iterations=0)
    noisy = replace(tiny_truth, position_noise=0.05)
    moved, clean = (
        probe("instantsplat", initialisation=start, protocol=untrained).gaussians for start in (noisy, tiny_truth)
    )
    offsets = moved.means - clean.means
    assert offsets.std(dim=0).numpy() == pytest.approx(np.full(3, 0.05), rel=0.05)
    assert offsets.mean(dim=0).abs().max() < 0.005
    torch.testing.assert_close(moved.scales, clean.scales)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "X"}, "no mode is named 'X'"),
        ({"features": None}, "reads a feature and none was given"),
        ({"features": FeatureMap(torch.full((3, 6, 8, 4), torch.nan), 24, 32, False)}, "768|576 values that are NaN"),
        ({"features": FeatureMap(torch.zeros(2, 6, 8, 4), 24, 32, False)}, "the features are of"),
        ({"features": FeatureMap(torch.zeros(3, 6, 8, 4), 48, 64, False)}, "the features are of"),
    ],
)
def test_mistakes_are_named(probe: Runner, changes: dict[str, object], message: str) -> None:
    mode = str(changes.pop("mode", "G"))
    with pytest.raises(UserError, match=message):
        probe(mode, **changes)


def test_views_that_do_not_match(probe: Runner, tiny_scene: MultiViewScene, tiny_truth: Initialisation) -> None:
    with pytest.raises(UserError, match="3 training views, but the initialisation holds 2"):
        probe("T", initialisation=replace(tiny_truth, points=tiny_truth.points[:2], masks=tiny_truth.masks[:2]))
    with pytest.raises(UserError, match="0 held-out views"):
        probe("T", scene=replace(tiny_scene, test=()))
    other = replace(tiny_scene, test=(rendered("test0", tiny_truth.test_cameras[0].resized(40, 30)),))
    with pytest.raises(UserError, match="different sizes"):
        probe("T", scene=other)


def test_divergence_is_measured_as_invalid(probe: Runner) -> None:
    outcome = probe("A", protocol=replace(SHORT, warm_start_rate=(1e38, 1e38)))
    invalid = [row for row in outcome.measurements if row.status == "invalid"]
    assert {row.metric for row in invalid} >= {"psnr", "ssim", "lpips", "train_psnr", "distance", "pose_rotation_error"}
    assert all("diverged at iteration" in row.note and math.isnan(row.value) for row in invalid)
    good = {row.metric for row in outcome.measurements if row.status == "ok"}
    poses = {"pose_rotation_error", "pose_translation_error", "pose_auc_5", "pose_auc_15", "pose_auc_30"}
    assert good == {"gaussians", "view_angle", "view_distance", *poses}
    assert outcome.curve == ()
    assert outcome.gaussians.means.isfinite().all()
    assert all(name.startswith("features.") for name in outcome.pictures)


def test_progress_is_reported(probe: Runner) -> None:
    seen: list[tuple[int, int]] = []
    probe("T", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (32, 32)
    assert seen == sorted(seen)


def test_importing_the_probe_brings_no_heavy_package() -> None:
    heavy = ("open3d", "lpips", "transformers", "diffusers", "timm", "skimage", "gsplat")
    code = f"import sys, bench.splat, bench.probe.probe; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
