"""Marks of models and initialisers that were trained on what they are scored on: in means, tables, the leaderboard, and the
filters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import Page, start_browser

from bench.report.build import build_report
from bench.report.leaderboard.data import ROW_FIELDS, leaderboard_data
from bench.report.leaderboard.page import write_leaderboard
from bench.report.say.means import table_means
from bench.report.say.overlap import is_initialiser_known, is_known, trained_on, without_overlap
from bench.report.tables.papers import depth_table, gta_tables
from bench.results.reference.published import published_rows
from bench.results.schema import ROW_COLUMNS, as_rows
from bench.results.store import read_rows

VIRTUAL = "trained on what was made from KITTI (DA-V2-Mix → Virtual KITTI 2 → KITTI)"
NO_ROWS = pd.DataFrame(columns=list(ROW_COLUMNS))


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return table_means(published_rows())


def test_names_that_join_and_what_was_not_trained() -> None:
    assert trained_on("dinov2+dust3r@jbu", "pretrained") == ("LVD-142M", "DUSt3R-Mix")
    assert trained_on("dinov2@untrained+dust3r", "pretrained") == ("DUSt3R-Mix",)
    assert trained_on("dinov2", "random") == ()
    assert trained_on("moge@full", "none") == ("MoGe-Mix",)  # a row of the ablation
    assert trained_on("instantsplat", "none") == ()


def test_what_is_not_told_is_not_taken_for_clean() -> None:
    assert is_known("midas")
    assert is_known("daisy")  # nothing was trained
    assert is_known("vggt@untrained")
    assert not is_known("vggt")
    assert not is_known("clip+midas")  # one of them is private
    assert not is_known("a-plugin-that-is-not-here")


def test_published_rows_are_marked_by_name(published: pd.DataFrame) -> None:
    rows = published[published["overlap"] != ""]
    assert {*rows["protocol"]} == {"published"}
    marked = {(r.model, r.dataset) for r in rows.itertuples() if r.dataset != "all"}
    expected = {("depth-anything-v2", "kitti"), ("marigold", "kitti"), ("metric3d-v2", "kitti"), ("metric3d-v2", "ddad")}
    expected |= {("metric3d-v2", "gso"), ("midas-3.1", "kitti"), ("midas-3.1", "nyuv2"), ("wildcamera", "nyuv2")}
    expected |= {("zoedepth", "kitti"), ("zoedepth", "nyuv2"), ("mast3r", "dl3dv"), ("vggt", "dl3dv")}
    expected |= {("vggt-decoder", "dl3dv")}
    joined = "dust3r+mast3r+midas+dinov2+dino+sam+clip+radio+mae+sd"
    assert marked - {(joined, "dl3dv")} == expected
    one = rows[(rows["model"] == "depth-anything-v2") & (rows["dataset"] == "kitti")]
    assert set(one["overlap"]) == {VIRTUAL}


def test_means_over_data_sets_name_them(published: pd.DataFrame) -> None:
    rows = published[(published["dataset"] == "all") & (published["model"] == "zoedepth")]
    said = set(rows[rows["alignment"] == "depth_scale_invariant"]["overlap"])
    assert said == {"trained on 2 of its 8 data sets, or what was made from them: NYUv2, KITTI"}
    assert set(published[(published["dataset"] == "all") & (published["model"] == "leres")]["overlap"]) == {""}


def test_tables_lead_to_it_by_a_footnote(published: pd.DataFrame) -> None:
    table = depth_table(published[published["track"] == "geometry"])
    assert VIRTUAL in table.notes
    entry = next(e for line in table.lines if line.label == "DA V2" for e in line.entries if e.note == VIRTUAL)
    assert entry.ranked  # it is told, not taken out
    (dl3dv,) = (t for t in gta_tables(published[published["track"] == "probe"], ["psnr"]) if "dl3dv" in t.name)
    assert any("DL3DV" in note for note in dl3dv.notes)
    both = next(e.note for line in table.lines if line.label == "ZoeDepth" for e in line.entries if "not ranked" in e.note)
    assert both.startswith("not ranked in the paper; trained on ")


def test_a_report_without_them(new_results: Callable[[], Path], tmp_path: Path) -> None:
    folder = new_results()
    renamed = {"kitti": "spring"}  # the store's MoGe was trained on it
    rows = read_rows(folder)
    rows = rows.assign(dataset=rows["dataset"].replace(renamed))
    kept = without_overlap(rows)
    gone = rows.merge(kept, how="left", indicator=True, on=list(rows.columns))
    left_out = gone[gone["_merge"] == "left_only"]
    assert {(r.model, r.dataset) for r in left_out.itertuples()} == {("moge", "spring")}
    spring = tmp_path / "spring"
    spring.mkdir()
    rows.to_csv(spring / "rows.csv", index=False)
    text = build_report([spring], tmp_path / "out", ("md",), no_overlap=True).read_text(encoding="utf-8")
    assert f"Not shown: {len(left_out)} values of models or initialisers that were trained on the data set" in text


def _probed(dataset: str, pointmap: str, model: str = "dinov2", weights: str = "pretrained") -> dict[str, Any]:
    usual = {name: "-" if kind == "str" else None for name, kind in ROW_COLUMNS.items()}
    named = {"dataset": dataset, "pointmap": pointmap, "model": model, "weights": weights, "scene": f"{dataset} scene"}
    fixed = {"track": "probe", "view": "v", "mode": "G", "protocol": "paper-v1", "seed": 0, "metric": "psnr", "unit": "dB"}
    said = {"higher_is_better": True, "status": "ok", "role": "model", "start": "estimated", "quick": False}
    return {**usual, **named, **fixed, **said, "value": 20.0, "key": "0" * 64}


def test_an_initialiser_that_knows_the_scenes_is_told_whatever_model_is_probed() -> None:
    by_vggt = "starts from point maps of VGGT, trained on DL3DV (VGGT-Mix → DL3DV)"
    by_mast3r = "starts from point maps of MASt3R, trained on DL3DV (MASt3R-Mix → DL3DV)"
    own = "trained on DL3DV (MASt3R-Mix → DL3DV)"
    expected = {
        ("dl3dv", "vggt", "dinov2", "pretrained"): by_vggt,
        ("dl3dv", "vggt", "dinov2", "random"): by_vggt,  # the model's weights are random, the initialiser's are not
        ("dl3dv", "vggt", "instantsplat", "none"): by_vggt,
        ("dl3dv", "mast3r", "mast3r", "pretrained"): f"{own}; {by_mast3r}",
        ("dl3dv", "dust3r", "mast3r", "pretrained"): own,
        ("dl3dv", "dust3r", "dinov2", "pretrained"): "",
        ("dl3dv", "sparse", "dinov2", "pretrained"): "",
        ("llff", "vggt", "dinov2", "pretrained"): "",
    }
    rows = as_rows(pd.DataFrame([_probed(*key) for key in expected]))
    means = table_means(rows)
    places = ["dataset", "pointmap", "model", "weights"]
    said = means[means["dataset"] != "all"].set_index(places)["overlap"].to_dict()
    assert said == expected
    averages = means[means["dataset"] == "all"].set_index(places[1:])["overlap"]
    part = "trained on 1 of its 2 data sets, or what was made from them: DL3DV"
    assert averages["vggt", "dinov2", "pretrained"] == f"starts from point maps of VGGT, {part}"
    kept = without_overlap(rows)
    assert {tuple(row) for row in kept[places].to_numpy().tolist()} == {key for key, text in expected.items() if not text}


def test_an_initialiser_whose_training_data_is_not_told_is_not_taken_for_clean() -> None:
    assert is_initialiser_known("dust3r")
    assert is_initialiser_known("sparse")
    assert is_initialiser_known("-")
    assert not is_initialiser_known("vggt")  # one of its sets has no name
    assert not is_initialiser_known("of-a-plugin-that-is-not-here")


def test_the_leaderboards_data_say_it() -> None:
    data = leaderboard_data([], NO_ROWS, table_means(NO_ROWS))
    place = ROW_FIELDS.index("overlap")
    said = {
        (row[1], row[2]): data["texts"][row[place]] for row in data["rows"] if len(row) > place and row[place] is not None
    }
    assert said["kitti", "depth-anything-v2"] == VIRTUAL
    assert ("kitti", "leres") not in said
    card = data["cards"]["zoedepth"]
    assert card["data"] == ("MiDaS-Mix", "NYUv2", "KITTI")
    assert "ReDWeb" in card["parts"]
    assert json.loads(json.dumps(data))["tracks"][1]["models"]["leres"]["disclosed"] is True


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield Page(driver, write_leaderboard([], NO_ROWS, table_means(NO_ROWS), tmp_path_factory.mktemp("page")))
    driver.quit()


def test_the_page_marks_and_filters(page: Page) -> None:
    page.open("#track=geometry&dataset=kitti&block=depth_scale_invariant")
    marked = (
        "return [...document.querySelectorAll('tbody tr:not(.group)')].filter((r) => r.querySelector('.mark.seen')).length"
    )
    shown = page.column("Model")
    assert page.js(marked) == 3  # ZoeDepth, Metric3D, Depth Anything V2
    page.choose("training", "no overlap known")
    assert set(page.column("Model")) == {"LeReS", "DUSt3R", "UniDepth", "DA V1", "MoGe"} & set(shown)
    page.choose("training", "trained on it")
    assert page.js(marked) == len(page.column("Model")) == 3
    page.open("#track=geometry&layout=datasets&block=depth_scale_invariant&metric=geometry/rel")
    daggers = page.js("return [...document.querySelectorAll('span.seen:not(.mark)')].map((s) => s.title)")
    assert VIRTUAL in daggers
    assert any(re.match(r"trained on 2 of its 8 data sets", title) for title in daggers)
    assert page.complaints() == []
    for scheme in ("light", "dark"):
        page.open("#track=geometry&dataset=kitti&block=depth_scale_invariant", width=390, scheme=scheme)
        assert page.js("return document.documentElement.scrollWidth") <= 390
        assert page.violations() == []
