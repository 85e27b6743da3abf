"""What features cost: rows of the track "perf" become a table and, with the probe's rows, a figure."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROVENANCE, fill_store

from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.report import write
from bench.report.build import build_report
from bench.report.read import load_results
from bench.report.say.means import table_means
from bench.report.sections.cost import cost_section
from bench.report.tables.runs import cost_table
from bench.results.migration import marks_of_version_1
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.verify import verify
from bench.types import Measurement

COSTS = {  # of networks over patches and the like; a per-pixel feature is made within the cell and has no such row
    # model -> weights and, scene by scene, loading seconds, extraction seconds, MB
    "dinov2": ("random", ((1.0, 4.0, 900.0), (3.0, 8.0, 700.0))),
    "daisy": ("none", ((0.0, 1.0, 400.0), (0.0, 3.0, 400.0))),
}


def with_extraction(folder: Path, models: tuple[str, ...] = tuple(COSTS)) -> Path:
    """The small results folder with what making its features cost."""
    store = Store(fill_store(folder))
    for model in models:
        weights, scenes = COSTS[model]
        for scene, (loading, extraction, memory) in zip(("room", "table"), scenes, strict=True):
            cell = Cell("perf", "procedural", scene, model, "extraction", "-", "quick-v1", 0)
            measured = (
                Measurement("loading_seconds", loading, unit="s", higher_is_better=False),
                Measurement("extraction_seconds", extraction, unit="s", higher_is_better=False),
                Measurement("extraction_memory", memory, unit="MB", higher_is_better=False),
            )
            record = CellRecord(
                json_digest(str(cell)),
                cell,
                "ok",
                weights,  # type: ignore[arg-type]
                measurements=measured,
                seconds=loading + extraction,
                peak_memory_mb=memory,
                device="cpu",
                provenance=PROVENANCE,
            )
            store.save(record, {})
    store.compact()
    return folder


def costs(folder: Path) -> tuple[dict[str, list[str]], pd.DataFrame]:
    """The table's lines by label, and what the probe's figure is drawn from, by model."""
    held = load_results([folder])
    section = cost_section(held.rows, table_means(held.rows), held.extraction)
    tables = {table.name: table for table in section.tables}
    lines = tables["cost-extraction"].lines if "cost-extraction" in tables else ()
    (figure,) = [f for part in section.parts for f in part.figures if "psnr" in f.name]
    return {" ".join((line.label, *line.marks)): [e.text for e in line.entries] for line in lines}, figure.arguments[
        0
    ].set_index("model")


def test_the_table_holds_medians_over_scenes_with_the_card_and_the_weights(tmp_path: Path) -> None:
    lines, _ = costs(with_extraction(tmp_path / "demo"))
    assert lines == {
        "DINOv2 random weights": ["ViT-B/14", "768", "2", "2.00", "6.00", "800"],
        "DAISY": ["hand-crafted", "200", "2", "0.00", "2.00", "400"],
    }


def test_the_figure_adds_extraction_to_the_cells_seconds_where_it_is_known_of_all(tmp_path: Path) -> None:
    _, table = costs(with_extraction(tmp_path / "demo"))
    assert table["seconds"].to_dict() == pytest.approx({"dinov2@random weights": 5 + 6, "iuvrgb": 2, "daisy": 3 + 2})
    _, partly = costs(with_extraction(tmp_path / "other", ("daisy",)))
    assert partly["seconds"].to_dict() == pytest.approx({"dinov2@random weights": 5, "iuvrgb": 2, "daisy": 3})


def test_without_such_rows_there_is_no_table_and_other_rows_of_the_track_stay_out(results: Path, tmp_path: Path) -> None:
    lines, _ = costs(results)
    assert lines == {}
    folder = fill_store(tmp_path / "demo")
    cell = Cell("perf", "procedural", "room", "render", "forward", "-", "quick-v1", 0)
    measured = (Measurement("seconds", 1.0, unit="s"),)
    Store(folder).save(
        CellRecord(
            json_digest(str(cell)),
            cell,
            "ok",
            "none",
            measurements=measured,
            provenance=PROVENANCE,
            marks=marks_of_version_1(cell.model, cell.pointmap, cell.protocol),
        ),
        {},
    )
    assert costs(folder)[0] == {}
    assert len(load_results([folder]).rows) == len(load_results([results]).rows)


def test_the_report_shows_it_once_and_the_leaderboard_knows_no_such_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "write_figure", lambda figure, folder: None)
    folder = with_extraction(tmp_path / "demo")
    page = build_report([folder], tmp_path / "out", ("html",)).read_text(encoding="utf-8")
    assert page.count("Cost of the features</h3>") == 1
    assert "The seconds include extracting the features." in page
    assert '"perf"' not in (tmp_path / "out" / "leaderboard.html").read_text(encoding="utf-8").partition('id="data">')[2]


def test_verification_reads_such_cells_and_finds_a_changed_value(tmp_path: Path) -> None:
    folder = with_extraction(tmp_path / "demo")
    verdict = verify(folder)
    assert verdict.problems == ()
    assert verdict.cells == 28 + 4
    path = next(p for p in sorted((folder / "cells").glob("*.json")) if '"extraction_seconds"' in p.read_text())
    stored = json.loads(path.read_text())
    stored["measurements"][1]["value"] /= 2
    path.write_text(json.dumps(stored))
    problems = verify(folder).problems
    assert any(path.name in problem and "digest" in problem for problem in problems)
    assert any("rows.csv: value differs" in problem for problem in problems)


def test_hours_are_those_of_each_device_and_packed_cells_have_none() -> None:
    cells = pd.DataFrame(
        {
            "track": "probe",
            "protocol": ["quick-v2", "quick-v2", "quick-v2", "paper-v1", "paper-v1"],
            "model": "daisy",
            "weights": "none",
            "role": "control",
            "device": ["cpu", "cpu", "cuda", "cuda", "cuda"],
            "seconds": [1800.0, 5400.0, 3600.0, float("nan"), float("nan")],
            "peak_memory_mb": [100.0, 300.0, 200.0, 7.0, 9.0],
            "read_mb": [1024.0, 512.0, 0.0, 7.0, float("nan")],
        }
    )
    lines = {line.group: [entry.text for entry in line.entries] for line in cost_table(cells).lines}
    assert lines["Probe, quick-v2"] == ["3", "3600.0", "2", "1", "300", "1.5"]
    assert lines["Probe, paper-v1"] == ["2", "–", "", "", "9", ""]
