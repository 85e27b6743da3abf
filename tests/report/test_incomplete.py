"""A scene that failed, or was never run, is seen in every number averaged over it: by hand, and in the report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.report import write
from bench.report.build import build_report
from bench.report.leaderboard.page import leaderboard_data
from bench.report.read import load_results
from bench.report.say.cards import title_of
from bench.report.say.means import table_means
from bench.report.sections.overview import overview_section
from bench.report.tables import papers as paper_tables
from bench.report.tables.model import Line
from bench.report.tables.runs import pose_table
from bench.results.migration import marks_of_version_1
from bench.results.record import CellRecord
from bench.results.store import Store, rows_of
from bench.types import Measurement

PSNR = {  # model -> by scene
    "daisy": {"room": 30.0, "table": None},  # failed, or was never run
    "rgb": {"room": 29.0, "table": 15.0},
    "iuvrgb": {"room": 20.0, "table": 14.0},
}
NONE = pd.DataFrame(columns=["track", "protocol", "pointmap"])  #: no rows: the table is made from the means
NOTE = "0 of 1 data sets complete (procedural: 1 of 2 scenes)"


def _save(store: Store, cell: Cell, measurements: list[Measurement] | None, lost: str) -> None:
    if measurements is None and lost == "never run":
        return
    found = tuple(measurements or ())
    status, error = ("failed", "out of memory") if measurements is None else ("ok", "")
    store.save(
        CellRecord(
            json_digest(str(cell)),
            cell,
            status,
            "none",
            error,
            found,
            seconds=1.0,
            marks=marks_of_version_1(cell.model, cell.pointmap, cell.protocol),
        ),
        {},
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["failed", "never run"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Three features in two modes on two scenes, of which DAISY lacks one; two estimators, of which one lacks one photo."""
    store = Store(tmp_path_factory.mktemp("store") / "gaps")
    for model, scenes in PSNR.items():
        for scene, psnr in scenes.items():
            for mode in ("G", "Gft"):
                measured = psnr and [
                    Measurement("psnr", psnr, "left", "dB", True),
                    Measurement("pose_rotation_error", 40 - psnr, "train", "degree", False, "refined"),
                ]
                _save(
                    store,
                    Cell("probe", "procedural", scene, model, mode, "simulated", "quick-v1", 0),
                    measured,
                    request.param,
                )
    block = "points_affine_invariant"
    for dataset, sample in (("nyuv2", "a"), ("nyuv2", "b"), ("kitti", "a")):
        for model, error in (("moge", 0.1), ("plane", 0.4)):
            measured = [Measurement("rel", error, sample, "share", False, block)]
            lost = (dataset, sample, model) == ("nyuv2", "b", "moge")
            cell = Cell("geometry", dataset, sample, model, "-", "-", "moge-v1", 0)
            _save(store, cell, None if lost else measured, request.param)
    store.compact()
    return store.folder


@pytest.fixture(scope="module")
def means(folder: Path) -> pd.DataFrame:
    return table_means(load_results([folder]).rows)


def _line(lines: tuple[Line, ...], label: str) -> Line:
    return next(line for line in lines if line.label == label)


def test_an_incomplete_average_is_partial_and_not_ranked(means: pd.DataFrame) -> None:
    averages = means[(means["dataset"] == "all") & (means["metric"] == "psnr") & (means["mode"] == "G")].set_index("model")
    assert averages["value"].to_dict() == {"daisy": 30.0, "rgb": 22.0, "iuvrgb": 17.0}
    assert averages["status"].to_dict() == {"daisy": "partial", "rgb": "ok", "iuvrgb": "ok"}
    assert averages["ranked"].to_dict() == {"daisy": False, "rgb": True, "iuvrgb": True}


@pytest.mark.parametrize("metric", ["pose", "variants"])
def test_tables_of_averages_give_the_note_and_no_emphasis(means: pd.DataFrame, metric: str) -> None:
    table = pose_table(means) if metric == "pose" else paper_tables.variants_table(means, ["psnr"])
    found = {
        title_of(model): next(entry for entry in _line(table.lines, title_of(model)).entries if entry.note or entry.emphasis)
        for model in PSNR
    }
    assert found["DAISY"].note == NOTE
    assert {label: entry.emphasis for label, entry in found.items()} == {
        "DAISY": "",
        title_of("rgb"): "best",
        "IUVRGB": "second",
    }
    assert found[title_of("rgb")].note == ""


def test_the_leaderboard_ranks_complete_averages_only(folder: Path, means: pd.DataFrame) -> None:
    board = leaderboard_data([], load_results([folder]).rows, means)
    place = board["allMetrics"].index("probe/psnr")
    conditions = board["conditions"]
    found = {
        model: [*cell, *[None] * 11][:11]
        for _, dataset, model, block, condition, _, packed, *_ in board["rows"]
        if (dataset, block, conditions[condition]["protocol"]) == ("all", "G", "quick-v1")
        for cell in packed
        if cell[0] == place
    }
    assert {model: cell[10] for model, cell in found.items()} == {"daisy": None, "rgb": 1, "iuvrgb": 2}
    assert found["daisy"][5:8] == [0, 1, "partial"]
    assert board["texts"][found["daisy"][8]] == "procedural: 1 of 2 scenes"


def test_a_mean_rank_is_not_formed_from_incomplete_values(means: pd.DataFrame) -> None:
    table = paper_tables.points_table(means[means["track"] == "geometry"])
    moge, plane = (_line(table.lines, title_of(model, "geometry")).entries for model in ("moge", "plane"))
    average, rank = moge[-2], moge[-1]
    assert (average.text, average.note) == ("10.0", "1 of 2 data sets complete (nyuv2: 1 of 2 scenes)")
    assert (rank.text, rank.note) == ("–", "1 of 2 values complete (lacks nyuv2)")
    assert average.emphasis == ""
    assert (plane[-3].note, plane[-1].note) == ("", "")


def test_where_nothing_could_be_measured_there_are_no_ranks() -> None:
    """A constant prediction determines no affine fit: the one model of the run has no value there at all."""
    nan = float("nan")
    lost = [
        Measurement(metric, nan, "a", "share", up, "depth_affine_invariant", "invalid", "degenerate")
        for metric, up in (("rel", False), ("delta", True))
    ]
    found = Measurement("rel", 0.3, "a", "share", False, "depth_scale_invariant")
    cell = Cell("geometry", "nyuv2", "a", "plane", "-", "-", "moge-v1", 0)
    means = table_means(rows_of([CellRecord(json_digest("x"), cell, "ok", "none", "", (*lost, found))]))
    ranks = means[means["metric"] == "rank"].set_index("alignment")["value"].to_dict()
    assert ranks == {"depth_scale_invariant": 1.0}
    short = means[means["value"].isna()]
    assert set(short["alignment"]) == {"depth_affine_invariant"}
    assert set(short["metric"]) == {"rel", "delta"}


def test_the_overview_names_the_incomplete_beside_the_ranked(means: pd.DataFrame) -> None:
    (table,) = overview_section(NONE, means).tables
    _, best, second, beside = (entry.text for entry in table.lines[0].entries)
    assert (best, second) == (f"{title_of('rgb')} 22.00 dB", "IUVRGB 17.00 dB")
    assert beside == f"DAISY 30.00 dB, {NOTE}"


def test_the_overview_names_who_has_no_average(means: pd.DataFrame) -> None:
    other = means[means["dataset"] == "all"].copy()
    lost = (other["model"] == "daisy") & (other["metric"] == "psnr")
    other.loc[lost, ["value", "status", "note"]] = [float("nan"), "partial", "dtu: missing"]
    (table,) = overview_section(NONE, other).tables
    assert table.lines[0].entries[3].text == "DAISY –, 0 of 1 data sets complete (dtu: missing)"


def test_the_overview_shares_places_as_printed(means: pd.DataFrame) -> None:
    tied = means.copy()
    psnr = (tied["metric"] == "psnr") & (tied["mode"] == "G") & (tied["dataset"] == "all")
    for model, value in {"rgb": 30.001, "iuvrgb": 30.002}.items():
        tied.loc[psnr & (tied["model"] == model), "value"] = value
    (table,) = overview_section(NONE, tied).tables
    best, second = table.lines[0].entries[1:3]
    assert best.text == f"IUVRGB 30.00 dB; {title_of('rgb')} 30.00 dB"
    assert (best.emphasis, second.text, second.emphasis) == ("best", "–", "")


def test_the_report_says_it_and_repeats_no_heading(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "write_figure", lambda figure, folder: None)
    text = build_report([folder], tmp_path / "out", ("md",)).read_text(encoding="utf-8")
    assert f"DAISY 30.00 dB, {NOTE}" in text
    assert "### Results in brief" in text
    assert "**Results in brief**" not in text
