"""The progress line: cells in hand by their claims, the time that the rest takes, one line a cell in a pipe."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from bench.commands.run import _Progress
from bench.commands.running import cells_in_hand, duration, seconds_left
from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.results.claims import Claims
from bench.results.store import Store
from bench.run.planning.expected import Expected
from bench.run.session import Ended, Resumed
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
    assert seconds_left(90.0, 0, 2, 4, 60.0) is None  # it was wrong, and nothing better is known
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
    progress(Resumed(0, 4, Expected(200.0, 1.0, "a guess"), 2))
    console.print(progress._bar.get_renderable())
    assert "about 2 minutes left" in screen.getvalue()  # 200 s, two at a time
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
        progress(Resumed(1, 3, Expected(90.0, 1.0, "cells like them"), 2))
        progress(Ended(Report(CELLS[0], "ok", 4.0), 1, 2))
        progress(Ended(Report(CELLS[1], "failed", 2.0, error="ValueError: no"), 2, 2))
    assert printed.getvalue().splitlines() == [
        "1 of 3 cells are stored already",
        "time: about 45 s, 2 cells at a time, by cells like them",
        "1/2 procedural/a · daisy · G (4.0 s)",
        "2/2 failed: procedural/b · daisy · G (2.0 s)",
    ]
