from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from closed_form_scene import BALL_CENTRE, BALL_RADIUS, camera_at, rendered, truth

from bench.metrics import image
from bench.probe.frame import UNIT_DISTANCE, on_grid, unit_frame
from bench.probe.measure import metrics as evaluate
from bench.probe.measure.pictures import depth_normals
from bench.probe.measure.visibility import PROJECTED, visibility
from bench.splat import Gaussians
from bench.types import Array, Camera, Initialisation, Measurement, MultiViewScene, Unavailable, UserError


def by_name(rows: list[Measurement]) -> dict[str, Measurement]:
    assert len({row.metric for row in rows}) == len(rows)
    return {row.metric: row for row in rows}


# ------------------------------------------------------------------------------------------------------------ visibility


@pytest.fixture(scope="module")
def larger() -> MultiViewScene:
    """96x72 pixels: enough for the border of the shadow to be a small share."""
    train = [rendered(f"train{x}", camera_at((x, 0.0, 0.0), 72, 96, yaw=-10 * x)) for x in (-0.5, 0.4)]
    test = [rendered("test", camera_at((0.0, 0.3, 0.2), 72, 96, yaw=12))]
    return MultiViewScene("test", "larger", tuple(train), tuple(test))


def _seen_by(points: Array, camera: Camera) -> Array:
    """Whether nothing stands between the camera and a point on the surface, by the ball's equation."""
    pixels, depth = camera.project(points)
    inside = (depth > 0) & (pixels > 0).all(-1) & (pixels < (camera.width, camera.height)).all(-1)
    rays = points - camera.centre
    half = np.einsum("...i,i->...", rays, camera.centre - BALL_CENTRE)
    squared = (rays**2).sum(-1)
    root = half**2 - squared * (((camera.centre - BALL_CENTRE) ** 2).sum() - BALL_RADIUS**2)
    first_hit = (-half - np.sqrt(np.maximum(root, 0))) / squared
    return inside & ~((root > 0) & (first_hit < 0.999) & (first_hit > 0))


def test_visibility_against_ray_casting(larger: MultiViewScene) -> None:
    view = larger.test[0]
    assert view.camera is not None
    points = view.camera.unproject(view.depth)
    expected = np.any([_seen_by(points, each.camera) for each in larger.train if each.camera], axis=0)
    assert 0.3 < expected.mean() < 0.95  # some of the wall is hidden or outside
    found = visibility(truth(larger), 72, 96, threshold=0.03)[0]
    assert found.note == ""
    assert (found.mask == expected).mean() > 0.97
    assert not (found.mask & ~expected)[_interior(expected)].any()


def _interior(mask: Array) -> Array:
    """Away from the borders of the mask."""
    same = np.ones_like(mask)
    for dy in (-2, 0, 2):
        for dx in (-2, 0, 2):
            same &= np.roll(mask, (dy, dx), (0, 1)) == mask
    return same


def test_a_render_of_one_colour_is_no_value_to_compare() -> None:
    """But the photo of a blank wall may be rendered as one."""
    generator = torch.Generator().manual_seed(0)
    photo, visible = torch.rand(24, 32, 3, generator=generator), torch.ones(24, 32, dtype=torch.bool)
    grey = torch.full_like(photo, 0.5)
    grey[0, :5] = 1.0  # five of 768 pixels
    rows = {row.metric: row for row in evaluate.view_measurements("v", grey, photo, visible)}
    assert rows["psnr"].status == "collapsed"
    assert np.isnan(rows["psnr"].value)
    expected = -10 * np.log10(((grey - photo) ** 2).mean().item())
    assert f"the value would be {expected:.4g}" in rows["psnr"].note
    assert rows["visible_share"].status == "ok"
    for render, shown in (((grey + 0.02).clamp(max=1.0), grey), (photo * 0.9, photo), (photo * 0.05, photo)):
        found = {row.metric: row.status for row in evaluate.view_measurements("v", render, shown, visible)}
        assert found["psnr"] == "ok"
    half = visible.clone()
    half[:, 16:] = False
    mixed = torch.where(half[..., None], grey, photo)  # only what is visible counts
    assert {row.status for row in evaluate.view_measurements("v", mixed, photo, half) if row.metric == "ssim"} == {
        "collapsed"
    }


def test_visibility_is_sampled_on_the_grid(larger: MultiViewScene) -> None:
    fine = visibility(truth(larger), 72, 96, 0.03)[0].mask
    np.testing.assert_array_equal(visibility(truth(larger), 24, 32, 0.03)[0].mask, fine[1::3, 1::3])


def test_nothing_is_visible_without_points(larger: MultiViewScene) -> None:
    start = truth(larger)
    blind = replace(start, masks=tuple(np.zeros_like(mask) for mask in start.masks))
    assert not visibility(blind, 72, 96, 0.03, masked=True)[0].mask.any()
    unmasked = visibility(blind, 72, 96, 0.03)[0].mask
    np.testing.assert_array_equal(unmasked, visibility(start, 72, 96, 0.03)[0].mask)  # the depths are there, kept or not
    sky = replace(start, test_depths=tuple(np.full_like(depth, np.inf) for depth in start.test_depths if depth is not None))
    assert not visibility(sky, 72, 96, 0.03)[0].mask.any()


def test_visibility_without_test_depth_is_projected_and_says_so(larger: MultiViewScene) -> None:
    start = truth(larger)
    exact = visibility(start, 72, 96, 0.03)[0].mask
    found = visibility(replace(start, test_depths=(None,)), 72, 96, 0.03)[0]
    assert found.note == PROJECTED
    assert (found.mask | ~exact).mean() > 0.98  # hardly anything visible is missed
    assert (found.mask == exact).mean() > 0.85


# ---------------------------------------------------------------------------------------------------------------- frames


def test_the_initialiser_may_set_the_unit(tiny_truth: Initialisation) -> None:
    start = replace(tiny_truth, unit=3.0, position_noise=0.6)
    frame = unit_frame(start)
    assert frame.length == 3.0
    inside = frame.enter(start)
    assert inside.position_noise == pytest.approx(0.2)
    distance = np.linalg.norm(start.cameras[1].centre - start.cameras[0].centre)
    assert np.linalg.norm(inside.cameras[1].centre) == pytest.approx(distance / 3)


def test_unit_frame(tiny_truth: Initialisation) -> None:
    frame = unit_frame(tiny_truth)
    entered = frame.enter(tiny_truth)
    assert np.allclose(entered.cameras[0].centre, 0, atol=1e-12)
    distances = [
        np.linalg.norm(points.reshape(-1, 3) - camera.centre, axis=1)
        for points, camera in zip(entered.points, entered.cameras, strict=True)
    ]
    assert np.median(distances) == pytest.approx(UNIT_DISTANCE, rel=1e-6)
    before, _ = tiny_truth.cameras[1].project(tiny_truth.points[1])
    after, _ = entered.cameras[1].project(entered.points[1])
    np.testing.assert_allclose(after, before, atol=1e-3)
    count = 24 * 32
    points = torch.from_numpy(entered.points[2].reshape(-1, 3))
    one = torch.ones(count)
    back = frame.leave(Gaussians(points, torch.eye(4)[:1].expand(count, 4), points.abs(), one, torch.zeros(count, 1, 3)))
    np.testing.assert_allclose(back.means.numpy(), tiny_truth.points[2].reshape(-1, 3), atol=1e-5)
    np.testing.assert_allclose(back.scales.numpy(), points.abs().numpy() * frame.length, rtol=1e-6)


def test_an_empty_point_map_is_refused(tiny_truth: Initialisation) -> None:
    with pytest.raises(UserError, match="point map is empty"):
        unit_frame(replace(tiny_truth, masks=tuple(np.zeros_like(mask) for mask in tiny_truth.masks)))
    with pytest.raises(UserError, match="point map is empty"):
        unit_frame(replace(tiny_truth, points=tuple(np.full_like(points, np.nan) for points in tiny_truth.points)))


def test_grid_takes_the_nearest_pixel(tiny_truth: Initialisation) -> None:
    broken = tiny_truth.points[0].copy()
    broken[1, 1] = np.nan
    start = on_grid(replace(tiny_truth, points=(broken, *tiny_truth.points[1:])), 8, 16)
    np.testing.assert_array_equal(start.points[1][3, 5], tiny_truth.points[1][3 * 3 + 1, 5 * 2 + 1])
    assert not start.masks[0][0, 0]
    assert start.masks[0].sum() == 8 * 16 - 1
    assert (start.cameras[0].width, start.cameras[0].height) == (16, 8)


# --------------------------------------------------------------------------------------------------------------- numbers


@pytest.fixture
def _no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_load_lpips", lambda device: Unavailable("no weights here"))


@pytest.mark.usefixtures("_no_lpips")
def test_rows_of_a_view() -> None:
    photo = torch.full((20, 20, 3), 0.5)
    render = photo + 0.1
    visible = torch.zeros(20, 20, dtype=torch.bool)
    visible[:5] = True
    rows = by_name(evaluate.view_measurements("v", render, photo, visible, note="why"))
    assert rows["visible_share"].value == pytest.approx(0.25)
    assert rows["psnr"].value == pytest.approx(-10 * math.log10(0.01 / 4), abs=1e-4)  # over all pixels of the masked pair
    assert rows["ssim"].value == pytest.approx(image.ssim(render * visible[..., None], photo * visible[..., None]))
    assert all(row.view == "v" and row.note == "why" for row in rows.values() if row.status == "ok")
    for name in ("lpips", "lpips_rescaled"):
        assert rows[name].status == "unavailable"
        assert "no weights here" in rows[name].note
        assert rows[name].higher_is_better is False
    assert rows["haarpsi"].status == "ok"


@pytest.mark.usefixtures("_no_lpips")
def test_what_cannot_be_measured_is_a_row_too() -> None:
    photo = torch.rand(12, 12, 3)
    unseen = by_name(evaluate.view_measurements("v", photo, photo, torch.zeros(12, 12, dtype=torch.bool)))
    assert {row.status for name, row in unseen.items() if name != "visible_share"} == {"invalid"}
    small = by_name(evaluate.view_measurements("v", photo, photo, torch.ones(12, 12, dtype=torch.bool)))
    assert small["haarpsi"].status == "invalid"
    assert "16 pixels" in small["haarpsi"].note
    assert small["psnr"].status == "invalid"  # infinite: the pictures are equal
    assert math.isnan(small["psnr"].value)
    assert small["ssim"].value == pytest.approx(1.0)


def test_cloud_metrics_do_not_see_a_similarity() -> None:
    generator = np.random.default_rng(0)
    truth_points = generator.normal(size=(200, 3))
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = 0.01 * truth_points @ turn.T + [5, 6, 7]
    exact = by_name(evaluate.cloud_measurements(moved, truth_points, "millimetre"))
    assert set(exact) == {"accuracy", "completeness", "distance"}
    for row in exact.values():
        assert row.value == pytest.approx(0, abs=1e-9)
        assert (row.unit, row.alignment, row.higher_is_better) == ("millimetre", "similarity", False)


def test_cloud_metrics_leave_unknown_pixels_out() -> None:
    generator = np.random.default_rng(1)
    truth_points, noise = generator.normal(size=(100, 3)), 0.05 * generator.normal(size=(100, 3))
    truth_points[::3] = np.nan
    some = by_name(evaluate.cloud_measurements(truth_points + noise, truth_points, "metre"))
    known = np.isfinite(truth_points[:, 0])
    again = by_name(evaluate.cloud_measurements((truth_points + noise)[known], truth_points[known], "metre"))
    assert some["distance"].value == pytest.approx(again["distance"].value)
    assert 0.05 < some["distance"].value < 0.12  # the mean length of the noise is 0.08
    assert some["accuracy"].value <= some["distance"].value
    none = evaluate.cloud_measurements(noise, np.full((100, 3), np.nan), "metre")
    assert {row.status for row in none} == {"invalid"}


def test_true_points_of_pixels(tiny_scene: MultiViewScene) -> None:
    pixels = np.array([0, 5, 24 * 32 + 33])
    points = evaluate.true_points(tiny_scene.train, pixels)
    assert points is not None
    second = tiny_scene.train[1]
    assert second.camera is not None
    np.testing.assert_allclose(points[2], second.camera.unproject(second.depth)[1, 1])
    flat = tuple(replace(view, depth=None) for view in tiny_scene.train)
    assert evaluate.true_points(flat, pixels) is None
    half = evaluate.true_points((flat[0], *tiny_scene.train[1:]), pixels)
    assert half is not None
    assert np.isnan(half[:2]).all()
    assert np.isfinite(half[2]).all()


def test_pose_rows(tiny_scene: MultiViewScene) -> None:
    cameras = [view.camera for view in tiny_scene.train if view.camera is not None]
    rows = by_name(evaluate.pose_measurements(tiny_scene.train, cameras, "initial"))
    assert rows["pose_rotation_error"].value == pytest.approx(0, abs=1e-6)
    assert rows["pose_translation_error"].unit == "extent"
    assert all(row.view == "train" and row.alignment == "initial" for row in rows.values())
    unknown = (replace(tiny_scene.train[0], camera=None), *tiny_scene.train[1:])
    assert evaluate.pose_measurements(unknown, cameras, "initial") == []
    assert evaluate.pose_measurements(tiny_scene.train[:1], cameras[:1], "initial") == []


def test_normals_of_a_plane() -> None:
    camera = camera_at((0.0, 0.0, 0.0))
    normal = np.array([0.3, 0.1, -1.0]) / np.linalg.norm([0.3, 0.1, -1.0])
    rays = camera.unproject(np.ones((24, 32)))
    depth = np.array([0, 0, 3.0]) @ normal / (rays @ normal)
    found = depth_normals(depth, camera)
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-9)
    depth[5, 5] = np.nan
    assert np.isnan(depth_normals(depth, camera)[5, 4]).all()
