"""Third parties' values: complete, in place, and the verdict on them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.report.say.means import table_means
from bench.report.tables.thirds import thirds_table, three_hands, verdict
from bench.results.reference.published import published_rows
from bench.results.reference.reproduced import PLACE, not_reproducible, reproduced_values


def test_every_value_has_a_place_a_source_and_a_tolerance() -> None:
    values = reproduced_values()
    assert len(values) == 24
    assert not values.duplicated(["by", *PLACE]).any()
    assert values["value"].notna().all()
    assert values["tolerance"].between(0, 0.1).all()
    assert (values["source"].str.len() > 20).all()
    named = values.set_index(["by", "model", "dataset", "metric"])["value"]
    assert named["plumbline", "moge", "kitti", "rel"] == 0.0404
    assert named["plumbline", "moge", "gso", "rel"] == 0.00958
    assert named["plumbline", "depth-anything-v2", "eth3d", "rel"] == 0.0473
    assert named["authors-script", "moge", "ibims1", "fov_x_error"] == 3.96
    assert set(values["model"]) <= set(published_rows()["model"])


def test_the_third_party_reproduces_the_paper_within_its_tolerance() -> None:
    found = three_hands()
    compared = found[found["paper"].notna()]
    assert len(compared) == 21  # the uncropped field of view has no counterpart in the paper
    off = (compared["third"] / compared["paper"] - 1).abs()
    assert (off <= compared["tolerance"]).equals(compared["verdict"].str.contains("reproduces the paper"))
    assert off.max() < 0.05


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (0.0405, "the third party reproduces the paper; ours agrees with the paper; ours agrees with the third party"),
        (0.0500, "the third party reproduces the paper; ours misses the paper; ours misses the third party"),
        (math.nan, "the third party reproduces the paper"),
    ],
)
def test_the_verdict(ours: float, expected: str) -> None:
    assert verdict({"model": "moge", "paper": 0.0405, "third": 0.0404, "ours": ours, "tolerance": 0.05}) == expected


def test_a_value_that_one_seed_cannot_give_is_said_to_be_such() -> None:
    assert "geowizard" in not_reproducible()
    row = {"model": "geowizard", "paper": 0.05, "third": 0.0574, "ours": math.nan, "tolerance": 0.05}
    assert verdict(row).startswith("not reproducible: the authors report the best of several seeds")


def test_ours_stands_in_a_column_of_its_own() -> None:
    row = {"track": "geometry", "dataset": "kitti", "scene": "a", "view": "a", "model": "moge", "mode": "-", "pointmap": "-"}
    row |= {"alignment": "disparity_affine_invariant", "protocol": "moge-v1", "seed": 0, "metric": "rel", "value": 0.041}
    row |= {"unit": "share", "higher_is_better": False, "status": "ok", "note": "", "weights": "pretrained"}
    means = table_means(pd.DataFrame([{**row, "role": "model", "start": "-", "quick": False}]))
    found = three_hands(means)
    table = thirds_table(found[found["ours"].notna()])
    (line,) = table.lines
    assert [entry.text for entry in line.entries[:6]] == ["Rel", "4.05 %", "4.04 %", "4.10 %", "-0.2%", "+1.2%"]
    random = table_means(pd.DataFrame([{**row, "weights": "random", "role": "model", "start": "-", "quick": False}]))
    assert three_hands(random)["ours"].isna().all()
