"""PCA, upsampling and concatenation against direct implementations of the protocol's text."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.probe.features.map import FeatureMap, feature_map, reduce
from bench.types import UserError


def _features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_pca_is_the_centred_singular_value_decomposition() -> None:
    values = _features(2, 6, 8, 20) @ _features(20, 20, seed=1) + 3
    tokens = values.double().reshape(-1, 20)
    left, singular, _ = torch.linalg.svd(tokens - tokens.mean(dim=0), full_matrices=False)
    expected = (left * singular)[:, :7]
    ours = reduce(values, 7).reshape(-1, 7).double()
    signs = (expected * ours).sum(dim=0).sign()
    assert torch.allclose(ours, expected * signs, atol=1e-4)


def test_pca_agrees_with_the_official_randomised_decomposition() -> None:
    values = _features(2, 12, 16, 64) * 0.8 ** torch.arange(64)
    tokens = values.reshape(-1, 64)
    centred = tokens - tokens.mean(dim=0)
    torch.manual_seed(0)
    _, _, basis = torch.pca_lowrank(centred, q=16, center=False, niter=50)
    ours = reduce(values, 16).reshape(-1, 16)
    official = centred @ basis
    assert torch.allclose(ours, official * (ours * official).sum(dim=0).sign(), atol=1e-3)


def test_pca_is_fitted_on_all_views_together() -> None:
    first = _features(1, 5, 5, 9)
    together = reduce(torch.cat([first, _features(1, 5, 5, 9, seed=4) * 5 + 2]), 3)
    alone = reduce(first, 3)
    assert not torch.allclose(together[:1], alone, atol=1e-2)
    assert together.mean(dim=(0, 1, 2)).abs().max() < 1e-5


def test_pca_does_not_whiten_and_orders_by_variance() -> None:
    reduced = reduce(_features(2, 8, 8, 5) * torch.tensor([9.0, 1.0, 4.0, 0.1, 2.0]), 5)
    deviations = reduced.reshape(-1, 5).std(dim=0)
    assert torch.all(deviations[:-1] >= deviations[1:])
    assert deviations[0] / deviations[-1] > 20


def test_pca_is_repeatable_and_its_signs_are_fixed() -> None:
    values = _features(2, 6, 6, 12)
    assert torch.equal(reduce(values, 4), reduce(values.clone(), 4))
    assert torch.allclose(reduce(-values, 4), -reduce(values, 4), atol=1e-5)


@pytest.mark.parametrize(("shape", "kept"), [((2, 6, 6, 5), 5), ((1, 2, 2, 30), 4)])
def test_pca_keeps_what_there_is_where_channels_or_tokens_are_few(shape: tuple[int, ...], kept: int) -> None:
    values = _features(*shape)
    reduced = reduce(values, 16)
    assert reduced.shape == (*shape[:3], kept)
    tokens, turned = values.reshape(-1, shape[-1]), reduced.reshape(-1, kept)
    distances = [(t[:, None] - t[None]).norm(dim=-1) for t in (tokens, turned)]
    assert torch.allclose(*distances, atol=1e-4)


def test_upsampling_is_bilinear_with_half_pixel_centres() -> None:
    values = torch.tensor([[0.0, 4.0]])[None, :, :, None]
    upsampled = FeatureMap(values, 1, 4, per_pixel=False).upsampled()
    assert upsampled.flatten().tolist() == pytest.approx([0.0, 1.0, 3.0, 4.0])


def test_a_per_pixel_feature_alone_is_used_as_it_is() -> None:
    values = _features(2, 9, 12, 6)
    made = feature_map([(values, True)], image_size=(48, 64), grid=(9, 12), channels=4)
    assert torch.equal(made.upsampled(), values)
    assert made.channels == 6


def test_a_patch_feature_alone_is_reduced_then_upsampled() -> None:
    values = _features(2, 3, 4, 12)
    made = feature_map([(values, False)], image_size=(48, 64), grid=(9, 12), channels=4)
    expected = F.interpolate(reduce(values, 4).permute(0, 3, 1, 2), size=(9, 12), mode="bilinear").permute(0, 2, 3, 1)
    assert not made.per_pixel
    assert torch.allclose(made.upsampled(), expected)


def _as_the_protocol_says(
    parts: list[tuple[Tensor, bool]], size: tuple[int, int], grid: tuple[int, int], channels: int
) -> Tensor:
    """PROTOCOL: PCA each; min-max as a whole; resize to (H/16, W/16); concatenate; PCA; upsample; join per-pixel; PCA."""

    def bilinear(values: Tensor, target: tuple[int, int]) -> Tensor:
        return F.interpolate(values.permute(0, 3, 1, 2), size=target, mode="bilinear").permute(0, 2, 3, 1)

    def pca(values: Tensor) -> Tensor:
        tokens = values.double().reshape(-1, values.shape[-1])
        left, singular, _ = torch.linalg.svd(tokens - tokens.mean(dim=0), full_matrices=False)
        return (left * singular)[:, :channels].float().reshape(*values.shape[:3], -1)

    def unit(values: Tensor) -> Tensor:
        return (values - values.min()) / (values.max() - values.min())

    reduced = [unit(reduce(values, channels)) for values, per_pixel in parts if not per_pixel]
    joined = pca(torch.cat([bilinear(values, (size[0] // 16, size[1] // 16)) for values in reduced], dim=-1))
    upsampled = bilinear(joined, grid)
    pixels = [unit(values) for values, per_pixel in parts if per_pixel]
    return pca(torch.cat([upsampled, *pixels], dim=-1)) if pixels else upsampled


@pytest.mark.parametrize("patches", [2, 3, 5])
@pytest.mark.parametrize("with_pixels", [False, True])
def test_concatenation_is_the_protocol(patches: int, with_pixels: bool) -> None:
    size, grid, channels = (96, 128), (24, 32), 8
    shapes = [(6, 8, 20), (7, 10, 14), (6, 8, 30), (12, 16, 9), (6, 8, 11)]
    parts = [(_features(2, *shapes[i], seed=i), False) for i in range(patches)]
    if with_pixels:
        parts.insert(1, (_features(2, *grid, 6, seed=9), True))
    made = feature_map(parts, image_size=size, grid=grid, channels=channels).upsampled().reshape(-1, channels)
    expected = _as_the_protocol_says(parts, size, grid, channels).reshape(-1, channels)
    # The last PCA's axes have free signs.
    signs = (made * expected).sum(dim=0).sign()
    assert torch.allclose(made * signs, expected, atol=2e-4)


def test_concatenation_of_per_pixel_features_alone() -> None:
    parts = [(_features(2, 4, 5, 3), True), (_features(2, 4, 5, 2, seed=2) * 9, True)]
    made = feature_map(parts, image_size=(64, 80), grid=(4, 5), channels=8)
    assert made.per_pixel
    assert made.values.shape == (2, 4, 5, 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_is_refused_and_counted(value: float) -> None:
    values = _features(1, 3, 4, 5)
    values[0, 1, 2, :2] = value
    with pytest.raises(UserError, match="2 of 2 holds 2 values"):
        feature_map([(_features(1, 3, 4, 5), False), (values, False)], image_size=(48, 64), grid=(6, 8), channels=4)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="per pixel"):
        feature_map([(_features(1, 3, 4, 5), True)], image_size=(48, 64), grid=(6, 8), channels=4)
    with pytest.raises(UserError, match="the same views"):
        feature_map(
            [(_features(1, 3, 4, 5), False), (_features(2, 3, 4, 5), False)], image_size=(48, 64), grid=(6, 8), channels=4
        )
    with pytest.raises(UserError, match="at least one"):
        feature_map([], image_size=(48, 64), grid=(6, 8), channels=4)


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6), st.integers(1, 12), st.integers(1, 12))
def test_pca_never_gains_variance(views: int, height: int, width: int, channels: int, kept: int) -> None:
    values = _features(views, height, width, channels)
    reduced = reduce(values, kept)
    total = values.reshape(-1, channels).var(dim=0, correction=0).sum()
    left = reduced.reshape(-1, reduced.shape[-1]).var(dim=0, correction=0).sum()
    assert left <= total * (1 + 1e-5)
    if kept >= channels:
        assert left == pytest.approx(float(total), rel=1e-4)
