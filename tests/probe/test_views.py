"""The shared input and the probe's grid: sizes, resampling, and cameras that stay true to the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.protocols import PROBE_PROTOCOLS, ProbeProtocol
from bench.probe.views import (
    Framing,
    feature_input,
    full_size,
    image_tensor,
    photos_to_start_from,
    prepare_scene,
    probe_scene,
    to_grid,
)
from bench.types import Array, Camera, MultiViewScene, UserError, View


def _view(width: int, height: int, name: str = "a", seed: int = 0) -> View:
    """A view of the plane z = 2 + 0.3 x + 0.1 y, whose depth is known at every pixel."""
    intrinsics = np.array([[0.9 * width, 0, 0.52 * width], [0, 0.9 * width, 0.47 * height], [0, 0, 1.0]])
    camera = Camera(intrinsics, np.eye(4), width, height)
    random = np.random.default_rng(seed)
    return View(
        name,
        random.integers(0, 256, (height, width, 3), dtype=np.uint8),
        camera,
        _plane_depth(camera),
        np.broadcast_to(np.array([0, 0, -1], np.float32), (height, width, 3)),
        np.ones((height, width), bool),
    )


def _plane_depth(camera: Camera) -> Array:
    rays = camera.unproject(np.ones((camera.height, camera.width)))
    return (2 / (1 - 0.3 * rays[..., 0] - 0.1 * rays[..., 1])).astype(np.float32)


def _scene(*views: View) -> MultiViewScene:
    return MultiViewScene("test", "plane", tuple(views[:-1]), (views[-1],))


@pytest.mark.parametrize(
    ("size", "framing", "expected"),
    [
        *((size, framing, expected) for framing in ("crop", "squeeze") for size, expected in [
            ((640, 480), (512, 384)),
            ((480, 640), (384, 512)),
            ((1008, 756), (512, 384)),
            ((1920, 1080), (512, 288)),
            ((300, 200), (512, 336)),
            ((512, 384), (512, 384)),
        ]),
        ((600, 600), "crop", (512, 384)),
        ((600, 600), "squeeze", (512, 512)),
    ],
)  # fmt: skip
def test_prepared_sizes(size: tuple[int, int], framing: Framing, expected: tuple[int, int]) -> None:
    prepared = prepare_scene(_scene(_view(*size), _view(*size, "b")), framing=framing).train[0]
    assert prepared.image.shape == (expected[1], expected[0], 3)
    assert prepared.depth is not None
    assert prepared.depth.shape == prepared.image.shape[:2]
    assert prepared.normal is not None
    assert prepared.normal.shape == prepared.image.shape
    assert prepared.mask is not None
    assert prepared.mask.shape == prepared.image.shape[:2]
    assert prepared.camera is not None
    assert (prepared.camera.width, prepared.camera.height) == expected


@settings(max_examples=12)
@given(st.integers(100, 700), st.integers(100, 700), st.sampled_from(["squeeze", "crop"]))
def test_the_camera_follows_resizing_and_framing(width: int, height: int, framing: Framing) -> None:
    prepared = prepare_scene(_scene(_view(width, height), _view(width, height, "b")), framing=framing).train[0]
    assert prepared.camera is not None
    assert prepared.depth is not None
    assert max(prepared.image.shape[:2]) <= 512
    assert all(side % 16 == 0 for side in prepared.image.shape[:2])
    # The plane, rendered by the prepared camera, is the prepared depth: up to where nearest sampling picks inside a pixel.
    expected = _plane_depth(prepared.camera)
    step = np.abs(np.diff(expected, axis=0)).max() + np.abs(np.diff(expected, axis=1)).max()
    half_source_pixel = 0.5 * 512 / max(width, height) + (0.5 if framing == "squeeze" else 0)  # sampled twice
    assert np.abs(prepared.depth - expected).max() <= step * (half_source_pixel + 0.1)


def test_a_prepared_scene_is_left_as_it_is() -> None:
    scene = _scene(_view(512, 384), _view(512, 384, "b"))
    once = prepare_scene(scene)
    assert np.array_equal(once.train[0].image, scene.train[0].image)
    assert np.array_equal(once.train[0].camera.intrinsics, scene.train[0].camera.intrinsics)  # type: ignore[union-attr]
    assert to_grid(once, 512).train[0] is once.train[0]


def test_cropping_keeps_the_centre() -> None:
    image = np.zeros((345, 512, 3), np.uint8)
    image[172, 256] = 255
    prepared = prepare_scene(_scene(View("a", image), View("b", image)), framing="crop").train[0]
    assert prepared.image.shape == (336, 512, 3)
    assert np.argwhere(prepared.image[..., 0])[0].tolist() == [168, 256]


def test_squeezing_keeps_the_whole_photo_and_interpolates_linearly() -> None:
    """A ramp stays a ramp from border to border: at a pixel centre it has the value of that share of the height."""
    ramp = np.repeat(np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], 512, axis=1), 3, axis=2)
    view = View("a", ramp, _view(512, 200).camera)
    prepared = prepare_scene(_scene(view, view), framing="squeeze").train[0]
    assert prepared.image.shape == (192, 512, 3)
    expected = (np.arange(192) + 0.5) / 192 * 200 - 0.5
    assert np.abs(prepared.image[:, 0, 0] - expected).max() <= 0.5
    assert prepared.camera is not None
    assert view.camera is not None
    assert prepared.camera.intrinsics[0, 0] == view.camera.intrinsics[0, 0]
    assert prepared.camera.intrinsics[1, 1] == pytest.approx(view.camera.intrinsics[1, 1] * 192 / 200)


def test_the_grid_averages_area_exactly() -> None:
    scene = prepare_scene(_scene(_view(512, 384), _view(512, 384, "b")))
    image = scene.train[0].image
    halved = to_grid(scene, 256).train[0].image.astype(float)
    expected = image.reshape(192, 2, 256, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(halved - expected).max() <= 0.5 + 1e-9
    # 512 -> 96 is not a whole ratio: a ramp's area average is the ramp at the pixel's centre.
    ramp = np.broadcast_to((np.arange(512) / 2.5)[None, :, None], (384, 512, 3))
    small = to_grid(_scene(View("a", np.rint(ramp).astype(np.uint8)), View("b", image)), 96).train[0].image
    assert small.shape == (72, 96, 3)
    centres = ((np.arange(96) + 0.5) * 512 / 96 - 0.5) / 2.5
    assert np.abs(small[30, :, 0] - centres).max() < 1.0


def test_the_grid_takes_the_nearest_depth_normal_and_mask() -> None:
    view = _view(512, 384)
    depth = np.arange(384 * 512, dtype=np.float32).reshape(384, 512)
    scene = _scene(View("a", view.image, view.camera, depth, None, depth % 2 == 0), view)
    small = to_grid(scene, 128).train[0]
    assert np.array_equal(small.depth, depth[2::4, 2::4])
    assert np.array_equal(small.mask, (depth % 2 == 0)[2::4, 2::4])
    assert small.normal is None
    assert small.camera is not None
    assert small.camera.fov_x == pytest.approx(view.camera.fov_x)


def test_refusals_name_the_photo() -> None:
    with pytest.raises(UserError, match=r"cannot be finer .*512x384"):
        to_grid(_scene(_view(512, 384), _view(512, 384)), 600)
    with pytest.raises(UserError, match="a: a photo of 512x13"):
        prepare_scene(_scene(_view(2000, 50), _view(2000, 50)))
    view = _view(64, 48)
    wrong = View("a", view.image, view.camera, np.ones((10, 10), np.float32))
    with pytest.raises(UserError, match="a: depth has shape"):
        prepare_scene(_scene(wrong, view))
    with pytest.raises(UserError, match="of one size"):
        image_tensor([_view(64, 48), _view(48, 64, "b")])
    with pytest.raises(UserError, match="there are none"):
        image_tensor([])


def test_feature_input_holds_world_points_only_where_all_views_know_them() -> None:
    views = [_view(64, 48), _view(64, 48, "b")]
    made = feature_input(views)
    assert made.images.shape == (2, 3, 48, 64)
    assert made.images.dtype == torch.float32
    assert made.images.max() <= 1
    assert made.points is not None
    x, y, z = made.points.unbind(-1)
    assert torch.allclose(z, 2 + 0.3 * x + 0.1 * y, atol=1e-4)
    assert feature_input([views[0], View("b", views[1].image)]).points is None


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(640, 480), (640, 480)], (640, 480)),
        ([(2400, 1800), (2400, 1800)], (1600, 1200)),
        ([(2400, 1800), (800, 600)], (800, 600)),
        ([(600, 600), (600, 600)], (600, 600)),
        ([(300, 225), (300, 225)], (300, 225)),
    ],
)
def test_photos_at_their_own_size(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    scene = _scene(*(_view(*size, str(i)) for i, size in enumerate(sizes)))
    photos = full_size(scene, 512, 1600)
    assert {view.image.shape[1::-1] for view in photos.views} == {expected}
    cut = (600, 450) if expected == (600, 600) else expected
    assert {view.image.shape[1::-1] for view in full_size(scene, 512, 1600, "crop").views} == {cut}
    assert all(view.camera is None and view.depth is None for view in photos.views)


def test_an_initialiser_sees_larger_photos_of_the_same_field_of_view_where_the_protocols_are_small() -> None:
    loaded = _scene(_view(1200, 800), _view(1200, 800, "b"))
    small = replace(PROBE_PROTOCOLS["quick-v2"], feature_long_side=128)

    def sides(protocol: ProbeProtocol, least: int) -> tuple[int, ...]:
        scene = probe_scene(loaded, protocol)
        seen = photos_to_start_from(scene, protocol, least, lambda: loaded)
        camera, before = seen.train[0].camera, scene.prepared.train[0].camera
        assert camera is not None
        assert before is not None
        shares = [each.intrinsics[[0, 1], [2, 2]] / (each.width, each.height) for each in (camera, before)]
        np.testing.assert_allclose(*shares, atol=1e-6)
        spread = [each.intrinsics[[0, 1], [0, 1]] / (each.width, each.height) for each in (camera, before)]
        np.testing.assert_allclose(*spread, rtol=1e-6)
        return seen.train[0].image.shape[1::-1]

    assert sides(small, 512) == (512, 336)
    assert sides(small, 0) == (128, 80)
    assert sides(replace(small, framing="crop"), 512) == (128, 80)  # what is cut away depends on the size
    assert sides(replace(small, feature_long_side=512), 512) == (512, 336)


def test_a_photo_of_the_right_size_keeps_its_pixels() -> None:
    scene = _scene(_view(640, 480), _view(640, 480, "b"))
    np.testing.assert_array_equal(full_size(scene, 512, 1600).train[0].image, scene.train[0].image)


@pytest.mark.parametrize("framing", ["squeeze", "crop"])
@pytest.mark.parametrize("size", [(1707, 1280), (980, 546), (900, 900), (480, 853)])
def test_photos_show_what_the_prepared_ones_show(size: tuple[int, int], framing: Framing) -> None:
    """A ramp in x and one in y have the same colour at the same share of the width and height."""
    column, row = np.meshgrid((np.arange(size[0]) + 0.5) / size[0], (np.arange(size[1]) + 0.5) / size[1])
    ramp = np.rint(255 * np.stack([column, row, 0 * row], axis=-1)).astype(np.uint8)
    scene = _scene(View("a", ramp), View("b", ramp))
    made = prepare_scene(scene, framing=framing), full_size(scene, 512, 700, framing)
    prepared, own = (each.train[0].image.astype(float) for each in made)
    for axis in (0, 1):
        curves = [image[..., 1 - axis].mean(axis=1 - axis) for image in (prepared, own)]
        lines = [np.polyfit((np.arange(len(curve)) + 0.5) / len(curve), curve, 1) for curve in curves]
        for share in (0, 1):  # 0.1 levels are 0.2 pixels of 512
            assert np.polyval(lines[0], share) == pytest.approx(np.polyval(lines[1], share), abs=0.1)
