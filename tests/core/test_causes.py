"""The known causes of differences: the page holds them all, they name what exists, and each reaches whom it concerns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.core.facts.causes import CAUSES, concerning
from bench.core.facts.deviations import DEVIATIONS
from bench.core.registry import datasets, estimators, features
from bench.results.reference.published import published_rows
from bench.results.reference.shipped import shipped_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "bench" / "docs" / "differences.md").read_text(encoding="utf-8")


def test_the_page_is_the_list() -> None:
    for cause in CAUSES:
        whose = f"{', '.join(cause.models) or 'all'} | {', '.join(cause.datasets) or 'all'}"
        assert f"| {cause.what} | {cause.effect} | {cause.size or 'not measured'} | {whose} | {cause.source} |" in PAGE
    assert PAGE.count("\n| ") == len(CAUSES) + 2  # and the heads of two tables


def test_causes_name_what_exists_and_where_it_is_from() -> None:
    published = set(published_rows()["model"])
    for cause in CAUSES:
        registry = features if cause.track == "probe" else estimators
        assert all(name in registry or name.partition("@")[0] in registry or name in published for name in cause.models)
        assert all(name in datasets for name in cause.datasets)
        assert cause.source
    assert len({cause.what for cause in CAUSES}) == len(CAUSES)


def test_what_concerns_whom() -> None:
    def told(track: str, models: set[str], data: set[str]) -> tuple[set[str], set[str]]:
        causes, deviations = concerning(track, models, data)
        return {cause.what for cause in causes}, {each.what for each in deviations}

    few, ours = told("geometry", {"moge"}, {"diode"})
    assert "GeoWizard's seeds" not in few
    assert "crops of the field of view" in few
    assert all(each.track == "geometry" for each in DEVIATIONS if each.what in ours)
    sized, _ = told("geometry", {"depth-anything-v2:S"}, {"diode"})
    assert "re-exported weights (names that end in -hf)" in sized - few
    on_kitti, _ = told("geometry", {"moge", "geowizard"}, {"kitti"})
    assert on_kitti - few == {"GeoWizard's seeds", "KITTI and NYUv2 as the release of MoGe has them, or by the Eigen split"}
    plain, single = told("probe", {"dino", "mast3r"}, {"dtu"})
    assert "the training data of DL3DV" not in plain
    assert "concatenated features" not in single
    assert "DTU: framing and intrinsics" in single
    seen, joined = told("probe", {"dino+mast3r", "mast3r"}, {"dl3dv"})
    assert "the training data of DL3DV" in seen
    assert "concatenated features" in joined
    assert "DTU: framing and intrinsics" not in joined


@pytest.mark.parametrize(("share", "said"), [(0.9, "0.46 dB where 90 %"), (0.5, "3.0 dB at 50 %")])
def test_the_size_of_the_masks_effect_follows_from_psnrs_definition(share: float, said: str) -> None:
    error = 0.01
    gain = -10 * math.log10(error * share) - -10 * math.log10(error)  # the rest of the picture has no error
    assert f"{gain:#.2g}" == said.partition(" dB")[0]
    assert any(said in cause.size for cause in CAUSES)


def test_sizes_from_the_re_measurements_are_those_that_ship() -> None:
    shipped = shipped_table("reproduced", "values")
    clamp = shipped[
        (shipped["model"] == "depth-anything-v2") & (shipped["dataset"] == "ibims1") & (shipped["metric"] == "rel")
    ]
    assert "0.0348" in set(clamp["value"])
    seeds = shipped_table("reproduced", "not_reproducible").set_index("model").loc["geowizard", "source"]
    assert all(number in seeds for number in (".0574", ".052", ".131", ".097"))
