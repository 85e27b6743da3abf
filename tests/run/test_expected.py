"""What cells are expected to take before one has ended, against sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.cells import Cell, Measurement
from bench.core.track import Settings
from bench.perf.costs import costs_of, main
from bench.results.pictures import picture_path
from bench.results.record import CellRecord, Status
from bench.results.reference import reproduced
from bench.results.reference.shipped import shipped_table
from bench.results.store import Store
from bench.results.store import stored_rows as real_stored_rows
from bench.run import session
from bench.run.planning.expected import Expected, expected
from bench.run.planning.plan import Plan
from bench.run.planning.planfile import GUESSED, Estimate
from bench.run.runner import Run
from bench.run.session import Resumed

TABLE = {
    ("probe", "quick-v2", "G"): (6.0, 0.5),
    ("probe", "quick-v2", "T"): (4.0, 0.3),
    ("probe", "quick-v2", "instantsplat"): (1.0, 0.1),
}
GUESS = Estimate(100.0, math.nan, GUESSED)


def cell(mode: str, protocol: str = "quick-v2") -> Cell:
    return Cell("probe", "procedural", "room", "daisy", mode, "simulated", protocol, 0)


@pytest.fixture
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the shipped table: what was measured is of a CPU."""
    monkeypatch.setattr("bench.run.planning.expected.measured_costs", lambda device: TABLE if device == "cpu" else {})


@pytest.mark.usefixtures("_measured")
def test_what_is_stored_counts_before_the_suites_own_run_and_that_before_a_guess() -> None:
    here = Estimate(20.0, 300.0, "3 stored cells of the same track, protocol, mode")
    found = expected([(cell("G"), here), (cell("T"), GUESS), (cell("A"), GUESS)], "cpu")
    assert found.seconds == 20 + 4 + 5, "A is as G and T are on average; the baseline is like none of them"
    assert found.stored_mb == pytest.approx(0.5 + 0.3 + 0.4)
    assert found.unsized == 0
    assert "stored here" in found.basis
    assert "another machine" in found.basis
    unknown = expected([(cell("G", "paper-v1"), GUESS)], "cpu")
    assert unknown.seconds == 100
    assert unknown.unsized == 1
    assert unknown.basis == "a twentieth of the protocol's time limit"


@pytest.mark.usefixtures("_measured")
def test_a_cell_on_a_gpu_stores_as_much_and_one_of_unknown_size_hides_no_other() -> None:
    found = expected([(cell("G"), GUESS), (cell("T"), GUESS), (cell("G", "paper-v1"), GUESS)], "cuda")
    assert (found.stored_mb, found.unsized) == (pytest.approx(0.5 + 0.3), 1)
    assert found.seconds == 300, "what it takes on a CPU says nothing of a GPU"


def test_what_one_process_runs_takes_as_long_with_many() -> None:
    """All modes of a model on a scene are one group, all photos of an estimator too."""
    here = Estimate(5.0, 300.0, "3 stored cells")
    modes = [(cell(mode), here) for mode in ("G", "T", "A")]
    photo = Cell("geometry", "nyuv2", "0001", "moge", "-", "-", "moge-v1", 0)
    photos = [(replace(photo, scene=f"{number:04}"), replace(here, seconds=1.0)) for number in range(4)]
    found = expected(modes, "cpu")
    assert (found.workers(8), found.wall_seconds(found.workers(8))) == (1, 15.0)
    assert (found.workers(0), found.prepared) == (0, True)
    assert expected(photos, "cpu").wall_seconds(1) == 4.0
    assert not expected(photos, "cpu").prepared, "features are of the probe"
    both = expected([*modes, *photos], "cpu")
    assert (both.workers(8), both.wall_seconds(2), both.seconds) == (2, 15.0, 19.0)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12), st.integers(1, 5))
def test_the_last_process_ends_neither_before_nor_long_after_an_even_share(groups: list[int], workers: int) -> None:
    found = Expected(tuple(map(float, groups)), 0.0, 0, False, "")
    share, longest = sum(groups) / workers, max(groups)
    assert max(share, longest) <= found.wall_seconds(workers) + 1e-9
    assert found.wall_seconds(workers) <= share + longest + 1e-9  # Graham, 1966: list scheduling


def test_the_time_is_told_from_a_table_of_what_the_folder_holds_and_no_cell_is_opened_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_every_cell(folder: Path) -> NoReturn:
        raise AssertionError("every stored cell is opened")

    monkeypatch.setattr(session, "stored_rows", read_every_cell)
    monkeypatch.setattr(session, "_weights_of_metrics", lambda cells: {})
    store = Store(tmp_path)
    store.save(record(0, "ok", 7.0), {})
    store.compact()
    run = Run(tmp_path, Settings(None, tmp_path / "cache", "cpu", "random"), jobs=4)

    def told() -> Resumed:
        events: list[session.Event] = []
        session._due(run, Plan((cell("G"), cell("T")), ()), events.append, None)
        (resumed,) = (event for event in events if isinstance(event, Resumed))
        return resumed

    first = told()
    assert first.expected is not None
    assert (first.workers, first.expected.seconds) == (1, 14.0)
    assert "stored here" in first.expected.basis
    second = told()  # the first one took its plan down and was killed: the table is of before that
    assert second.expected is not None
    assert "stored here" not in second.expected.basis
    monkeypatch.setattr(session, "stored_rows", real_stored_rows)
    cluster = replace(run, elsewhere=True, settings=replace(run.settings, device="cuda"))
    rows = session._rows_of(cluster, "another state")
    assert rows is not None
    assert list(rows["seconds"]) == [7.0], "how many cells share a GPU depends on it"


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


def test_costs_of_a_folder_whose_pictures_stayed_at_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    made = record(0, "ok", 1.0)
    store.save(made, {"kept": np.zeros((8, 8, 3), np.uint8), "lost": np.zeros((8, 8, 3), np.uint8)})
    picture_path(tmp_path, made.key, "lost").unlink()
    (row,) = costs_of(tmp_path).to_dict("records")
    sizes = [path.stat().st_size for path in (store.path(made.key), picture_path(tmp_path, made.key, "kept"))]
    assert row["stored_mb"] == pytest.approx(sum(sizes) / 1e6)
    main([str(tmp_path), str(tmp_path / "costs.csv")])
    assert (tmp_path / "costs.csv").read_text().splitlines()[0] == "track,protocol,mode,device,seconds,stored_mb,cells"
    for mistake, said in (([], "usage: python -m bench.perf.costs"), ([str(tmp_path / "no"), "x"], "holds no results")):
        with pytest.raises(SystemExit, match="2"):
            main(mistake)
        assert said in capsys.readouterr().err
