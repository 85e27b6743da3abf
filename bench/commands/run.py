"""`bench run`: what a run tells, printed; its exit code."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from bench.commands.running import Left, Now, cells_in_hand, duration
from bench.core.cells import NO_MODEL, Cell
from bench.core.protocols import DEFAULT_PROBE, PROBE_PROTOCOLS
from bench.core.text import counted, listed
from bench.machine.files import check_writable
from bench.results.store import stored_rows
from bench.run.planning.expected import Expected, expected
from bench.run.planning.needs import need_of
from bench.run.planning.plan import LeftOut, Plan
from bench.run.planning.planfile import Estimate, estimated
from bench.run.request import Request
from bench.run.session import (
    Doing,
    Ended,
    Event,
    Extracted,
    Fetching,
    Lacking,
    Planned,
    Resumed,
    logger,
    plan_of,
    run_of,
    run_request,
    to_be_fetched,
)
from bench.run.worker import Report

INTERRUPTED = 130

logger.addHandler(logging.NullHandler())  # what it would say is printed


def run_command(
    request: Request,
    report: Path | None,
    dry_run: bool,
    console: Console,
    errors: Console,
    planned: Sequence[tuple[Cell, Estimate]] | None = None,
) -> int:
    """Run the request and write the report; returns the exit code. Raises UserError for a user's mistake.

    planned: The cells of a plan file, with what they are expected to cost; None: the cells that the request selects.
    """
    cells = None if planned is None else [cell for cell, _ in planned]
    if report is not None:
        check_writable(report)
    if dry_run:
        request = request.placed()
        plan = plan_of(request, cells=cells, fetching=False, elsewhere=request.elsewhere)
        print_plan(plan, console)
        _print_needs(plan, request, console, planned)
        return 0
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop by a scheduler, say: as by Ctrl-C
    try:
        with _Progress(console, request.out) as listen:
            ran = run_request(request, listen, cells, None if planned is None else dict(planned))
    finally:
        signal.signal(signal.SIGTERM, before)
    if ran.interrupted:
        done = f"{listen.done} of {listen.due} cells are done" if listen.due else "no cell was due"
        again = shlex.join(["bench", *sys.argv[1:]])
        errors.print(
            escape(f"interrupted; {done} and kept. The same command goes on from here: {again}"),
            highlight=False,
            soft_wrap=True,
        )
        return INTERRUPTED
    console.print(f"rows: {request.out / 'rows.csv'} ({ran.rows})", highlight=False, markup=False, soft_wrap=True)
    print_failures(ran.failures, errors)
    if report is not None:
        from bench.report.build import build_report

        index = build_report([request.out], report)
        console.print(f"report: {index}", highlight=False, markup=False, soft_wrap=True)
    return 1 if ran.failures else 0


class _Progress:
    """A listener that draws: a spinner while something takes time; a bar while cells run, with those in hand and the time
    that the rest will take; one line a cell where the output is no terminal."""

    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self.folder = folder
        self.done = self.due = 0
        self._now = Now()
        self._left = Left(self._now)
        self._bar = Progress(
            SpinnerColumn(),
            self._now,
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            self._left,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> _Progress:
        self._bar.start()
        self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Doing(what):
                self._describe(what)
            case Planned(plan):
                print_plan(plan, self.console)
            case Resumed(stored, planned, found, workers):
                self.due = planned - stored
                self._now.asked = cells_in_hand(self.folder)
                self._left.begin()
                self._bar.update(self._task, description="preparing what the cells need", total=self.due)
                if stored:
                    self.console.print(f"{stored} of {planned} cells are stored already", highlight=False)
                if found is not None:
                    self._left.expected = found.wall_seconds(workers) if workers else None
                    self.console.print(time_expected(found, workers), highlight=False, soft_wrap=True)
            case Fetching(name, source):
                said = f"fetching the weights that {name} needs, once: {source.partition(':')[2]}"
                self.console.print(escape(said), highlight=False, soft_wrap=True)
            case Lacking(name, reason):
                print_left_out((LeftOut(name, reason),), self.console)
            case Extracted(cell):
                self._describe(f"features of {cell.model}, {cell.dataset}/{cell.scene}")
                self._left.begin()
            case Ended(report, done, due):
                self.done, self.due = done, due
                line = f"{report.cell.label} ({report.seconds:.1f} s)"
                self._bar.update(self._task, description=line, completed=done, total=due)
                if not self.console.is_terminal:
                    said = "" if report.status == "ok" else f"{report.status}: "
                    self.console.print(f"{done}/{due} {said}{escape(line)}", highlight=False, soft_wrap=True)

    def _describe(self, what: str) -> None:
        self._bar.update(self._task, description=what)


def print_plan(plan: Plan, console: Console) -> None:
    """One line for each data set, track, point map and protocol; then what is left out, and why."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault((cell.track, cell.dataset, cell.pointmap, cell.protocol), []).append(cell)
    console.print(f"[bold]{counted(len(plan.cells), 'cell')}[/]", highlight=False)
    for (track, dataset, pointmap, protocol), cells in groups.items():
        scenes, models = len({cell.scene for cell in cells}), len({cell.model for cell in cells} - {NO_MODEL})
        parts = [f"{track} on {dataset}", protocol, counted(scenes, "scene"), counted(models, "model")]
        if track == "probe":
            parts += [f"point map {pointmap}", "modes " + " ".join(dict.fromkeys(cell.mode for cell in cells))]
        console.print(f"{len(cells):>5}  {escape(', '.join(parts))}", highlight=False, soft_wrap=True)
    print_left_out(plan.left_out, console)


def time_expected(found: Expected, workers: int) -> str:
    """How long cells are expected to take, so many at a time (0: as many as a cluster has room for), and what says so."""
    if workers:
        said = f"time: about {duration(found.wall_seconds(workers))}, {counted(workers, 'cell')} at a time"
    else:
        said = f"time: about {duration(found.seconds)} of computing, divided by the cells that run at a time"
    return f"{said}{', once features are made' if found.prepared else ''}, by {found.basis}"


def _disk_expected(found: Expected, cells: int, out: Path) -> str:
    """What so many cells are expected to take in a results folder."""
    if found.unsized == cells:
        return "not known"
    if found.unsized:
        return f"at least {found.stored_mb:.1f} MB in {out} ({found.unsized} of the cells are like none measured)"
    return f"about {max(1, round(found.stored_mb))} MB in {out}"


def _print_needs(plan: Plan, request: Request, console: Console, planned: Sequence[tuple[Cell, Estimate]] | None) -> None:
    """What the cells will take: downloads, time, memory, disk, a GPU."""
    if not plan.cells:
        return
    said = []
    if missing := to_be_fetched(plan, request):
        names = escape(listed(missing))
        said.append(f"to be fetched first: {names}; `bench weights check --online` asks how large models' are")
    known = dict(planned or estimated(plan.cells, request.device, stored_rows(request.out)))
    costs = [(cell, known[cell]) for cell in plan.cells]
    found = expected(costs, request.device)
    jobs = run_of(request).jobs if request.engine == "local" else request.jobs
    said.append(f"for all of them, {time_expected(found, found.workers(jobs))}")
    needs = [need_of(cell, estimate, request.device) for cell, estimate in costs]
    gpu = max(need.gpu_memory_gb for need in needs)
    memory = f"memory: about {max(need.memory_gb for need in needs)} GB a worker"
    memory += f" and {gpu} GB of its GPU" if gpu else ""
    said.append(f"{memory}; disk: {escape(_disk_expected(found, len(costs), request.out))}")
    probes = {cell.protocol for cell in plan.cells if cell.track == "probe"}
    slow = [name for name in probes if not PROBE_PROTOCOLS[name].quick and not request.on_gpu]
    for name in sorted(slow):
        protocol = PROBE_PROTOCOLS[name]
        said.append(
            f"[yellow]{escape(name)} is made for a GPU[/]: {protocol.iterations} iterations on grids of "
            f"{protocol.grid_long_side} pixels, many minutes or hours a cell on a CPU, days for a table; "
            f"{DEFAULT_PROBE['cpu']} is made for a CPU"
        )
    for line in said:
        console.print(line, highlight=False, soft_wrap=True)


def print_left_out(things: Sequence[LeftOut], console: Console) -> None:
    """One line for each thing that cannot run here, and why."""
    for left_out in things:
        console.print(
            f"[yellow]left out[/] {escape(left_out.what)}: {escape(left_out.reason)}", highlight=False, soft_wrap=True
        )


def print_failures(failures: Sequence[Report], errors: Console) -> None:
    """One line a reason: the first of the cells that it ended, and how many more."""
    by_reason: dict[tuple[str, str], list[Cell]] = {}
    for failure in failures:
        by_reason.setdefault((failure.status, failure.error), []).append(failure.cell)
    for (status, reason), cells in by_reason.items():
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        errors.print(f"[red]{status}[/] {escape(cells[0].label)}{others}: {escape(reason)}", highlight=False, soft_wrap=True)
