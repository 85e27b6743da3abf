"""The progress line: cells in hand by their claims, the time that the rest takes, one line a cell in a pipe."""

from __future__ import annotations

import io
import logging
import math
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.commands.run import _disk_expected, _print_needs, _Progress, time_expected
from bench.commands.running import cells_in_hand, duration, seconds_left
from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.results.claims import Claims
from bench.results.store import Store
from bench.run.planning.expected import Expected
from bench.run.planning.plan import Plan
from bench.run.planning.planfile import Estimate
from bench.run.request import Request
from bench.run.session import Ended, Resumed, logger
from bench.run.worker import Report

CELLS = [Cell("probe", "procedural", scene, "daisy", "G", "simulated", "quick-v1", 0) for scene in ("a", "b", "c", "d")]


@pytest.mark.parametrize(
    ("elapsed", "done", "running", "due", "left"),
    [(30.0, 0, 2, 4, None), (30.0, 3, 0, 4, 10.0), (30.0, 1, 2, 4, 30.0), (30.0, 4, 0, 4, 0.0), (9.0, 1, 1, 1, 0.0)],
)
def test_the_rest_takes_as_long_as_what_is_through(
    elapsed: float, done: int, running: int, due: int, left: float | None
) -> None:
    assert seconds_left(elapsed, done, running, due) == (left if left is None else pytest.approx(left))


def test_before_a_cell_has_ended_what_was_expected_counts() -> None:
    assert seconds_left(10.0, 0, 2, 4, 60.0) == pytest.approx(50.0)
    assert seconds_left(31.0, 0, 2, 4, 60.0) is None  # no cell in half of the time: it was wrong, nothing better is known
    assert seconds_left(30.0, 3, 0, 4, 1000.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("seconds", "said"), [(40.0, "40 s"), (300.0, "5 minutes"), (9000.0, "2.5 hours"), (4 * 86400.0, "4 days")]
)
def test_a_duration_is_told_in_one_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def planned(folder: Path) -> Path:
    Store(folder).plan({(cell, "none"): json_digest(cell.scene) for cell in CELLS})
    return folder


def test_cells_in_hand_are_those_that_somebody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = cells_in_hand(planned(tmp_path))
    assert asked() == []
    claims = Claims(tmp_path)
    for key in (json_digest("c"), json_digest("a"), json_digest("of another plan")):
        assert claims.take(key, 60)
    assert asked() == [], "an answer holds for a second: claims are not read at every drawing"
    now += 1
    assert asked() == [CELLS[0], CELLS[2]]
    claims.release(json_digest("a"))
    now += 1
    assert asked() == [CELLS[2]]


def test_a_terminal_shows_the_cells_in_hand_and_the_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    progress = _Progress(console, planned(tmp_path))
    progress._task = progress._bar.add_task("", total=None)  # not started: nothing draws by itself
    progress(Resumed(0, 4, Expected((50.0,) * 4, 1.0, 0, True, "a guess"), 2))
    console.print(progress._bar.get_renderable())
    assert "about 2 minutes left" in screen.getvalue()  # four of 50 s, two at a time
    now += 40
    progress(Ended(Report(CELLS[0], "ok", 40.0), 1, 4))
    for cell in CELLS[1:]:
        Claims(tmp_path).take(json_digest(cell.scene), 60)
    console.print(progress._bar.get_renderable())
    said = screen.getvalue()
    assert "procedural/b · daisy · G; procedural/c · daisy · G; 1 more" in said
    assert "1/4" in said
    assert "about 24 s left" in said  # 40 s for one cell and three halves: 16 s each


def test_a_pipe_gets_one_line_a_cell(tmp_path: Path) -> None:
    printed = io.StringIO()
    with _Progress(Console(file=printed, width=1000), planned(tmp_path)) as progress:
        progress(Resumed(1, 3, Expected((45.0,) * 2, 1.0, 0, True, "cells like them"), 2))
        progress(Ended(Report(CELLS[0], "ok", 4.0), 1, 2))
        progress(Ended(Report(CELLS[1], "failed", 2.0, error="ValueError: no"), 2, 2))
    assert printed.getvalue().splitlines() == [
        "1 of 3 cells are stored already",
        "time: about 45 s, 2 cells at a time, once features are made, by cells like them",
        "1/2 procedural/a · daisy · G (4.0 s)",
        "2/2 failed: procedural/b · daisy · G (2.0 s)",
    ]


def test_a_cluster_of_unknown_size_is_told_what_is_to_be_divided() -> None:
    found = Expected((100.0, 20.0), 1.0, 0, False, "a guess")
    assert time_expected(found, 0) == (
        "time: about 2 minutes of computing, divided by the cells that run at a time, by a guess"
    )


def needs(out: Path, estimates: list[Estimate], **asked: Any) -> str:
    """What a dry run says that CELLS need."""
    printed = io.StringIO()
    planned = list(zip(CELLS, estimates, strict=True))
    _print_needs(Plan(tuple(CELLS), ()), Request(out=out, **asked), Console(file=printed, width=1000), planned)
    return printed.getvalue()


def test_a_dry_run_names_memory_and_disk_of_each_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "a[/b]c"  # no markup
    estimates = [Estimate(5.0, 5000.0, "12 stored cells")] * 4
    monkeypatch.setattr(
        "bench.run.planning.expected.measured_costs", lambda device: {("probe", "quick-v1", "G"): (1.0, 2.0)}
    )
    said = needs(out, estimates, device="cpu", jobs=2)
    assert "for all of them, time: about 10 s, 2 cells at a time, once features are made, by cells that are stored" in said
    assert f"memory: about 8 GB a worker; disk: about 8 MB in {out}" in said  # one and a half times 5000 MB; four of 2 MB
    said = needs(out, estimates, device="cuda", engine="ray")
    assert "memory: about 4 GB a worker and 8 GB of its GPU; disk:" in said


def test_a_dry_run_on_a_cluster_does_not_count_this_machines_cores(tmp_path: Path) -> None:
    said = needs(tmp_path, [Estimate(5.0, math.nan, "12 stored cells")] * 4, device="cpu", engine="ray")
    assert "time: about 20 s of computing, divided by" in said


def test_the_disk_of_cells_like_none_measured_is_left_out_and_that_is_said(tmp_path: Path) -> None:

    def said(unsized: int) -> str:
        return _disk_expected(Expected((1.0,) * 4, 2.25, unsized, False, ""), 4, tmp_path)

    assert said(0) == f"about 2 MB in {tmp_path}"
    assert said(1) == f"at least 2.2 MB in {tmp_path} (1 of the cells are like none measured)"
    assert said(4) == "not known"


def test_a_plan_without_cells_needs_nothing(tmp_path: Path) -> None:
    printed = io.StringIO()
    _print_needs(Plan((), ()), Request(out=tmp_path, device="cpu"), Console(file=printed), None)
    assert printed.getvalue() == ""


def test_what_a_run_logs_is_printed_once_however_often_one_runs() -> None:
    assert [type(handler) for handler in logger.handlers].count(logging.NullHandler) == 1
