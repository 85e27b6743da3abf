from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.core.cells import MODES
from bench.probe.features.map import FeatureMap
from bench.probe.modes import ATTRIBUTES, mode_named
from bench.probe.parameters import Parameters, activated, initial_values
from bench.probe.readout.readout import HEAD_CHANNELS
from bench.types import UserError

GEOMETRY = {"position", "log_scale", "rotation", "opacity"}
COLOUR = {"colour_dc", "colour_rest"}
READ = {"G": GEOMETRY, "T": COLOUR, "A": GEOMETRY | COLOUR, "instantsplat": set()}  # the protocol's table


def _initial(count: int = 12) -> dict[str, torch.Tensor]:
    generator = np.random.default_rng(0)
    return initial_values(generator.normal(size=(count, 3)), generator.random((count, 3)), 0.1, torch.device("cpu"))


def _features(count: int = 12, channels: int = 5) -> FeatureMap:
    return FeatureMap(torch.randn(1, 2, 2, channels, generator=torch.Generator().manual_seed(0)), 3, count // 3, False)


def _parameters(name: str) -> Parameters:
    return Parameters(mode_named(name), _initial(), _features(), torch.arange(12), seed=0)


@pytest.mark.parametrize("name", MODES)
def test_what_is_read_and_what_is_free(name: str) -> None:
    mode = mode_named(name)
    assert set(mode.readout) == READ[name.removesuffix("ft")]
    assert set(mode.free) == (GEOMETRY | COLOUR) - set(mode.readout)
    assert mode.fine_tuned == name.endswith("ft")
    assert mode.needs_feature == (name != "instantsplat")


def test_unknown_mode() -> None:
    with pytest.raises(UserError, match="no mode is named 'g'"):
        mode_named("g")


@pytest.mark.parametrize("name", MODES)
def test_each_attribute_depends_on_its_group_alone(name: str) -> None:
    parameters = _parameters(name)
    groups = {group["name"]: group["params"] for group in parameters.groups()}
    assert list(groups)[:6] == list(ATTRIBUTES)
    assert ("features" in groups) == name.endswith("ft")
    values = parameters.values()
    for attribute, value in values.items():
        assert value.shape == (12, HEAD_CHANNELS[attribute])
        for owner, tensors in groups.items():
            found = torch.autograd.grad(value.sum(), tensors, retain_graph=True, allow_unused=True)
            reads_feature = owner == "features" and attribute in READ[name.removesuffix("ft")] - {"colour_rest"}
            pulled = any(g is not None and bool(g.any()) for g in found)
            assert pulled == (owner == attribute or reads_feature), (attribute, owner)


@pytest.mark.parametrize("name", ["Gft", "Tft", "Aft"])
def test_frozen_features_take_no_gradient(name: str) -> None:
    parameters = _parameters(name)
    torch.stack([value.sum() for value in parameters.values().values()]).sum().backward()
    assert parameters.fine_tuned_features is not None
    assert parameters.fine_tuned_features.grad is not None
    parameters.freeze_features()
    torch.stack([value.sum() for value in parameters.values().values()]).sum().backward()
    assert parameters.fine_tuned_features.grad is None


def test_fine_tuning_starts_from_the_upsampled_feature() -> None:
    frozen, tuned = _parameters("A").values(), _parameters("Aft").values()
    for name in ATTRIBUTES:
        torch.testing.assert_close(frozen[name], tuned[name], atol=1e-5, rtol=1e-4)


def test_only_the_kept_pixels_get_a_gaussian() -> None:
    kept = torch.tensor([1, 4, 11])
    everything = _parameters("A").values()
    initial = {name: value[kept] for name, value in _initial().items()}
    for mode in ("A", "Aft"):
        some = Parameters(mode_named(mode), initial, _features(), kept, seed=0).values()
        for name in ATTRIBUTES:
            torch.testing.assert_close(some[name], everything[name][kept], atol=1e-5, rtol=1e-4)


def test_initial_values_by_hand() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [0, 0, -100]])
    values = initial_values(points, np.tile([0.5, 1.0, 0.0], (5, 1)), 0.1, torch.device("cpu"))
    assert values["log_scale"][0].tolist() == pytest.approx([np.log(np.sqrt((1 + 4 + 9) / 3))] * 3)
    assert values["rotation"][2].tolist() == [1, 0, 0, 0]
    assert values["colour_dc"][0].tolist() == pytest.approx([0, 0.5 / 0.28209479, -0.5 / 0.28209479])
    gaussians = activated(values)
    assert gaussians.opacities.tolist() == pytest.approx([0.1] * 5)
    assert gaussians.scales[0, 0].item() == pytest.approx(np.sqrt(14 / 3))
    assert gaussians.spherical_harmonics.shape == (5, 16, 3)
    assert not gaussians.spherical_harmonics[:, 1:].any()


def test_coincident_and_lone_points_have_a_size() -> None:
    for points in (np.zeros((6, 3)), np.ones((1, 3))):
        values = initial_values(points, np.zeros_like(points), 0.1, torch.device("cpu"))
        assert torch.isfinite(values["log_scale"]).all()
        assert values["log_scale"][0, 0].item() == pytest.approx(0.5 * np.log(1e-7))
