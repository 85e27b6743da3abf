"""The feature cache: content-addressed, rounded alike on every call, robust against damage; it keeps what features cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.probe.features.cache import ExtractionCost, cached_features, feature_key
from bench.types import FeatureInput


def _cost(call: int) -> ExtractionCost:
    return ExtractionCost(1.5, 20.25 + call, 1234.5, "cpu", {"threads": 1, "packages": {"torch": "9"}})


class _Counted:
    def __init__(self, values: Tensor) -> None:
        self.values, self.calls = values, 0

    def __call__(self) -> tuple[Tensor, ExtractionCost]:
        self.calls += 1
        return self.values, _cost(self.calls)


def _values() -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_the_second_call_reads_and_gives_the_same_numbers(tmp_path: Path) -> None:
    compute = _Counted(_values())
    first, second = (cached_features(tmp_path, "ab12", compute) for _ in range(2))
    assert compute.calls == 1
    assert torch.equal(first.values, second.values)
    assert first.values.dtype == torch.float32
    assert torch.allclose(first.values, compute.values, rtol=5e-4, atol=1e-7)
    assert not torch.equal(first.values, compute.values), "half precision, on the first call too"
    assert first.cost == second.cost == _cost(1), "what it cost when it was made, not now"
    assert first.key == second.key == "ab12"


def test_values_beyond_half_precision_are_kept_in_single(tmp_path: Path) -> None:
    values = _values()
    values[0, 0, 0, 0] = 1e6
    assert torch.equal(cached_features(tmp_path, "ab", _Counted(values)).values, values)


def test_maps_of_tiny_values_are_kept_in_single(tmp_path: Path) -> None:
    values = _values() * 1e-6  # half would keep two or three digits' worth of steps of 6e-8
    assert torch.equal(cached_features(tmp_path, "ab", _Counted(values)).values, values)
    values[0, 0, 0, 0] = 1.0
    kept = cached_features(tmp_path, "cd", _Counted(values)).values
    assert 0 < (kept - values).abs().max() <= 3e-8, "beside values of 1 the stated rounding"


def test_nan_is_carried_through_not_hidden(tmp_path: Path) -> None:
    values = _values()
    values[0, 0, 0, 0] = float("nan")
    for _ in range(2):
        assert cached_features(tmp_path, "ab", _Counted(values)).values.isnan().sum() == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "foreign"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    compute = _Counted(_values())
    expected = cached_features(tmp_path, "ab12", compute).values
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x55
    path.write_bytes(
        {"truncated": bytes(content[:-9]), "flipped": bytes(content), "emptied": b"", "foreign": b"not a tensor " * 20}[
            damage
        ]
    )
    for _ in range(2):
        again = cached_features(tmp_path, "ab12", compute)
        assert torch.equal(again.values, expected)
        assert again.cost == _cost(2)
    assert compute.calls == 2


@pytest.mark.parametrize("cost", [None, "no JSON", '{"loading_seconds": 1}'])
def test_features_whose_cost_is_not_known_are_computed_again(tmp_path: Path, cost: str | None) -> None:
    compute = _Counted(_values())
    cached_features(tmp_path, "ab12", compute)
    (path,) = tmp_path.rglob("*.safetensors")
    save_file(load_file(path), path, metadata={"cost": cost} if cost else None)
    assert cached_features(tmp_path, "ab12", compute).cost == _cost(2)


def test_a_failing_computation_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> tuple[Tensor, ExtractionCost]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_features(tmp_path, "ab", fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    cached_features(tmp_path, "ab", _Counted(_values()))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_folder_that_cannot_be_written_costs_speed_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file where the folder should be")
    counted = _Counted(_values())
    first, again = (cached_features(blocked, "ab", counted) for _ in range(2))
    assert counted.calls == 2
    assert torch.equal(first.values, again.values)
    assert "computed each time" in caplog.text
    assert str(blocked) in caplog.text


def test_the_key_depends_on_everything_that_decides_the_features() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    other = images.clone()
    other[0, 0, 0, 0] += 1e-6
    code: dict[str, object] = {"card": {"name": "DINO"}, "source": "1"}
    keys = {
        feature_key("dino", code, "random:x", FeatureInput(images)),
        feature_key("dinov2", code, "random:x", FeatureInput(images)),
        feature_key("dino", {**code, "source": "2"}, "random:x", FeatureInput(images)),
        feature_key("dino", {**code, "card": {"name": "Dino"}}, "random:x", FeatureInput(images)),
        feature_key("dino", code, "pretrained:x", FeatureInput(images)),
        feature_key("dino", code, "random:x", FeatureInput(other)),
        feature_key("dino", code, "random:x", FeatureInput(images.reshape(2, 3, 2, 8))),
        feature_key("dino", code, "random:x", FeatureInput(images, torch.zeros(2, 4, 4, 3))),
    }
    assert len(keys) == 8
    assert feature_key("dino", dict(code), "random:x", FeatureInput(images.clone())) in keys
