from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.types import MultiViewScene, Unavailable, UserError, View
from registry.datasets.procedural import Procedural, dataset, render
from registry.datasets.procedural.paintings import clouds
from registry.datasets.procedural.render import Light, Solid, Stage, StageRenderer, look_at
from registry.datasets.procedural.shapes import quad, sphere
from registry.datasets.procedural.textures import plain, wood

SKY = clouds((0.2, 0.4, 0.8), (0.7, 0.8, 0.9), (1.0, 1.0, 1.0))
STAGE = Stage(
    (
        Solid("floor", quad((-3, -3, 0), (6, 0, 0), (0, 6, 0), 0.2), wood((0.8, 0.6, 0.4), (0.5, 0.3, 0.2))),
        Solid("ball", sphere(0.5, segments=128), plain((0.8, 0.3, 0.2))),
    ),
    Light((1.5, 1.4, 1.2), direction=(1.0, -0.4, 1.0)),
    (0.5, 0.5, 0.6),
    (0.3, 0.3, 0.2),
    train=(((0, -3, 1), (0, 0, 0.5)),),
    test=(((1, -3, 1), (0, 0, 0.5)),),
    sky=SKY,
)


@pytest.fixture(scope="module")
def tabletop() -> MultiViewScene:
    return Procedural().load_scene(None, "tabletop")


def test_depth_and_normals_of_a_ball_on_a_floor_are_those_of_the_equations() -> None:
    camera = look_at((0, -3, 1.2), (0, 0, 0.5), 60, 64, 48)
    view = StageRenderer(STAGE).view("x", camera)
    assert view.depth is not None
    assert view.normal is not None
    rays = camera.unproject(np.ones((48, 64))) - camera.centre
    ball, radius = np.array([0, 0, 0.5]), 0.5
    half, c = rays @ (camera.centre - ball), (camera.centre - ball) @ (camera.centre - ball) - radius**2
    square = (rays**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        to_ball = (-half - np.sqrt(half**2 - square * c)) / square
        to_floor = -camera.centre[2] / rays[..., 2]
        floor = camera.centre + rays * to_floor[..., None]
    on_floor = (to_floor > 0) & (np.abs(floor[..., :2]) < 2.99).all(axis=-1)
    truth = np.where(on_floor, to_floor, np.inf)
    truth = np.where(np.isfinite(to_ball), np.minimum(to_ball, truth), truth)
    same = np.isfinite(view.depth) == np.isfinite(truth)
    assert same.mean() > 0.99  # the ball is a polyhedron, the floor ends on a pixel: a few border pixels differ
    both = np.isfinite(view.depth) & np.isfinite(truth)
    error = np.abs(view.depth[both] / truth[both] - 1)
    assert np.quantile(error, 0.98) < 1e-3
    on_ball = both & (np.abs(view.depth - to_ball) < 5e-3)
    centre = camera.world_to_camera[:3, :3] @ ball + camera.world_to_camera[:3, 3]
    local = replace(camera, world_to_camera=np.eye(4)).unproject(view.depth)
    cosine = (view.normal * (local - centre) / radius).sum(-1)[on_ball]
    assert on_ball.sum() > 200
    assert np.quantile(cosine, 0.05) > 0.995
    assert np.isnan(view.normal[np.isinf(view.depth)]).all()


def test_the_sun_casts_a_shadow_on_the_side_away_from_it() -> None:
    camera = look_at((0, -3, 2.5), (0, 0, 0), 60, 128, 96)
    image = StageRenderer(STAGE).view("x", camera).image.astype(float).mean(axis=-1)
    lit, dark = (camera.project(np.array(point))[0].astype(int) for point in ((0.9, -0.25, 0.0), (-0.7, 0.28, 0.0)))
    assert image[dark[1], dark[0]] < 0.75 * image[lit[1], lit[0]]


def test_rendering_is_deterministic() -> None:
    camera = look_at((0.4, -3, 1.4), (0, 0, 0.5), 60, 96, 72)
    first, second = (StageRenderer(STAGE).view("x", camera) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.depth, second.depth)


def warped(source: View, target: View) -> tuple[np.ndarray, np.ndarray]:
    """(share of the source's pixels that the target sees, absolute colour differences there)."""
    assert source.camera is not None
    assert target.camera is not None
    assert source.depth is not None
    assert target.depth is not None
    pixels, depth = target.camera.project(source.camera.unproject(source.depth))
    known = np.isfinite(depth) & (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < (512, 384)).all(axis=-1)
    columns, rows = pixels[known].astype(int).T
    seen = np.abs(target.depth[rows, columns] / depth[known] - 1) < 0.01
    difference = np.abs(source.image[known][seen].astype(float) - target.image[rows[seen], columns[seen]])
    return known, difference if seen.any() else np.array([np.inf])


def test_views_of_a_scene_agree_in_geometry_and_colour(tabletop: MultiViewScene) -> None:
    for first, second in ((0, 1), (2, 1), (3, 0), (5, 2)):
        _, difference = warped(tabletop.views[first], tabletop.views[second])
        assert difference.size / 3 > 0.6 * 512 * 384
        assert np.median(difference) < 6


def test_test_views_mostly_show_what_training_views_see(tabletop: MultiViewScene) -> None:
    for test in tabletop.test:
        assert test.camera is not None
        assert test.depth is not None
        points = test.camera.unproject(test.depth)
        seen = np.zeros(test.depth.shape, bool)
        for view in tabletop.train:
            assert view.camera is not None
            assert view.depth is not None
            pixels, depth = view.camera.project(points)
            inside = (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < (512, 384)).all(axis=-1)
            columns, rows = np.where(inside[..., None], pixels, 0).astype(int).transpose(2, 0, 1)
            seen |= inside & (np.abs(view.depth[rows, columns] / depth - 1) < 0.01)
        assert seen.mean() > 0.8


def test_normals_are_those_of_the_depth(tabletop: MultiViewScene) -> None:
    view = tabletop.train[0]
    assert view.camera is not None
    assert view.depth is not None
    assert view.normal is not None
    local = replace(view.camera, world_to_camera=np.eye(4)).unproject(view.depth)
    normal = np.cross(np.gradient(local, axis=0), np.gradient(local, axis=1))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    cosine = np.abs((normal * view.normal).sum(axis=-1))
    assert np.median(cosine) > 0.999
    assert ((view.normal * local).sum(axis=-1) < 0).mean() > 0.999  # they face the camera
    np.testing.assert_allclose(np.linalg.norm(view.normal, axis=-1), 1, atol=1e-5)


def test_samples_have_sky_segments_and_normalised_intrinsics() -> None:
    dataset = Procedural()
    names = dataset.scenes(None, "geometry")
    assert len(names) == 10
    assert len(dataset.scenes(None, "probe")) == 5
    sample = dataset.load_sample(None, "courtyard-middle")
    assert sample.metric
    assert sample.sharp_boundaries
    assert sample.segmentation is not None
    np.testing.assert_array_equal(sample.segmentation == 0, np.isinf(sample.depth))
    assert 0.02 < np.isinf(sample.depth).mean() < 0.4
    assert set(np.unique(sample.segmentation)) - {0} <= set(sample.labels)
    assert {"fountain", "wall", "gate", "leaves"} <= {sample.labels[n] for n in np.unique(sample.segmentation) if n}
    np.testing.assert_allclose(sample.intrinsics[:2, 2], 0.5)
    assert 2 * np.degrees(np.arctan(0.5 / sample.intrinsics[0, 0])) == pytest.approx(62)
    assert sample.intrinsics[1, 1] / sample.intrinsics[0, 0] == pytest.approx(512 / 384)


def test_a_caller_that_writes_into_a_scene_does_not_alter_the_next_one(tabletop: MultiViewScene) -> None:
    scene = Procedural().load_scene(None, "tabletop")
    scene.train[0].image[:] = 0
    assert Procedural().load_scene(None, "tabletop").train[0].image.any()
    assert tabletop.train[0].image.any()


def test_names_and_fingerprints() -> None:
    dataset = Procedural()
    digests = {dataset.fingerprint(None, name, "probe") for name in dataset.scenes(None, "probe")}
    assert len(digests) == 5
    assert dataset.fingerprint(None, "room", "probe") in digests
    with pytest.raises(UserError, match="no scene 'attic'; there are courtyard"):
        dataset.load_scene(None, "attic")
    with pytest.raises(UserError, match="no sample 'room'"):
        dataset.load_sample(None, "room")


def test_without_open3d_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))  # where no rendered view lies yet
    monkeypatch.setitem(sys.modules, "open3d", None)
    render._open3d.cache_clear()
    dataset._renderer.cache_clear()
    dataset._rendered.cache_clear()
    with pytest.raises(Unavailable, match=r"pip install open3d.*libusb-1\.0-0"):
        Procedural().load_scene(None, "room")
    assert Procedural().scenes(None, "probe")


def test_a_view_from_the_cache_is_the_rendered_one_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a damaged file is rendered anew."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    views = []
    for _ in range(3):
        dataset._rendered.cache_clear()
        views.append(dataset._rendered("tabletop", "left"))
        if len(views) == 2:
            (file,) = tmp_path.rglob("*.npz")
            file.write_bytes(file.read_bytes()[:1000])
    dataset._rendered.cache_clear()
    for view in views[1:]:
        assert view.camera is not None
        assert views[0].camera is not None
        for own, first in zip((view, view.camera), (views[0], views[0].camera), strict=True):
            for name, value in vars(first).items():
                if name != "camera":
                    assert np.array_equal(getattr(own, name), value, equal_nan=isinstance(value, np.ndarray)), name
