from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_writers import pose_at
from scipy.spatial.transform import Rotation

from bench.metrics.similarity import Similarity, umeyama
from bench.registry import pointmaps
from bench.types import Camera, Initialisation, MultiViewScene, SparsePoints, UserError, View
from registry.support.reconstruction import register_similarity

WIDTH, HEIGHT = 64, 48
NORMAL, OFFSET = np.array([0.2, -1.0, 0.3]) / np.linalg.norm([0.2, -1.0, 0.3]), -0.4  # the plane n.x = offset


def plane_depth(camera: Camera, normal: np.ndarray = NORMAL, offset: float = OFFSET) -> np.ndarray:
    """Exact depth of a plane: solve n . (c + d ray) = offset for every pixel."""
    rays = camera.unproject(np.ones((camera.height, camera.width))) - camera.centre
    return ((offset - normal @ camera.centre) / (rays @ normal)).astype(np.float32)


def scene(sky: bool = True) -> MultiViewScene:
    views = []
    for number, x in enumerate((-0.6, 0.0, 0.6, -0.3, 0.9)):
        intrinsics = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
        camera = Camera(intrinsics, pose_at(np.array([x, -4.0, 0.3 * number]), np.zeros(3)), WIDTH, HEIGHT)
        depth = plane_depth(camera)
        if sky:
            depth[:6], depth[6, :10] = np.inf, np.nan
        image = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        views.append(View(f"v{number}", image, camera, depth))
    return MultiViewScene("toy", "plane", tuple(views[:3]), tuple(views[3:]))


def initialise(name: str, given: MultiViewScene, seed: int = 0) -> Initialisation:
    result: Initialisation = pointmaps[name]().initialise(given, seed)
    return result


def test_ground_truth_is_exact_and_leaves_out_sky_and_unknown_pixels() -> None:
    given = scene()
    found = initialise("ground-truth", given)
    assert found.cameras == tuple(view.camera for view in given.train)
    assert found.test_cameras == tuple(view.camera for view in given.test)
    for points, mask in zip(found.points, found.masks, strict=True):
        assert points.dtype == np.float32
        assert not mask[:6].any()
        assert not mask[6, :10].any()
        assert mask[7:].all()
        np.testing.assert_allclose(points[mask] @ NORMAL, OFFSET, atol=1e-5)
    np.testing.assert_array_equal(found.test_depths[0], given.test[0].depth)


def frame_of(found: Initialisation, given: MultiViewScene) -> tuple[Similarity, float]:
    """The similarity from the initialisation's frame to the truth, and the points' relative error after it."""
    truth = np.concatenate(
        [view.camera.unproject(view.depth)[mask] for view, mask in zip(given.train, found.masks, strict=True)]  # type: ignore[union-attr]
    )
    points = np.concatenate([points[mask] for points, mask in zip(found.points, found.masks, strict=True)])
    similarity = umeyama(points, truth)
    return similarity, float(np.linalg.norm(similarity.apply(points) - truth, axis=1).mean() / 4)


def test_the_noisy_truth_is_that_of_the_paper_for_data_in_millimetres() -> None:
    given = replace(scene(), unit="millimetre")
    found, exact = initialise("noisy-ground-truth", given), initialise("ground-truth", given)
    assert (found.position_noise, found.unit) == (10.0, 1000.0)
    assert (exact.position_noise, exact.unit) == (0.0, 1000.0)
    np.testing.assert_array_equal(found.points[0], exact.points[0])
    with pytest.raises(UserError, match="lengths are in the unit 'scene'; `noisy-ground-truth` adds 10 mm"):
        initialise("noisy-ground-truth", scene())
    assert initialise("ground-truth", scene()).unit is None


def test_simulated_errs_as_an_estimator_does_in_a_frame_of_its_own() -> None:
    given = scene()
    for seed in range(5):
        found = initialise("simulated", given, seed)
        similarity, error = frame_of(found, given)
        assert 0.002 < error < 0.06
        assert np.linalg.norm(similarity.rotation - np.eye(3)) > 0.1
        for estimates, views in ((found.cameras, given.train), (found.test_cameras, given.test)):
            for camera, view in zip(estimates, views, strict=True):
                back = similarity.transform_camera(camera)
                assert view.camera is not None
                away = np.linalg.norm(back.centre - view.camera.centre)
                turn = Rotation.from_matrix(back.world_to_camera[:3, :3] @ view.camera.world_to_camera[:3, :3].T).magnitude()
                assert 1e-4 < away < 0.3
                assert 0.01 < np.degrees(turn) < 3
        for camera, depth, view in zip(found.test_cameras, found.test_depths, given.test, strict=True):
            assert depth is not None
            assert view.depth is not None
            known = np.isfinite(view.depth)
            points = similarity.apply(camera.unproject(depth)[known])
            assert np.abs(points @ NORMAL - OFFSET).mean() < 0.3


def test_simulated_is_seeded_and_its_depth_error_is_smooth() -> None:
    given = scene(sky=False)
    first, again, other = (initialise("simulated", given, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.points[0], again.points[0])
    np.testing.assert_array_equal(first.test_cameras[1].world_to_camera, again.test_cameras[1].world_to_camera)
    assert np.abs(first.points[0] - other.points[0]).max() > 0.1
    _, depth = first.cameras[0].project(first.points[0].astype(np.float64))
    ratio = depth / given.train[0].depth
    ratio /= ratio.mean()
    assert ratio.std() > 0.005
    assert np.abs(np.diff(ratio, axis=1)).max() < 0.02


def test_what_is_missing_is_named() -> None:
    given = scene()
    blind = replace(given, train=(replace(given.train[0], camera=None), *given.train[1:]))
    flat = replace(given, test=(replace(given.test[0], depth=None), given.test[1]))
    for name in ("ground-truth", "simulated"):
        with pytest.raises(UserError, match="toy/plane: view v0 has no camera"):
            initialise(name, blind)
    with pytest.raises(UserError, match="view v3 has no ground-truth depth"):
        initialise("simulated", flat)
    with pytest.raises(UserError, match="no sparse points"):
        initialise("sparse", given)


def test_registration_uses_only_what_both_estimates_know() -> None:
    rng = np.random.default_rng(0)
    truth = Similarity(2.5, Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))
    source = [rng.normal(size=(6, 8, 3)) for _ in range(2)]
    target = [truth.apply(points) for points in source]
    masks = [rng.uniform(size=(6, 8)) < 0.8 for _ in range(2)]
    for points, mask in zip(target, masks, strict=True):
        points[~mask] = 1e6
    source[0][masks[0]][0] = np.nan
    target[1][2, 3] = np.inf
    found = register_similarity(source, target, masks)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-9)


def with_points(given: MultiViewScene, outliers: int, tracks: bool) -> MultiViewScene:
    """Points of the plane that the first view sees, some of them moved along their rays."""
    rng = np.random.default_rng(4)
    camera = given.train[0].camera
    assert camera is not None
    assert given.train[0].depth is not None
    rows, columns = rng.integers(0, HEIGHT, 500), rng.integers(0, WIDTH, 500)
    points = camera.unproject(given.train[0].depth)[rows, columns]
    points[:outliers] = camera.centre + (points[:outliers] - camera.centre) * rng.choice([0.3, 3.0], (outliers, 1))
    visible = {view.name: np.arange(500) for view in given.views} if tracks else {}
    return replace(given, sparse=SparsePoints(points, np.zeros((500, 3), np.uint8), visible))


@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("outliers", [0, 25])
def test_sparse_rebuilds_a_plane_from_its_points(tracks: bool, outliers: int) -> None:
    """A plane's inverse depth is linear in the photo: interpolation between points is exact, wherever they lie."""
    given = with_points(scene(sky=False), outliers, tracks)
    found = initialise("sparse", given)
    assert found.masks[0].all()
    for points in found.points[:1]:
        error = np.abs(points[4:-4, 4:-4] @ NORMAL - OFFSET)
        assert np.quantile(error, 0.95) < 1e-3
    assert found.test_depths[0] is not None
    assert given.test[0].depth is not None
    inner = (slice(12, 36), slice(16, 48))
    assert np.median(np.abs(found.test_depths[0][inner] / given.test[0].depth[inner] - 1)) < 1e-3


def test_sparse_without_tracks_leaves_out_points_behind_a_surface() -> None:
    given = with_points(scene(sky=False), 0, tracks=False)
    camera = given.train[0].camera
    assert given.sparse is not None
    assert camera is not None
    hidden = camera.centre + 2.2 * (given.sparse.points[::5] - camera.centre)
    both = SparsePoints(np.concatenate([given.sparse.points, hidden]), np.zeros((600, 3), np.uint8))
    found = initialise("sparse", replace(given, sparse=both))
    assert np.quantile(np.abs(found.points[0][4:-4, 4:-4] @ NORMAL - OFFSET), 0.95) < 1e-3


def test_sparse_needs_points_in_every_training_view() -> None:
    given = with_points(scene(sky=False), 0, tracks=True)
    assert given.sparse is not None
    few = replace(given.sparse, visible={**given.sparse.visible, "v1": np.arange(3)})
    with pytest.raises(UserError, match="fewer than 4 sparse points are seen in view v1"):
        initialise("sparse", replace(given, sparse=few))
    none_in_test = replace(given.sparse, visible={**given.sparse.visible, "v4": np.arange(0)})
    assert initialise("sparse", replace(given, sparse=none_in_test)).test_depths[1] is None


def test_each_initialiser_says_what_it_starts_from() -> None:
    starts = {name: pointmaps[name].start for name in pointmaps}
    assert starts["ground-truth"] == starts["noisy-ground-truth"] == "true"
    assert starts["simulated"] == "simulated"
    assert starts["sparse"] == starts["dust3r"] == starts["vggt"] == "estimated"
