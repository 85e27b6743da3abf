from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from bench.metrics.similarity import Similarity, umeyama
from bench.types import Camera, UserError


def random_similarity(rng: np.random.Generator) -> Similarity:
    return Similarity(float(np.exp(rng.normal())), Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3) * 10)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.booleans())
def test_a_random_similarity_is_recovered(seed: int, count: int, planar: bool) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(count, 3)) * [1, 1, 0 if planar else 1]
    truth = random_similarity(rng)
    found = umeyama(source, truth.apply(source), weight=rng.uniform(0.1, 1, count))
    assert found.scale == pytest.approx(truth.scale, rel=1e-9)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-8)
    np.testing.assert_allclose(found.translation, truth.translation, atol=1e-7)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_inverse_and_composition_agree_with_application(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second, points = random_similarity(rng), random_similarity(rng), rng.normal(size=(2, 5, 3))
    np.testing.assert_allclose(first.inverse().apply(first.apply(points)), points, atol=1e-9)
    np.testing.assert_allclose(second.after(first).apply(points), second.apply(first.apply(points)), atol=1e-9)
    np.testing.assert_allclose(Similarity.identity().apply(points), points)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_transformed_camera_sees_transformed_points_on_the_same_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3)
    camera = Camera(np.array([[80.0, 0, 30], [0, 90, 20], [0, 0, 1]]), pose, 64, 48)
    points = camera.unproject(rng.uniform(1, 5, (48, 64)))
    similarity = random_similarity(rng)
    pixels, depth = camera.project(points)
    moved_pixels, moved_depth = similarity.transform_camera(camera).project(similarity.apply(points))
    np.testing.assert_allclose(moved_pixels, pixels, atol=1e-6)
    np.testing.assert_allclose(moved_depth, similarity.scale * depth, rtol=1e-9)


@pytest.mark.parametrize("with_scale", [True, False])
def test_no_neighbouring_similarity_fits_noisy_points_better(with_scale: bool) -> None:
    rng = np.random.default_rng(3)
    source = rng.normal(size=(30, 3))
    target, weight = random_similarity(rng).apply(source) + rng.normal(size=(30, 3)), rng.uniform(0, 1, 30)

    def cost(similarity: Similarity) -> float:
        return float(weight @ ((similarity.apply(source) - target) ** 2).sum(axis=1))

    found = umeyama(source, target, weight, with_scale)

    def moved(step: np.ndarray) -> Similarity:
        rotation = Rotation.from_rotvec(step[1:4]).as_matrix() @ found.rotation
        return Similarity(found.scale * np.exp(step[0] * with_scale), rotation, found.translation + step[4:])

    best = minimize(lambda step: cost(moved(step)), np.zeros(7), method="BFGS")
    assert best.fun >= cost(found) * (1 - 1e-9)
    assert with_scale or found.scale == 1


def test_a_mirrored_set_still_gives_a_proper_rotation() -> None:
    source = np.random.default_rng(0).normal(size=(20, 3)) * [3, 2, 0.5]
    found = umeyama(source, source * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("source", "target", "weight", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), None, "at least 3"),
        (np.eye(3), np.zeros((4, 3)), None, "one length"),
        (np.zeros((5, 3)), np.random.default_rng(0).normal(size=(5, 3)), None, "one place"),
        (np.outer(np.arange(5.0), [1, 2, 3]), np.random.default_rng(0).normal(size=(5, 3)), None, "one line"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), None, "NaN"),
        (np.eye(3), np.eye(3), np.array([1.0, -1, 1]), "not negative"),
        (np.eye(3), np.eye(3), np.array([1.0, 0, 1]), "at least 3"),
    ],
)
def test_degenerate_input_is_refused(
    source: np.ndarray, target: np.ndarray, weight: np.ndarray | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        umeyama(source, target, weight)
