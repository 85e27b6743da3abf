"""The catalogue: one entry a metric is all that tables, ranks, charts and the leaderboard need."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from bench.metrics import catalogue
from bench.metrics.catalogue import CATALOGUE, METRICS, RANK, Metric, headline, metric_named, of_kind
from bench.report.say import marks, means
from bench.report.say.means import table_means
from bench.report.tables import beside, papers


def test_names_are_unique_and_each_track_has_one_headline() -> None:
    assert len(METRICS) == len(CATALOGUE)
    for track in ("probe", "geometry"):
        assert sum(metric.headline for metric in CATALOGUE if metric.track == track) == 1
        assert headline(track).higher_is_better is not None
    assert all(metric.higher_is_better is not None for metric in CATALOGUE if metric.ranked)
    assert metric_named("rank") is RANK


@pytest.mark.parametrize(
    ("name", "value", "told", "difference"),
    [
        ("psnr", 23.806, "23.81 dB", "+23.81 dB"),
        ("ssim", 0.74421, ".7442", "+0.7442"),
        ("rel", 0.16904, "16.9 %", "+16.9 %"),
        ("fov_x_error", 1.372, "1.37°", "+1.4°"),
        ("accuracy", 2.5, "2.500", "+2.500"),
    ],
)
def test_values_are_told_with_their_unit(name: str, value: float, told: str, difference: str) -> None:
    assert METRICS[name].told(value) == told
    assert METRICS[name].told_difference(value) == difference


def test_a_metric_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new depth metric gets a column of MoGe's tables and a part in the ranks from its entry alone."""
    new = dataclasses.replace(METRICS["rel"], name="rmse", label="RMSE", headline=False, higher_is_better=False)
    entries: tuple[Metric, ...] = (*CATALOGUE, new)
    monkeypatch.setattr(catalogue, "CATALOGUE", entries)
    for module in (catalogue, papers, beside, means, marks):
        if hasattr(module, "METRICS"):
            monkeypatch.setitem(module.METRICS, "rmse", new)
        if hasattr(module, "CATALOGUE"):
            monkeypatch.setattr(module, "CATALOGUE", entries)
    monkeypatch.setitem(means.RANKED, "rmse", False)
    assert of_kind("depth")[-1] is new
    rows = pd.DataFrame(
        {
            "track": "geometry", "dataset": "nyuv2", "scene": "a", "view": "a", "model": model, "mode": "-", "pointmap": "-",
            "alignment": "depth_scale_invariant", "protocol": "moge-v1", "seed": 0, "metric": metric, "value": value,
            "unit": "share", "higher_is_better": metric == "delta", "status": "ok", "note": "", "weights": "pretrained",
            "role": "model", "start": "-", "quick": False,
        }
        for model, values in {"moge": (0.1, 0.9, 0.5), "unidepth": (0.2, 0.8, 0.1)}.items()
        for metric, value in zip(("rel", "delta", "rmse"), values, strict=True)
    )  # fmt: skip
    found = table_means(rows)
    table = papers.depth_table(found)
    assert [heading.text for heading in table.header[-1]][:3] == ["Relᵈ↓", "δᵈ↑", "RMSEᵈ↓"]
    ranks = {line.label: line.entries[-1].text for line in table.lines}
    assert ranks == {"MoGe": "1.33", "UniDepth": "1.67"}  # (1 + 1 + 2) / 3 and (2 + 2 + 1) / 3
