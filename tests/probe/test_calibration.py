"""Features brought to one deviation: by one number, so that nothing but the scale changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.protocols import PROBE_PROTOCOLS
from bench.probe.features.map import FeatureMap
from bench.probe.modes import mode_named
from bench.probe.probe import run_probe
from bench.probe.settings import ProbeSettings
from bench.probe.start import prepare
from bench.probe.views import ProbeScene
from bench.types import Initialisation, MultiViewScene


def random_map(seed: int, factor: float = 1.0) -> FeatureMap:
    generator = torch.Generator().manual_seed(seed)
    widths = torch.linspace(3, 0.1, 5)
    return FeatureMap(factor * (torch.randn(3, 6, 8, 5, generator=generator) * widths + 2), 24, 32, per_pixel=False)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-6, 1e4), st.floats(0.01, 100))
def test_the_deviation_is_what_was_asked_for(seed: int, factor: float, wanted: float) -> None:
    own, other = random_map(seed), random_map(seed, factor)
    found = other.with_deviation(wanted)
    # numpy's own variance, channel by channel
    assert np.sqrt(found.values.double().numpy().reshape(-1, 5).var(axis=0).mean()) == pytest.approx(wanted, rel=1e-4)
    # one number for all channels, and the same map whatever the scale that it came with
    ratio = found.values / other.values
    torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.values, own.with_deviation(wanted).values, rtol=1e-4, atol=1e-5)


def test_a_constant_feature_stays_as_it_is() -> None:
    constant = FeatureMap(torch.full((3, 6, 8, 5), 0.25), 24, 32, per_pixel=False)
    assert torch.equal(constant.with_deviation(1.0).values, constant.values)


def test_the_protocol_decides(tiny_scene: MultiViewScene, tiny_truth: Initialisation) -> None:
    """A calibrated probe does not see the scale of a feature; the published one does."""
    quick = replace(PROBE_PROTOCOLS["quick-v1"], grid_long_side=32, iterations=6, warm_start=4, test_pose_steps=1)
    scene = ProbeScene(tiny_scene, tiny_scene, tiny_scene)

    def moved(factor: float, deviation: float | None) -> torch.Tensor:
        settings = ProbeSettings(mode_named("G"), replace(quick, feature_deviation=deviation))
        assert prepare(scene, tiny_truth, random_map(0), settings).features is not None
        return run_probe(scene, tiny_truth, random_map(0, factor), settings).gaussians.means

    torch.testing.assert_close(moved(1.0, 1.0), moved(64.0, 1.0), rtol=0, atol=1e-5)
    assert (moved(1.0, None) - moved(64.0, None)).abs().max() > 1e-2
