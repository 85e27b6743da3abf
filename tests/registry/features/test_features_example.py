"""CONTRIBUTING's worked example, "add your model in one class": it registers and runs as it stands."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from bench.core.registry import features, load_plugin
from bench.machine.provenance import Cost
from bench.probe.features.composite import build_provider, load_provider, parse_features, scene_features
from bench.types import FeatureInput, FeatureProvider

EXAMPLE = Path(__file__).parent / "example_plugin.py"
FAMILY = Path(__file__).parent / "example_family.py"


def test_the_example_is_one_class_of_at_most_25_lines() -> None:
    (cls,) = (node for node in ast.parse(EXAMPLE.read_text()).body if isinstance(node, ast.ClassDef))
    assert len(EXAMPLE.read_text().splitlines()) <= 25
    assert ast.get_docstring(cls)


def test_the_guide_prints_the_example_as_it_stands() -> None:
    guide = Path(__file__).parents[3] / "CONTRIBUTING.md"
    assert EXAMPLE.read_text().strip() in guide.read_text()
    assert FAMILY.read_text().strip() in guide.read_text()


def test_the_example_registers_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_classes", dict(features._classes))
    load_plugin(str(EXAMPLE))
    assert "example-resnet" in features
    assert parse_features("example-resnet+iuvrgb") == ("example-resnet", "iuvrgb")
    providers = {part: build_provider(part, "random") for part in ("example-resnet", "iuvrgb")}
    assert providers["example-resnet"].weights == "random"
    photos, pixels = (FeatureInput(torch.rand(2, 3, *size)) for size in ((64, 96), (16, 24)))

    def load(provider: FeatureProvider) -> Cost:
        return load_provider(provider, torch.device("cpu"))

    raw = build_provider("example-resnet", "random")
    load(raw)
    values = raw.extract(photos.images)
    assert values.shape == (2, 4, 6, features["example-resnet"].card.channels)
    assert scene_features(providers, photos, pixels, channels=16, load=load).upsampled().shape == (2, 16, 24, 16)


def test_the_family_is_one_class_of_at_most_25_lines_and_runs_in_sizes_and_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    (cls,) = (node for node in ast.parse(FAMILY.read_text()).body if isinstance(node, ast.ClassDef))
    assert cls.end_lineno is not None
    assert cls.end_lineno - cls.decorator_list[0].lineno + 1 <= 25
    monkeypatch.setattr(features, "_classes", dict(features._classes))
    load_plugin(str(FAMILY))
    found = {}
    for name in ("example-deit", "example-deit:S", "example-deit:S@layer=6"):
        provider = build_provider(name, "random")
        load_provider(provider, torch.device("cpu"))
        found[name] = provider.extract(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
        assert found[name].shape == (1, 4, 6, provider.card.channels)
    assert not torch.equal(found["example-deit:S"], found["example-deit:S@layer=6"])
    assert features["example-deit:S"].card.weights == "timm:deit_small_patch16_224.fb_in1k"
