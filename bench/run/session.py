"""A whole run, from the request to the stored rows: what `bench run` and `bench.evaluate` both call.

It prints nothing: what happens is told as events, and to the logger `bench`.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from bench.core.cells import Cell, Weights
from bench.core.errors import Unavailable, UserError
from bench.core.interfaces import Model, PointmapInitialiser
from bench.core.lookup import dataset_of
from bench.core.registry import find_datasets
from bench.core.track import Settings
from bench.machine.locations import cache_root
from bench.machine.requirements import check
from bench.machine.weights import cached, fetch, locate
from bench.machine.weights import check as weight_state
from bench.results.claims import Claims
from bench.results.store import Store, stored_rows
from bench.results.tables import table_of
from bench.run.engines import local, ray
from bench.run.engines.base import MapGroups
from bench.run.keys import fingerprint
from bench.run.machines.cluster import cells_per_gpu, check_machines
from bench.run.planning.expected import Expected, expected
from bench.run.planning.plan import Plan, keep_available, keep_readable, make_plan, models_and_initialiser, with_notes
from bench.run.planning.planfile import ESTIMATED_FROM, Estimate, estimated
from bench.run.request import Request
from bench.run.runner import Run
from bench.run.tracks import track_of
from bench.run.worker import Report

if TYPE_CHECKING:
    import pandas as pd

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
    """How many of the planned cells are stored already.

    Attributes:
        expected: What the others are expected to take; None where there are none.
        workers: How many cells are run at a time, of as many groups; 0 where a cluster decides.
    """

    stored: int
    planned: int
    expected: Expected | None = None
    workers: int = 1


@dataclass(frozen=True)
class Fetching:
    """Weights that measuring needs are fetched: a metric's, say."""

    name: str
    source: str


@dataclass(frozen=True)
class Lacking:
    """What measuring needs cannot be had, and why; the cells run without it and say so in their rows."""

    name: str
    reason: str


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


Event = Doing | Planned | Resumed | Fetching | Lacking | Extracted | Ended
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
    elsewhere: bool = False,
) -> Plan:
    """The cells of a request that can run, and what is left out.

    Args:
        request: On this machine (`Request.on_this_machine`), or for others (`Request.for_other_machines`).
        cells: Of a plan that was made before; None: those that the request selects.
        fetching: Whether missing weights are fetched from their publishers.
        elsewhere: Whether other machines run it, whose memory is not known here.

    Raises:
        UserError: For a name, a scene or a file that is at fault.
        Unavailable: Where something lacks that was named.
    """
    if cells is None:
        plan = make_plan(request)
    else:
        find_datasets(request.data_root)
        plan = Plan(tuple(cells), ())
        request = replace(
            request,
            models=tuple(dict.fromkeys(cell.model for cell in cells)),
            datasets=tuple(dict.fromkeys(cell.dataset for cell in cells)),
        )
    listen(Doing("reading what the scenes hold"))
    plan = keep_readable(plan, request, lambda cell: fingerprint(cell.track, cell.dataset, cell.scene, request.data_root))
    plan = with_notes(plan, lambda cell: dataset_of(cell).scene_note(request.data_root, cell.scene))

    def check_machine(name: str, model: type[Model]) -> None:
        check(name, model, _weights_of(model, request), None if elsewhere else request.device)

    def fetch_weights(name: str, model: type[Model]) -> None:
        if _from_publisher(name, model, request):
            fetch(model, name)

    plan = keep_available(plan, request, check_machine)
    return keep_available(plan, request, fetch_weights) if fetching else plan


def to_be_fetched(plan: Plan, request: Request) -> list[str]:
    """The models, initialisers and metrics of a plan whose weights are not on this machine yet; asks no network."""
    classes = dict(each for cell in plan.cells for each in models_and_initialiser(cell))
    states = [weight_state(model, name) for name, model in classes.items() if _from_publisher(name, model, request)]
    return [state.name for state in states if state.needed and not state.cached] + list(_weights_of_metrics(plan.cells))


def _weights_of(model: type[Model], request: Request) -> Weights:
    return "pretrained" if issubclass(model, PointmapInitialiser) else request.weights


def _from_publisher(name: str, model: type[Model], request: Request) -> bool:
    return _weights_of(model, request) == "pretrained" and name not in {name for name, _ in request.checkpoints}


def run_request(
    request: Request,
    listen: Listener | None = None,
    cells: Sequence[Cell] | None = None,
    estimates: Mapping[Cell, Estimate] | None = None,
) -> Ran:
    """Run every cell of a request that is not yet stored, and write the rows.

    Args:
        request: As the user gave it.
        listen: Called with every event, in this process.
        cells: Of a plan that was made before; None: those that the request selects.
        estimates: What that plan expects of them, which says how many share a GPU of a cluster; None: what like cells of the
            results folder took, where its table is of what it holds or a cluster's GPUs are shared by it.

    Raises:
        UserError: For what the user can mend, before anything is written.
    """
    told = _logged(listen)
    if request.engine == "slurm":
        raise UserError('engine "slurm": SLURM only takes jobs, it gives no results back; hand them in by `bench run`')
    elsewhere, on_cluster = request.elsewhere, request.engine == "ray"
    request = request.placed()
    plan = plan_of(request, told, cells=cells, elsewhere=elsewhere)
    told(Planned(plan))
    failures: list[Report] = []
    interrupted = False
    try:
        reports = (_reports_of_cluster if on_cluster else _reports)(request, plan, told, estimates)
        for report in _closing(reports):
            if report.status != "ok":
                failures.append(report)
    except KeyboardInterrupt:
        interrupted = True
        Claims(request.out).remove_lapsed()  # of the workers that were ended: another machine cannot tell that they are
    rows = Store(request.out).compact()
    return Ran(request, plan, tuple(failures), rows, interrupted)


def run_of(request: Request) -> Run:
    """What a request's cells are run with."""
    jobs = request.jobs or (1 if request.on_gpu else os.cpu_count() or 1)
    return Run(
        out=request.out,
        settings=Settings(request.data_root, cache_root(), request.device, request.weights, request.checkpoints),
        plugins=request.plugins,
        jobs=jobs,
        threads=max(1, (os.cpu_count() or 1) // jobs),
        cell_seconds=request.cell_timeout,
        memory_mb=request.memory_mb,
    )


def _reports(request: Request, plan: Plan, told: Listener, estimates: Mapping[Cell, Estimate] | None) -> Iterator[Report]:
    """Run what is due on this machine and pass on how each cell ended."""
    run = run_of(request)
    due, _ = _due(run, plan, told, estimates)
    return _run(run, due, local.map_groups, told)


def _reports_of_cluster(
    request: Request, plan: Plan, told: Listener, estimates: Mapping[Cell, Estimate] | None
) -> Iterator[Report]:
    """Run what is due on a Ray cluster and pass on how each cell ended."""
    with ray.connected():
        run = replace(run_of(request), jobs=request.jobs, threads=1, elsewhere=True)
        told(Doing("asking the machines of the cluster"))
        machines = check_machines(request.out, run.settings)
        due, costs = _due(run, plan, told, estimates)
        packed = 1
        if request.on_gpu:
            packed = cells_per_gpu([cost for _, cost in costs], list(machines.values()))
            run = replace(run, settings=replace(run.settings, cells_per_gpu=packed))
        map_groups = functools.partial(ray.map_groups, gpus=1 / packed if request.on_gpu else 0)
        yield from _run(run, due, map_groups, told)


def _due(
    run: Run, plan: Plan, told: Listener, estimates: Mapping[Cell, Estimate] | None
) -> tuple[list[Cell], list[tuple[Cell, Estimate]]]:
    """The cells that are not stored yet, and what they are expected to cost: by their plan, else by like cells here."""
    told(Doing("looking at what is stored"))
    state = Store(run.out).state()  # of before this plan is taken down, after which no table is of the folder's state
    due = run.due(plan.cells)
    device = run.settings.device
    if estimates is None:
        costs = estimated(due, device, _rows_of(run, state) if due else None)
    else:
        costs = [(cell, estimates[cell]) for cell in due]
    found = expected(costs, device) if due else None
    workers = found.workers(run.jobs) if found else 0
    told(Resumed(len(plan.cells) - len(due), len(plan.cells), found, workers))
    for name, source in _weights_of_metrics(due).items():
        try:
            told(Fetching(name, source))
            locate(source, name)
        except Unavailable as error:
            told(Lacking(name, f"{source.partition(':')[2]} cannot be fetched ({error.__cause__ or error})"))
    return due, costs


def _rows_of(run: Run, state: str) -> pd.DataFrame | None:
    """What cells are estimated from, of the rows of a results folder; None where they are not worth what reading them takes.

    Where the folder's table is not of that state (a run was killed, another one writes), every cell would be opened for it.
    That is done only where the estimates decide something: how many cells share a GPU of a cluster.
    """
    if found := table_of(run.out, state):
        rows: pd.DataFrame = found[0].select(ESTIMATED_FROM).unify_dictionaries().to_pandas()
        return rows
    return stored_rows(run.out) if run.elsewhere and run.settings.device == "cuda" else None


def _run(run: Run, due: Sequence[Cell], map_groups: MapGroups, told: Listener) -> Iterator[Report]:
    for cell in _closing(run.extract(due, map_groups)):
        told(Extracted(cell))
    for done, report in enumerate(_closing(run.execute(due, map_groups)), start=1):
        told(Ended(report, done, len(due)))
        yield report


def _weights_of_metrics(cells: Sequence[Cell]) -> dict[str, str]:
    """By metric, the sources of weights that measuring these cells needs and that are not on this machine."""
    wanted = {name: source for track in {track_of(cell) for cell in cells} for name, source in track.weights.items()}
    return {name: source for name, source in sorted(wanted.items()) if cached(source) is None}


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
            case Resumed(stored, planned, _, _):
                logger.info("%d of %d cells are stored already", stored, planned)
            case Fetching(name, source):
                logger.info("fetching what %s needs: %s", name, source)
            case Lacking(name, reason):
                logger.warning("%s is left out: %s", name, reason)
            case Extracted(cell):
                logger.debug("features of %s, %s/%s", cell.model, cell.dataset, cell.scene)
            case Ended(report, done, due):
                level = logging.INFO if report.status == "ok" else logging.WARNING
                logger.log(level, "%d of %d: %s %s %s", done, due, report.cell.label, report.status, report.error)
        if listen is not None:
            listen(event)

    return told
