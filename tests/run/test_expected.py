"""What cells are expected to take before one has ended, against sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cells import Cell, Measurement
from bench.perf.costs import costs_of
from bench.results.record import CellRecord, Status
from bench.results.reference import reproduced
from bench.results.reference.shipped import shipped_table
from bench.results.store import Store
from bench.run.planning.expected import expected
from bench.run.planning.planfile import GUESSED, Estimate

TABLE = {
    ("probe", "quick-v2", "G"): (6.0, 0.5),
    ("probe", "quick-v2", "T"): (4.0, 0.3),
    ("probe", "quick-v2", ""): (5.0, 0.4),
}


def cell(mode: str, protocol: str = "quick-v2") -> Cell:
    return Cell("probe", "procedural", "room", "daisy", mode, "simulated", protocol, 0)


def test_what_is_stored_counts_before_the_suites_own_run_and_that_before_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.planning.expected.measured_costs", lambda device: TABLE)
    guess = Estimate(100.0, math.nan, GUESSED)
    here = Estimate(20.0, 300.0, "3 stored cells of the same track, protocol, mode")
    found = expected([(cell("G"), here), (cell("T"), guess), (cell("A"), guess)], "cpu")
    assert found.seconds == 20 + 4 + 5
    assert found.stored_mb == pytest.approx(0.5 + 0.3 + 0.4)
    assert "stored here" in found.basis
    assert "another machine" in found.basis
    unknown = expected([(cell("G", "paper-v1"), guess)], "cpu")
    assert unknown.seconds == 100
    assert math.isnan(unknown.stored_mb)
    assert unknown.basis == "a twentieth of the protocol's time limit"


def test_the_shipped_costs_are_of_the_protocols_that_a_laptop_runs() -> None:
    table = shipped_table("reproduced", "costs")
    assert set(table["protocol"]) == {"quick-v2", "moge-v1"}
    seconds, stored = reproduced.measured_costs("cpu")["probe", "quick-v2", "G"]
    assert 0.5 < seconds < 120
    assert 0.01 < stored < 5
    assert reproduced.measured_costs("cuda") == {}


def record(number: int, status: Status, seconds: float) -> CellRecord:
    """Of a scene of its own, under a key of its own."""
    own = replace(cell("G"), scene=f"scene {number}")
    measured = (Measurement("psnr", 20.0),) if status == "ok" else ()
    return CellRecord(f"{number:064x}", own, status, "none", "" if status == "ok" else "lost", measured, seconds=seconds)


def test_costs_are_medians_of_finished_cells(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ended: list[tuple[Status, float]] = [("ok", 1.0), ("ok", 2.0), ("ok", 9.0), ("failed", 500.0)]
    for number, (status, seconds) in enumerate(ended):
        store.save(record(number, status, seconds), {})
    (row,) = costs_of(tmp_path).to_dict("records")
    assert (row["mode"], row["seconds"], row["cells"]) == ("G", 2.0, 3)
    sizes = [store.path(f"{number:064x}").stat().st_size for number in range(3)]
    assert row["stored_mb"] == pytest.approx(sum(sizes) / 3 / 1e6)
