"""Whatever a plug-in does, every other cell ends as if it were not there, and its own cell says what it did.

`make faults` tries them under one job as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cells import PERF, Cell
from bench.core.registry import load_plugin
from bench.core.track import Settings
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.engines.local import map_groups
from bench.run.runner import Run
from bench.run.worker import Report

PLUGIN = Path(__file__).with_name("misbehaving.py")
SLOW = pytest.mark.skipif("BENCH_FAULTS" not in os.environ, reason="takes a minute: `make faults` runs it")


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> None:
    load_plugin(str(PLUGIN))


def _named(table: str) -> dict[str, str | None]:
    return {name: said for name, (_, said) in getattr(sys.modules["bench_plugin_misbehaving"], table).items()}


def _estimators(names: Sequence[str]) -> list[Cell]:
    return [Cell("geometry", "tiny", scene, name, "-", "-", "moge-v1", 0) for name in names for scene in ("one", "three")]


def _probes(names: Sequence[str], modes: str, seeds: int = 1) -> list[Cell]:
    return [
        Cell("probe", "tiny", scene, name, mode, "ground-truth", "tiny-v1", seed)
        for name in names
        for scene in ("one", "three")
        for mode in modes
        for seed in range(seeds)
    ]


def _run(
    out: Path, cells: Sequence[Cell], jobs: int, seconds: float = 20.0
) -> tuple[dict[Cell, Report], dict[Cell, CellRecord]]:
    settings = Settings(None, out / "cache", "cpu", "none")
    run = Run(out, settings, (str(PLUGIN),), jobs, cell_seconds=seconds, memory_mb=2000.0)
    due = run.due(cells)
    list(run.extract(due, map_groups))
    reports = {report.cell: report for report in run.execute(due, map_groups)}
    records = {record.cell: record for record in Store(out).records()}
    return reports, records


def _numbers(record: CellRecord) -> object:
    return record.key, record.status, record.measurements


def _good() -> list[Cell]:
    """Of honest models, whose names come before, between and after those of the others; two modes and seeds of a probe."""
    return [*_estimators(("a-good", "n-good", "z-good")), *_probes(("patches",), "GT", 2)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, CellRecord]:
    """The cells of honest models, run without any other."""
    return _run(tmp_path_factory.mktemp("alone"), _good(), 1, seconds=300.0)[1]


def _of_all() -> tuple[list[str], list[str]]:
    return list(_named("KINDS")), list(_named("CHANGES"))


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=SLOW), 2])
def test_misbehaving_models_change_no_other_cell(jobs: int, alone: dict[Cell, CellRecord], tmp_path: Path) -> None:
    kinds, changes = _of_all()
    estimators, probes = _named("KINDS"), _named("CHANGES")
    bad = {
        **{cell: estimators[cell.model.removeprefix("m-")] for cell in _estimators([f"m-{kind}" for kind in kinds])},
        **{
            cell: probes[cell.model.removeprefix("patches-")]
            for cell in _probes([f"patches-{name}" for name in changes], "G")
        },
    }
    good = _good()
    reports, records = _run(tmp_path, [*good, *bad], jobs)
    stored = {cell: record for cell, record in records.items() if cell.track != PERF}
    assert len(reports) == len(stored) == len(bad) + len(good), "every cell has an end, and is stored"
    for cell in good:
        assert reports[cell].status == "ok", (cell, reports[cell].error)
        assert repr(_numbers(records[cell])) == repr(_numbers(alone[cell])), cell
    for cell, said in bad.items():
        error = records[cell].error
        if said is None:
            assert records[cell].status == "ok", (cell, error)
        elif said:
            assert records[cell].status == "failed", cell
        assert (said or "") in error, (cell, error[:300])
        assert len(error) < 2500


def test_enough_kinds_are_tried() -> None:
    kinds, changes = _of_all()
    assert len(kinds) >= 20
    assert 2 * (len(kinds) + len(changes)) + len(_good()) >= 60


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
