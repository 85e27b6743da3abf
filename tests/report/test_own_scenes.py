"""Scenes and models of one's own: scenes stand as rows of their own, models among the published ones, others are told."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.metrics.catalogue import of_kind
from bench.report.say.means import table_means
from bench.report.say.scenes import other_scenes, own_scenes
from bench.report.tables.beside import published_means
from bench.report.tables.model import Table
from bench.report.tables.scenes import MOST_SCENES, among_published, scene_tables
from bench.results.reference.published import published_rows, published_scenes
from bench.results.schema import ROW_COLUMNS, as_rows


def rows(*given: dict[str, Any], track: str = "probe") -> pd.DataFrame:
    usual: dict[str, Any] = {name: "-" if kind == "str" else None for name, kind in ROW_COLUMNS.items()}
    usual |= {"track": track, "view": "a", "mode": "G", "metric": "psnr", "unit": "dB", "higher_is_better": True, "seed": 0}
    usual |= {
        "status": "ok",
        "weights": "pretrained",
        "role": "model",
        "quick": False,
        "key": "0" * 64,
        "pointmap": "sparse",
    }
    usual |= {"protocol": "paper-v1", "start": "estimated"}
    if track == "geometry":
        usual |= {"mode": "-", "pointmap": "-", "start": "-", "metric": "rel", "unit": "share", "higher_is_better": False}
        usual |= {"protocol": "moge-v1", "alignment": "depth_affine_invariant"}
    return as_rows(pd.DataFrame([{**usual, **each} for each in given]))


def texts(table: Table) -> list[tuple[str, str, list[str]]]:
    return [(line.group, line.label, [entry.text for entry in line.entries]) for line in table.lines]


def test_two_scenes_of_ones_own_are_two_groups_and_each_has_its_best() -> None:
    own = [
        {"dataset": "photos", "scene": scene, "model": model, "value": value}
        for scene, values in {"attic": (20.0, 22.0), "garden": (31.0, 30.0)}.items()
        for model, value in zip(("dino", "clip"), values, strict=True)
    ]
    (table,) = scene_tables(rows(*own), ["psnr"])
    assert texts(table) == [
        ("attic", "DINO", ["20.00"]),
        ("attic", "CLIP", ["22.00"]),
        ("garden", "DINO", ["31.00"]),
        ("garden", "CLIP", ["30.00"]),
    ]
    assert [line.entries[0].emphasis for line in table.lines] == ["second", "best", "best", "second"]


def test_a_scene_of_ones_own_among_published_ones_stands_alone_and_one_scene_says_nothing_new() -> None:
    published = [{"dataset": "llff", "scene": scene, "model": "dino", "value": 20.0} for scene in published_scenes()["llff"]]
    mine = {"dataset": "llff", "scene": "attic", "model": "dino", "value": 25.0}
    assert own_scenes(rows(*published)) == {}
    assert own_scenes(rows(*published, mine)) == {"llff": ["attic"]}
    assert own_scenes(rows({**mine, "dataset": "photos"})) == {}
    (table,) = scene_tables(rows(*published, mine), ["psnr"])
    assert texts(table) == [("attic", "DINO", ["25.00"])]
    said = other_scenes(rows(*published, mine), ["llff"])
    assert "ours over attic, fortress" in said
    assert other_scenes(rows(*published), ["llff"]) == ""


def test_more_scenes_than_anybody_reads_are_counted() -> None:
    many = [{"dataset": "photos", "scene": f"s{i:02}", "model": "dino", "value": 20.0} for i in range(MOST_SCENES + 3)]
    (table,) = scene_tables(rows(*many), ["psnr"])
    assert len(table.lines) == MOST_SCENES
    assert "3 more scenes stand in the rows" in table.caption


@pytest.mark.parametrize("dataset", ["kitti", "nyuv2"])
def test_an_estimator_of_ones_own_stands_above_every_published_row_of_that_data_set(dataset: str) -> None:
    mine = [
        {"dataset": dataset, "scene": sample, "model": "my-net", "metric": metric, "value": value, "higher_is_better": up}
        for sample in ("a", "b")
        for metric, value, up in (("rel", 0.05, False), ("delta", 0.9, True))
    ]
    measured = rows(*mine, track="geometry")
    (table,) = among_published(measured, table_means(measured), published_means(), of_kind("depth", "fov"))
    here = [line for line in texts(table) if line[0] == "measured here"]
    assert here == [("measured here", "my-net", ["5.00", "90.0"])]
    printed = published_rows("moge_depth")
    printed = printed[(printed["dataset"] == dataset) & (printed["alignment"] == "depth_affine_invariant")]
    assert {line.group for line in table.lines} == {"measured here", "published"}
    assert len(table.lines) == 1 + printed["model"].nunique()
    for line in table.lines[1:]:
        assert line.entries[0].value in set(printed[printed["metric"] == "rel"]["value"])
    assert "ours over 2 samples (a, b)" in table.caption
    assert "not known" in table.caption


def test_models_that_the_papers_have_stand_beside_their_own_values_alone() -> None:
    measured = rows({"dataset": "kitti", "scene": "a", "model": "moge", "value": 0.05}, track="geometry")
    assert list(among_published(measured, table_means(measured), published_means(), of_kind("depth", "fov"))) == []


def test_a_feature_of_ones_own_stands_among_the_published_features() -> None:
    mine = rows({"dataset": "llff", "scene": "attic", "model": "my-net", "value": 25.0})
    (table,) = among_published(mine, table_means(mine), published_means(), of_kind("2d", "3d"))
    assert texts(table)[0] == ("measured here", "my-net", ["25.00"])
    assert {"DINO", "RADIO"} <= {label for group, label, _ in texts(table) if group == "published"}
    assert "ours over attic, published over" in table.caption
