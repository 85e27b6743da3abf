"""What a progress line says while cells run: which ones are in hand, and how long the rest will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from rich.progress import ProgressColumn, Task
from rich.text import Text

from bench.core.cells import Cell
from bench.core.text import counted
from bench.results.claims import Claims
from bench.results.planned import planned_keys

_NAMED = 2  #: cells that the line names
_FRESH_SECONDS = 1.0  #: for which an answer holds: a terminal is drawn anew ten times a second


def cells_in_hand(folder: Path) -> Callable[[], list[Cell]]:
    """Asks a results folder which planned cells are being computed now, by whatever engine and machine: the claims say.

    Args:
        folder: Its plan is read here, once.
    """
    cells = {key: cell for (cell, _), key in planned_keys(folder).items()}
    claims = Claims(folder)
    known: list[Cell] = []
    at = -math.inf

    def asked() -> list[Cell]:
        nonlocal known, at
        now = time.monotonic()
        if now - at >= _FRESH_SECONDS:
            at, known = now, sorted(cells[key] for key in claims.held() if key in cells)
        return known

    return asked


def seconds_left(elapsed: float, done: int, running: int, due: int, expected: float | None = None) -> float | None:
    """How long the cells that are not done will take, if they go on as before; those in hand are taken to be half done.

    Args:
        elapsed: Seconds since the first of them began.
        done, running, due: How many have ended, are in hand, and are to be run.
        expected: Seconds that all were expected to take, which counts while none has ended and half of it is not over.

    Returns:
        None where nothing is known: what half of the time has brought to no end takes longer than was expected.
    """
    if not done:
        return expected - elapsed if expected is not None and elapsed < expected / 2 else None
    through = done + running / 2
    return elapsed * max(due - through, 0) / through


class Now(ProgressColumn):
    """The cells in hand; before there are any, what the run does (the task's description)."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Callable[[], list[Cell]] = list

    def render(self, task: Task) -> Text:
        labels = [cell.label for cell in self.asked()]
        more = [f"{len(labels) - _NAMED} more"] if len(labels) > _NAMED else []
        return Text("; ".join([*labels[:_NAMED], *more]) or task.description, overflow="ellipsis", no_wrap=True)


class Left(ProgressColumn):
    """About how long the rest takes (`seconds_left`); nothing while that is not known.

    Attributes:
        expected: Seconds that all cells are expected to take; None where that is not known.
    """

    def __init__(self, now: Now) -> None:
        super().__init__()
        self._now, self._since = now, time.monotonic()
        self.expected: float | None = None

    def begin(self) -> None:
        """Cells begin now."""
        self._since = time.monotonic()

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        elapsed = time.monotonic() - self._since
        seconds = seconds_left(elapsed, int(task.completed), len(self._now.asked()), int(task.total), self.expected)
        return Text("" if seconds is None else f"about {duration(seconds)} left")


def duration(seconds: float) -> str:
    """ "40 s", "5 minutes", "2.5 hours", "3 days"."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.0f} days"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return counted(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} hours"
