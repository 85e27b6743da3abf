"""A whole run, from the request to the stored rows: what `bench run` and `bench.evaluate` both call.

It prints nothing: what happens is told as events, and to the logger `bench`.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bench.core.cells import Cell, Weights
from bench.core.interfaces import Model, PointmapInitialiser
from bench.core.lookup import dataset_of
from bench.core.track import Settings
from bench.machine.locations import cache_root
from bench.machine.requirements import check
from bench.machine.weights import fetch
from bench.results.store import Store
from bench.run.engines import local, ray
from bench.run.engines.base import MapGroups
from bench.run.keys import fingerprint
from bench.run.plan import Plan, keep_available, keep_readable, make_plan, with_notes
from bench.run.request import Request
from bench.run.runner import Run
from bench.run.worker import Report

logger = logging.getLogger("bench")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Doing:
    """What takes a while now: "reading what the scenes hold"."""

    what: str


@dataclass(frozen=True)
class Planned:
    """What will be run and what is left out."""

    plan: Plan


@dataclass(frozen=True)
class Resumed:
    """How many of the planned cells are stored already."""

    stored: int
    planned: int


@dataclass(frozen=True)
class Extracted:
    """The features that a cell needs are there."""

    cell: Cell


@dataclass(frozen=True)
class Ended:
    """A cell has ended: how, and how many of those due have by now."""

    report: Report
    done: int
    due: int


Event = Doing | Planned | Resumed | Extracted | Ended
Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Ran:
    """What a run came to.

    Attributes:
        request: On this machine.
        rows: How many rows the results folder holds.
        failures: The cells that did not end well.
        interrupted: True where Ctrl-C ended it; what is finished is stored.
    """

    request: Request
    plan: Plan
    failures: tuple[Report, ...] = ()
    rows: int = 0
    interrupted: bool = False


def plan_of(
    request: Request,
    listen: Listener = lambda event: None,
    *,
    cells: Sequence[Cell] | None = None,
    fetching: bool = True,
) -> Plan:
    """The cells of a request that can run on this machine, and what is left out.

    Args:
        request: On this machine (`Request.on_this_machine`).
        cells: Of a plan that was made before; None: those that the request selects.
        fetching: Whether missing weights are fetched from their publishers.

    Raises:
        UserError: For a name, a scene or a file that is at fault.
        Unavailable: Where something lacks that was named.
    """
    if cells is None:
        plan = make_plan(request)
    else:
        plan = Plan(tuple(cells), ())
        request = replace(
            request,
            models=tuple(dict.fromkeys(cell.model for cell in cells)),
            datasets=tuple(dict.fromkeys(cell.dataset for cell in cells)),
        )
    listen(Doing("reading what the scenes hold"))
    plan = keep_readable(plan, request, lambda cell: fingerprint(cell.track, cell.dataset, cell.scene, request.data_root))
    plan = with_notes(plan, lambda cell: dataset_of(cell).scene_note(request.data_root, cell.scene))
    local = {name for name, _ in request.checkpoints}

    def weights_of(model: type[Model]) -> Weights:
        return "pretrained" if issubclass(model, PointmapInitialiser) else request.weights

    def check_machine(name: str, model: type[Model]) -> None:
        check(name, model, weights_of(model), request.device)

    def fetch_weights(name: str, model: type[Model]) -> None:
        if weights_of(model) == "pretrained" and name not in local:
            fetch(model, name)

    plan = keep_available(plan, request, check_machine)
    return keep_available(plan, request, fetch_weights) if fetching else plan


def run_request(request: Request, listen: Listener | None = None, cells: Sequence[Cell] | None = None) -> Ran:
    """Run every cell of a request that is not yet stored, and write the rows.

    Args:
        request: As the user gave it.
        listen: Called with every event, in this process.
        cells: Of a plan that was made before; None: those that the request selects.

    Raises:
        UserError: For what the user can mend, before anything is written.
    """
    told = _logged(listen)
    request = request.on_this_machine()
    plan = plan_of(request, told, cells=cells)
    told(Planned(plan))
    failures: list[Report] = []
    interrupted = False
    try:
        for report in _reports(request, plan, told):
            if report.status != "ok":
                failures.append(report)
    except KeyboardInterrupt:
        interrupted = True
    rows = Store(request.out).compact()
    return Ran(request, plan, tuple(failures), rows, interrupted)


def _reports(request: Request, plan: Plan, told: Listener) -> Iterator[Report]:
    """Run what is due and pass on how each cell ended."""
    jobs = request.jobs or (1 if request.on_gpu else os.cpu_count() or 1)
    run = Run(
        out=request.out,
        settings=Settings(request.data_root, cache_root(), request.device, request.weights, request.checkpoints),
        plugins=request.plugins,
        jobs=jobs,
        threads=max(1, (os.cpu_count() or 1) // jobs),
        cell_seconds=request.cell_timeout,
        memory_mb=request.memory_mb,
    )
    map_groups: MapGroups = local.map_groups
    if request.engine == "ray":
        map_groups = functools.partial(ray.map_groups, gpus=1 if request.on_gpu else 0)
    told(Doing("looking at what is stored"))
    due = run.due(plan.cells)
    told(Resumed(len(plan.cells) - len(due), len(plan.cells)))
    for cell in _closing(run.extract(due, map_groups)):
        told(Extracted(cell))
    for done, report in enumerate(_closing(run.execute(due, map_groups)), start=1):
        told(Ended(report, done, len(due)))
        yield report


def _closing(results: Iterator[Result]) -> Iterator[Result]:
    """Pass results on and close the source however the loop ends, so that no worker outlives it."""
    try:
        yield from results
    finally:
        results.close()  # type: ignore[attr-defined]


def _logged(listen: Listener | None) -> Listener:
    def told(event: Event) -> None:
        match event:
            case Doing(what):
                logger.debug(what)
            case Planned(plan):
                logger.info("%d cells planned, %d left out", len(plan.cells), len(plan.left_out))
            case Resumed(stored, planned):
                logger.info("%d of %d cells are stored already", stored, planned)
            case Extracted(cell):
                logger.debug("features of %s, %s/%s", cell.model, cell.dataset, cell.scene)
            case Ended(report, done, due):
                level = logging.INFO if report.status == "ok" else logging.WARNING
                logger.log(level, "%d of %d: %s %s %s", done, due, report.cell.label, report.status, report.error)
        if listen is not None:
            listen(event)

    return told
