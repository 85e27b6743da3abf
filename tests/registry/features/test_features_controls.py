"""Providers without a download: their values, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bench.registry import features
from bench.types import FeatureInput, UserError

CPU = torch.device("cpu")


def _photos(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_iuvrgb_is_index_column_row_and_colour() -> None:
    photos = _photos(3, 3, 5, 9)
    values = features["iuvrgb"]().extract(photos)
    assert values.shape == (3, 5, 9, 6)
    assert values[2, 1, 6].tolist() == pytest.approx([1.0, 6 / 8, 1 / 4, *(photos[2, :, 1, 6] * 2 - 1).tolist()])
    assert values[1, 0, 0, :3].tolist() == [0.5, 0.0, 0.0]
    assert torch.equal(features["iuv"]().extract(photos), values[..., :3])
    assert torch.equal(features["rgb"]().extract(photos), values[..., 3:])


def test_one_view_alone_has_index_zero() -> None:
    assert features["iuv"]().extract(_photos(1, 3, 4, 4))[..., 0].abs().max() == 0


@pytest.mark.parametrize("name", ["iuv", "rgb", "iuvrgb", "oracle-xyz"])
def test_per_pixel_providers_say_so_and_need_no_weights(name: str) -> None:
    provider = features[name]("pretrained")
    assert provider.per_pixel
    assert provider.weights == "none"


def test_daisy_is_one_normalised_descriptor_a_patch() -> None:
    values = features["daisy"]().extract(_photos(2, 3, 64, 96))
    assert values.shape == (2, 4, 6, features["daisy"].card.channels)
    assert torch.allclose(values.mean(dim=-1), torch.ones(2, 4, 6), atol=1e-4)


def test_daisy_describes_patch_centres() -> None:
    """An edge through the centre of one column of patches is seen there, and much less a patch away."""
    photo = torch.zeros(1, 3, 96, 160)
    photo[..., 72:] = 1.0  # the centre of the patches in column 4
    provider = features["daisy"]()
    plain = provider.extract(photo)
    flipped = provider.extract(photo.flip(-1))  # the edge's column is now 88, the centre of column 5
    centre = plain[0, 3, :, :8].sum(dim=-1)  # the histogram at the centre itself
    assert centre.argmax() == 4
    assert flipped[0, 3, :, :8].sum(dim=-1).argmax() == 5


def test_daisy_of_a_textureless_photo_is_zero_not_nan() -> None:
    assert features["daisy"]().extract(torch.full((1, 3, 48, 48), 0.3)).abs().max() < 1e-3


def test_the_random_transformer_is_the_same_every_time_and_leaves_the_generator_alone() -> None:
    photos = _photos(2, 3, 32, 48)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = features["random-vit"](), features["random-vit"]("random")
    for provider in (first, second):
        provider.load(CPU)
        assert provider.weights == "none"
    assert torch.equal(torch.rand(1), expected)
    values = first.extract(photos)
    assert values.shape == (2, 2, 3, 768)
    assert torch.equal(values, second.extract(photos))
    assert not values.requires_grad
    assert torch.allclose(values[1:], first.extract(photos[1:]), atol=1e-6), "each photo is described on its own"


def _points() -> Tensor:
    return torch.rand(2, 6, 8, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([4.0, 2.0, 1.0]) + 10


def test_the_oracle_tells_the_position() -> None:
    points = _points()
    values = features["oracle-xyz"]().extract_scene(FeatureInput(_photos(2, 3, 6, 8), points))
    assert values.shape == (2, 6, 8, features["oracle-xyz"].card.channels)
    flat = points.reshape(-1, 3)
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    unit = (points - (low + high) / 2) / ((high - low).max() / 2)
    assert torch.allclose(values[..., :3], unit, atol=1e-5)
    assert unit.abs().max() <= 1 + 1e-5
    assert torch.allclose(values[..., 3], torch.sin(math.pi * unit[..., 0]), atol=1e-4)
    assert torch.allclose(values[..., 3 + 20 + 10 + 1], torch.cos(2 * math.pi * unit[..., 1]), atol=1e-4)


def test_the_oracle_gives_the_sky_a_defined_place() -> None:
    points = _points()
    expected = features["oracle-xyz"]().extract_scene(FeatureInput(_photos(2, 3, 6, 8), points))
    inside = ((points > points.reshape(-1, 3).amin(dim=0)) & (points < points.reshape(-1, 3).amax(dim=0))).all(dim=-1)
    row, column = inside[0].nonzero()[0].tolist()
    points[0, row, column] = torch.tensor([float("nan"), float("inf"), 0.0])
    values = features["oracle-xyz"]().extract_scene(FeatureInput(_photos(2, 3, 6, 8), points))
    assert values.isfinite().all()
    assert values[0, row, column, :3].tolist() == [0, 0, 0]
    others = torch.ones(2, 6, 8, dtype=torch.bool)
    others[0, row, column] = False
    assert torch.equal(values[others], expected[others])


@pytest.mark.parametrize("points", [None, torch.full((1, 4, 4, 3), float("inf"))])
def test_the_oracle_without_truth_is_one_clear_error(points: Tensor | None) -> None:
    with pytest.raises(UserError, match="oracle-xyz needs ground-truth points"):
        features["oracle-xyz"]().extract_scene(FeatureInput(_photos(1, 3, 4, 4), points))
    with pytest.raises(UserError, match="needs a scene"):
        features["oracle-xyz"]().extract(_photos(1, 3, 4, 4))
