"""The study's bookkeeping: a cell is run once, its row says what was measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.protocols import PROBE_PROTOCOLS
from bench.perf.selectivity import COLUMNS, PARTS, STUDIED, Probed, Study, grid
from bench.probe.probe import run_probe

TINY = replace(PROBE_PROTOCOLS["quick-v2"], grid_long_side=24, iterations=4, warm_start=2, test_pose_steps=1)


def test_a_cell_is_measured_once_and_the_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def watched(*arguments: object) -> object:
        runs.append(arguments)
        return run_probe(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("bench.perf.selectivity.run_probe", watched)
    cells = grid(["tiny"], ["room"], [("rgb", "pretrained"), ("iuvrgb", "pretrained")], ["G"], [0])
    for _ in range(2):
        study = Study({"tiny": TINY}, tmp_path / "cells.csv", tmp_path / "features")
        assert sorted(study.run(cells)) == sorted(cells)
    assert len(runs) == 2
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {row["model"] for row in rows} == {"rgb", "iuvrgb"}
    found = run_probe(*runs[0])  # type: ignore[arg-type]
    psnr = [row.value for row in found.measurements if row.metric == "psnr"]
    assert float(rows[0]["psnr"]) == pytest.approx(sum(psnr) / len(psnr), rel=1e-4)


def test_every_part_names_protocols_that_are_studied() -> None:
    cells: list[Probed] = [cell for part in PARTS.values() for cell in part]
    assert {cell.protocol for cell in cells} <= set(STUDIED)
    assert {cell.protocol for cell in PARTS["scale"]} == {name for name in STUDIED if "*" in name}
