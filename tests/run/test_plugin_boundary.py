"""Whatever a plug-in does, every other cell ends as if it were not there, and its own cell says what it did."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cells import Cell
from bench.core.registry import load_plugin
from bench.core.track import Settings
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.engines.local import map_groups
from bench.run.runner import Run
from bench.run.worker import Report

PLUGIN = Path(__file__).with_name("misbehaving.py")


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> None:
    load_plugin(str(PLUGIN))


def _kinds() -> dict[str, str | None]:
    return {kind: said for kind, (_, said) in sys.modules["bench_plugin_misbehaving"].KINDS.items()}


def _estimators(names: Sequence[str]) -> list[Cell]:
    return [Cell("geometry", "tiny", scene, name, "-", "-", "moge-v1", 0) for name in names for scene in ("one", "three")]


def _run(out: Path, cells: Sequence[Cell], jobs: int) -> tuple[dict[Cell, Report], dict[Cell, CellRecord]]:
    run = Run(out, Settings(None, out / "cache", "cpu", "none"), (str(PLUGIN),), jobs, cell_seconds=10.0, memory_mb=2000.0)
    due = run.due(cells)
    assert len(list(run.extract(due, map_groups))) >= 0
    reports = {report.cell: report for report in run.execute(due, map_groups)}
    records = {record.cell: record for record in Store(out).records()}
    return reports, records


def _numbers(record: CellRecord) -> object:
    return record.key, record.status, record.measurements


def test_misbehaving_models_change_no_other_cell(tmp_path: Path) -> None:
    good = ("a-good", "n-good", "z-good")
    _, alone = _run(tmp_path / "alone", _estimators(good), 1)
    kinds = _kinds()
    assert len(kinds) >= 20
    reports, records = _run(tmp_path / "among", _estimators([*good, *(f"m-{kind}" for kind in kinds)]), 2)
    assert len(reports) == len(records) == 2 * (len(kinds) + len(good)), "every cell has an end, and is stored"
    for cell in _estimators(good):
        assert reports[cell].status == "ok"
        assert repr(_numbers(records[cell])) == repr(_numbers(alone[cell])), cell
    for kind, said in kinds.items():
        for cell in _estimators([f"m-{kind}"]):
            if said is None:
                assert records[cell].status == "ok", (kind, records[cell].error)
                continue
            if said:
                assert records[cell].status == "failed", kind
            assert said in records[cell].error, (kind, records[cell].error[:300])
            assert len(records[cell].error) < 2500


def test_an_extraction_that_died_is_not_tried_again_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("BENCH_TESTED_LOG", str(log))
    model = Cell("probe", "tiny", "one", "patches", "G", "ground-truth", "tiny-v1", 0)
    names = ("patches", "patches-exit", "patches-turned", "patches+patches-exit")
    cells = [replace(model, model=name, mode=mode) for name in names for mode in ("G", "T")]
    reports, records = _run(tmp_path / "out", cells, 1)
    assert log.read_text() == "x"
    assert {cell.model for cell, report in reports.items() if report.status == "ok"} == {"patches"}
    assert records[cells[2]].error == "the worker process ended with exit code 0"
    assert "return values.permute(0, 2, 3, 1)" in records[cells[4]].error
    assert records[cells[6]].error.startswith("no features of patches-exit: the worker process ended")
