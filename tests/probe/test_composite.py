"""Names of features, the upsampled variant, and a scene's features from providers and cache."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.core.names import Part
from bench.core.registry import features, load_plugin
from bench.machine.provenance import Cost
from bench.probe.features.composite import (
    Upsampled,
    build_provider,
    card_of,
    joint_bilateral,
    load_provider,
    parse_features,
    patch_features,
    scene_features,
)
from bench.probe.features.map import feature_map, reduce
from bench.types import Card, FeatureInput, FeatureProvider, UserError
from registry.support.timm import NetworkProvider


def _photos(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def _load(provider: FeatureProvider) -> Cost:
    return load_provider(provider, torch.device("cpu"))


def test_names() -> None:
    assert parse_features("dino") == ("dino",)
    assert parse_features("dino@jbu+iuvrgb+daisy") == ("dino@jbu", "iuvrgb", "daisy")
    assert card_of("daisy@jbu").name == "DAISY@jbu"
    assert card_of("daisy@jbu").stride == 4
    assert "joint bilateral" in card_of("daisy@jbu").note
    assert card_of("daisy").stride == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dino+", "a name is missing"),
        ("", "a name is missing"),
        ("daisy+daisy", "only once"),
        ("dinno", "did you mean dino"),
        ("daisy@liftup", "no variant is named 'liftup'; there are jbu, anyup, naf, loftup, jafar, featup, untrained"),
        ("daisy@featup", "FeatUp's authors published weights for dino:S, dinov2:S, clip, not for daisy"),
        ("dino@loftup", "LoftUp's authors published weights for dinov2:S.*not for dino"),
        ("dino@anyup@jbu", "upsampled by anyup and jbu; name one"),
        ("iuvrgb@anyup", "nothing to upsample"),
        ("daisy@", "a name is written base"),
        ("iuvrgb@jbu", "nothing to upsample"),
    ],
)
def test_bad_names_are_one_clear_error(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_features(name)


def test_the_upsampled_provider_keeps_its_weights_label() -> None:
    provider = build_provider("dino@jbu", "random")
    assert provider.weights == "random"
    assert provider.weights_digest == build_provider("dino", "random").weights_digest
    assert build_provider("daisy@jbu", "random").weights == "none"


def test_joint_bilateral_against_a_direct_sum() -> None:
    values, photos, factor, sigma = _photos(1, 3, 4, 2), _photos(1, 3, 48, 64), 4, 0.1
    fine = torch.nn.functional.interpolate(photos, size=(12, 16), mode="bilinear", antialias=True)
    coarse = fine.reshape(1, 3, 3, 4, 4, 4).mean(dim=(3, 5))
    upsampled = joint_bilateral(values, photos, factor, sigma)
    assert upsampled.shape == (1, 12, 16, 2)
    for row, column in [(0, 0), (5, 7), (11, 15), (6, 2)]:
        total, weights = torch.zeros(2), 0.0
        for i in range(row // 4 - 2, row // 4 + 3):
            for j in range(column // 4 - 2, column // 4 + 3):
                near = min(max(i, 0), 2), min(max(j, 0), 3)
                distance = ((row + 0.5) / 4 - (i + 0.5)) ** 2 + ((column + 0.5) / 4 - (j + 0.5)) ** 2
                colour = (fine[0, :, row, column] - coarse[0, :, near[0], near[1]]).square().sum()
                weight = float(torch.exp(-torch.tensor(distance) / 2 - colour / (2 * sigma**2)))
                total, weights = total + weight * values[0, near[0], near[1]], weights + weight
        assert torch.allclose(upsampled[0, row, column], total / weights, atol=1e-5)


def test_joint_bilateral_keeps_to_the_photos_edges() -> None:
    """Two flat regions that meet inside a patch: the upsampled feature steps where the photo does."""
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 26:] = 1.0
    cells = torch.zeros(1, 4, 4, 1)
    cells[:, :, 2:] = 1.0
    cells[:, :, 1] = 6 / 16  # the patch with the edge holds a mixture
    upsampled = joint_bilateral(cells, photo, 16)[0, 32, :, 0]
    blurred = FeatureInput(photo)
    assert blurred.images.shape[-1] == 64
    plain = torch.nn.functional.interpolate(cells.permute(0, 3, 1, 2), size=(64, 64), mode="bilinear")[0, 0, 32]
    step = upsampled[27] - upsampled[24]
    assert step > 0.3
    assert step > 3 * (plain[27] - plain[24])
    constant = joint_bilateral(torch.full((1, 4, 4, 2), 0.7), _photos(1, 3, 64, 64), 4)
    assert torch.allclose(constant, torch.full_like(constant, 0.7), atol=1e-6)


def test_scene_features_give_each_provider_its_own_photos(tmp_path: Path) -> None:
    photos, pixels = FeatureInput(_photos(2, 3, 64, 96)), FeatureInput(_photos(2, 3, 16, 24))
    providers = {part: build_provider(part) for part in ("daisy", "iuvrgb")}
    made = scene_features(providers, photos, pixels, channels=8, load=_load, cache=tmp_path)
    daisy = build_provider("daisy").extract(photos.images).half().float()
    parts = [(daisy, False), (build_provider("iuvrgb").extract(pixels.images), True)]
    assert torch.equal(made.values, feature_map(parts, image_size=(64, 96), grid=(16, 24), channels=8).values)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1, "per-pixel features are not cached"


class _Counted(FeatureProvider):
    card = Card(name="counted", channels=5, stride=16, weights="hf:a/b")
    loads = 0

    def load(self, device: torch.device) -> None:
        self.loads += 1

    def extract(self, images: Tensor) -> Tensor:
        return _photos(len(images), 4, 6, 5)


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    list(features)
    monkeypatch.setattr(features, "_classes", {**features._classes, "counted": _Counted})


@pytest.mark.usefixtures("_registered")
def test_a_network_is_loaded_only_where_the_cache_lacks_its_features(tmp_path: Path) -> None:
    provider = _Counted("random")
    photos, pixels = FeatureInput(_photos(2, 3, 64, 96)), FeatureInput(_photos(2, 3, 16, 24))
    first, second = (
        scene_features({"counted": provider}, photos, pixels, channels=3, load=_load, cache=tmp_path) for _ in range(2)
    )
    assert provider.loads == 1
    assert torch.equal(first.values, second.values)
    scene_features({"counted": _Counted("pretrained")}, photos, pixels, channels=3, load=_load, cache=tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2, "other weights, other features"


_PLUGIN = """
import torch
from bench.registry import features
from bench.types import Card, FeatureProvider

@features.register("edited")
class Edited(FeatureProvider):
    card = Card(name="Edited", channels=1, stride=16)

    def extract(self, images):
        return torch.full((len(images), 4, 6, 1), VALUE)
"""


def test_features_of_an_edited_plugin_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(features)
    monkeypatch.setattr(features, "_classes", dict(features._classes))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits of one second and one size look the same to Python's cache
    photos, made = FeatureInput(_photos(2, 3, 64, 96)), []
    for value in ("1.0", "2.0", "1.0"):
        (tmp_path / "edited.py").write_text(_PLUGIN.replace("VALUE", value))
        load_plugin(str(tmp_path / "edited.py"))
        made.append(patch_features("edited", build_provider("edited"), photos, load=_load, cache=tmp_path / "cache"))
    assert [float(extracted.values.mean()) for extracted in made] == [1.0, 2.0, 1.0]
    assert made[0].key == made[2].key != made[1].key
    assert made[0].cost == made[2].cost, "the first ones are still there"


@pytest.mark.usefixtures("_registered")
def test_what_patch_features_cost_is_measured_where_they_are_made(tmp_path: Path) -> None:
    provider, photos = _Counted("random"), FeatureInput(_photos(2, 3, 64, 96))

    def load(provider: FeatureProvider) -> Cost:
        return Cost(seconds=7.0, peak_memory_mb=1e6)

    made, read = (patch_features("counted", provider, photos, load=load, cache=tmp_path) for _ in range(2))
    assert made.cost.loading_seconds == 7.0
    assert 0 < made.cost.extraction_seconds < 7.0
    assert made.cost.peak_memory_mb == 1e6, "the larger of the two peaks"
    assert made.cost.device == "cpu"
    assert made.cost.provenance["threads"] == torch.get_num_threads()
    assert read.cost == made.cost
    assert patch_features("counted", provider, photos, load=_load).cost.peak_memory_mb < 1e6


def test_the_upsampled_variant_of_a_scene() -> None:
    photos, pixels = FeatureInput(_photos(1, 3, 64, 96)), FeatureInput(_photos(1, 3, 32, 48))
    made = scene_features({"daisy@jbu": build_provider("daisy@jbu")}, photos, pixels, channels=6, load=_load)
    raw = build_provider("daisy").extract(photos.images)
    assert torch.equal(made.values, reduce(joint_bilateral(raw, photos.images, 4), 6))
    assert made.values.shape == (1, 16, 24, 6)


class _PatchColours(NetworkProvider):
    """The mean colour of every patch of 14 pixels, of photos padded as the suite's networks pad them."""

    card = Card(name="patches", arch="none", channels=3, stride=14, supervision="none", domain="2D", data=(), license="MIT")

    def build(self) -> torch.nn.Module:
        return torch.nn.AvgPool2d(14)

    def forward(self, images: Tensor) -> Tensor:
        colours: Tensor = self.network(images)
        return colours.permute(0, 2, 3, 1)


@pytest.mark.parametrize("edge", [10, 28, 48])
def test_features_and_guide_of_a_padded_photo_lie_over_each_other(edge: int) -> None:
    """57 pixels become 70, six on the left and seven on the right: an edge between two pixels of the photo lies that much
    further to the right in 70, of which a vector has 3.5."""
    photo = torch.zeros(1, 3, 56 * 2, 57)
    photo[..., edge:] = 1.0
    provider = Upsampled(_PatchColours("random"), Part("patches"), "jbu")
    provider.load(torch.device("cpu"))
    row = provider.extract(photo)[0, 16, :, 0]
    assert row.shape == (20,)
    steps = row.diff()[2:17]  # without the steps to the padding, which has the mean colour
    assert abs(int(steps.argmax()) + 3 - (edge + 6) / 3.5) <= 0.5


def test_broken_features_name_their_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(_Counted):
        def extract(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 4, 6, 5), float("nan"))

    list(features)
    monkeypatch.setattr(features, "_classes", {**features._classes, "broken": Broken})
    photos = FeatureInput(_photos(1, 3, 64, 96))
    with pytest.raises(UserError, match="broken: 120 of 120 feature values are NaN"):
        scene_features({"broken": Broken("random")}, photos, photos, channels=3, load=_load)
