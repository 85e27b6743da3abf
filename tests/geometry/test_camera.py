from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.geometry.camera import field_of_view, intrinsics_from_fov, points_from_depth, recover_focal_and_shift
from bench.geometry.resample import masked_nearest, take
from bench.geometry.warp import FARTHEST, warp_view
from bench.types import Camera, UserError


def test_field_of_view_and_back() -> None:
    intrinsics = intrinsics_from_fov(90.0, aspect=2.0)
    np.testing.assert_allclose(intrinsics, [[0.5, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    assert field_of_view(intrinsics) == pytest.approx((90.0, np.degrees(2 * np.arctan(0.5))))
    shifted = np.array(
        [[1.0, 0, 0], [0, 1, 1], [0, 0, 1]]
    )  # the principal point in a corner: 45 degrees on one side, 0 on the other
    assert field_of_view(shifted) == pytest.approx((45.0, 45.0))
    with pytest.raises(UserError, match="180"):
        intrinsics_from_fov(180.0, 1.0)


def test_points_from_depth_agree_with_the_pixel_camera() -> None:
    normalised = np.array([[0.9, 0, 0.45], [0, 1.3, 0.55], [0, 0, 1]])
    depth = np.random.default_rng(0).uniform(1, 5, (6, 8))
    depth[2, 3] = np.nan
    camera = Camera(np.diag([8.0, 6.0, 1.0]) @ normalised, np.eye(4), 8, 6)
    np.testing.assert_allclose(points_from_depth(depth, normalised), camera.unproject(depth))


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.floats(20, 130), st.floats(-0.9, 20), st.sampled_from([(40, 160), (90, 120), (120, 40)])
)
def test_focal_and_shift_of_an_affine_point_map(seed: int, fov: float, shift: float, size: tuple[int, int]) -> None:
    height, width = size
    intrinsics = intrinsics_from_fov(fov, width / height)
    depth = np.random.default_rng(seed).uniform(1, 4, size)
    points = points_from_depth(depth, intrinsics)
    points[..., 2] -= shift
    focal, found = recover_focal_and_shift(points)
    assert focal == pytest.approx(intrinsics[0, 0], rel=1e-3)
    assert found == pytest.approx(shift, abs=5e-3)


def test_focal_survives_noise_strays_and_holes() -> None:
    rng = np.random.default_rng(3)
    intrinsics = intrinsics_from_fov(65, 4 / 3)
    points = points_from_depth(rng.uniform(2, 5, (90, 120)), intrinsics) * rng.normal(1, 0.01, (90, 120, 1))
    points[..., 2] -= 1.5
    points[rng.random((90, 120)) < 0.002, 2] -= 40  # strays far behind the camera
    points[rng.random((90, 120)) < 0.2] = np.nan
    mask = np.ones((90, 120), bool)
    mask[:, :30] = False
    points[:, :30] = 1e3
    focal, shift = recover_focal_and_shift(points, mask)
    assert focal == pytest.approx(intrinsics[0, 0], rel=0.02)
    assert shift == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("fov", [40, 65, 95])
def test_the_official_solver_finds_the_least_error_near_its_start(fov: float, noise: float) -> None:
    """Against a dense search of the same error on the same pixels."""
    rng = np.random.default_rng(fov)
    points = points_from_depth(rng.uniform(2, 5, (96, 128)), intrinsics_from_fov(fov, 4 / 3))
    points = points * rng.normal(1, noise, (96, 128, 1))
    points[..., 2] -= 0.3
    row, column = np.divmod(np.arange(64 * 64), 64)
    row, column = row * 96 // 64, column * 128 // 64
    samples = points[row, column]
    plane = np.stack([(column + 0.5 - 64) / 128, (row + 0.5 - 48) / 128], axis=-1)

    def error(shift: float) -> tuple[float, float]:
        seen = samples[:, :2] / (samples[:, 2:] + shift)
        focal = (seen * plane).sum() / (seen * seen).sum()
        return float(((focal * seen - plane) ** 2).sum()), float(focal)

    shifts = np.linspace(-0.5, 1.5, 4001)
    best = shifts[np.argmin([error(shift)[0] for shift in shifts])]
    focal, found = recover_focal_and_shift(points, solver="official")
    assert error(found)[0] <= error(best)[0] * 1.001 + 1e-8
    assert focal == pytest.approx(error(found)[1])
    assert focal == pytest.approx(error(best)[1], rel=0.01)


def test_where_the_official_solver_finds_no_camera_the_robust_answer_stands() -> None:
    intrinsics = intrinsics_from_fov(60, 4 / 3)
    points = points_from_depth(np.random.default_rng(0).uniform(1, 4, (90, 120)), intrinsics)
    points[..., 2] -= 100  # all behind the camera at the official start
    assert recover_focal_and_shift(points, solver="official") == recover_focal_and_shift(points)


def test_shift_alone_under_a_known_focal() -> None:
    intrinsics = intrinsics_from_fov(50, 1.5)
    points = points_from_depth(np.random.default_rng(0).uniform(1, 2, (40, 60)), intrinsics)
    points[..., 2] += 0.25
    focal, shift = recover_focal_and_shift(points, focal=intrinsics[0, 0])
    assert focal == intrinsics[0, 0]
    assert shift == pytest.approx(-0.25, abs=1e-4)


@pytest.mark.parametrize("points", [np.full((30, 30, 3), np.nan), np.zeros((30, 30, 3)), np.ones((2, 2, 3))])
def test_points_without_extent_have_no_focal(points: np.ndarray) -> None:
    with pytest.raises(UserError, match="focal length"):
        recover_focal_and_shift(points)


# ----------------------------------------------------------------------------------------------------------- resampling


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 23), st.integers(1, 23), st.integers(1, 9), st.integers(1, 9))
def test_masked_nearest_against_a_search_over_all_pixels(seed: int, h: int, w: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((h, w)) < rng.choice([0.05, 0.4, 1.0])
    index, found = masked_nearest(mask, rows, columns)
    i, j = np.mgrid[:h, :w]
    # Twice the coordinates times the grid: integers, so that ties and borders are exact.
    y, x = (2 * i + 1) * rows, (2 * j + 1) * columns
    for r in range(rows):
        for c in range(columns):
            inside = mask & (y > 2 * r * h) & (y <= 2 * (r + 1) * h) & (x > 2 * c * w) & (x <= 2 * (c + 1) * w)
            assert found[r, c] == inside.any()
            if inside.any():
                away = ((y - (2 * r + 1) * h) / rows) ** 2 + ((x - (2 * c + 1) * w) / columns) ** 2
                assert mask.ravel()[index[r, c]]
                assert inside.ravel()[index[r, c]]
                assert away.ravel()[index[r, c]] == pytest.approx(away[inside].min())


def test_sparse_values_survive_and_are_used_once() -> None:
    depth = np.full((40, 60), np.nan)
    depth[7, 11], depth[30, 59] = 3.0, 4.0
    index, found = masked_nearest(np.isfinite(depth), 8, 8)
    assert sorted(take(depth, index[found])) == [3.0, 4.0]
    _, fine = masked_nearest(np.isfinite(depth), 80, 120)
    assert fine.sum() == 2


# -------------------------------------------------------------------------------------------------------------- the view

NYU = np.array([[0.8107, 0, 0.5087], [0, 1.0822, 0.5286], [0, 0, 1]])  #: a principal point off the centre


def test_a_photo_that_is_its_own_view_is_unchanged() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    depth = rng.uniform(1, 9, (48, 64)).astype(np.float32)
    depth[:4], depth[10, 10] = np.inf, np.nan
    labels = rng.integers(0, 9, (48, 64))
    intrinsics = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    view = warp_view(image, depth, intrinsics, labels, 64, 48)
    np.testing.assert_array_equal(view.image, image)
    np.testing.assert_allclose(view.depth, depth, rtol=1e-6)
    np.testing.assert_array_equal(view.segmentation, labels)
    np.testing.assert_allclose(view.intrinsics, intrinsics)


def rotation_between(view_axis_in_photo: np.ndarray) -> np.ndarray:
    """Rodrigues' rotation from a direction to the z axis, by the axis and the angle."""
    from scipy.spatial.transform import Rotation

    a = view_axis_in_photo / np.linalg.norm(view_axis_in_photo)
    axis = np.cross(a, [0, 0, 1.0])
    angle = np.arctan2(np.linalg.norm(axis), a[2])
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()


@pytest.mark.parametrize("size", [(64, 48), (200, 100), (96, 96), (640, 480)])
def test_what_a_view_shows_is_what_lies_along_its_rays(size: tuple[int, int]) -> None:
    """A world of one slanted plane whose colour depends smoothly on the direction: every pixel of the view is known."""
    height, width = 240, 320
    normal, offset = np.array([0.2, -0.3, 1.0]), 3.0
    directions = points_from_depth(np.ones((height, width)), NYU)

    def colour(rays: np.ndarray) -> np.ndarray:
        unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        return 127.5 + 120 * np.sin(5 * unit + [0.0, 1, 2])

    depth = (offset / (directions @ normal)).astype(np.float32)
    image = np.rint(colour(directions)).astype(np.uint8)
    view = warp_view(image, depth, NYU, None, *size)
    rotation = rotation_between(np.linalg.inv(NYU) @ [0.5, 0.5, 1])
    seen = points_from_depth(np.ones(size[::-1]), view.intrinsics) @ rotation  # rays of the view in the photo's frame
    assert np.abs(view.image - colour(seen)).max() < 3
    points = points_from_depth(view.depth, view.intrinsics) @ rotation
    on_plane = points @ normal / offset
    assert np.nanmax(np.abs(on_plane - 1)) < 0.01  # nearest pixel, along the ray
    assert np.isfinite(view.depth).any()
    # Inside the photo, and touching its border: no larger view of this shape fits.
    u, v, w = np.moveaxis(points_from_depth(np.ones(size[::-1]), view.intrinsics) @ rotation @ NYU.T, -1, 0)
    margin = min((u / w).min(), 1 - (u / w).max(), (v / w).min(), 1 - (v / w).max())
    assert -1e-9 < margin < 1.5 / min(size)
    # Square pixels, centred.
    assert view.intrinsics[0, 0] * size[0] == pytest.approx(view.intrinsics[1, 1] * size[1])


def test_far_outliers_are_dropped_and_sky_kept() -> None:
    depth = np.full((40, 40), 2.0, np.float32)
    depth[0, 0], depth[20, 20], depth[39] = 2 * FARTHEST * 1.01, 2 * FARTHEST * 0.9, np.inf
    intrinsics = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    view = warp_view(np.zeros((40, 40, 3), np.uint8), depth, intrinsics, None, 40, 40)
    assert np.isnan(view.depth[0, 0])
    assert view.depth[20, 20] == pytest.approx(1800)
    assert np.isinf(view.depth[39]).all()
