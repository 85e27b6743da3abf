"""A run on SLURM: the cells that are due as job arrays, one for each resource need, whose tasks are shards of a plan.

DIR/slurm/<time>/<n>.json    the plan of the n-th array; `bench run --plan` takes it as well
DIR/slurm/<time>/*.out       what its tasks print
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.core.registry import load_plugin
from bench.results.store import stored_rows
from bench.run.engines import slurm
from bench.run.planning.needs import Need, by_need
from bench.run.planning.plan import Plan
from bench.run.planning.planfile import Estimate, PlanFile, estimated, read_plan_file, shard, shards, write_plan_file
from bench.run.request import Request
from bench.run.session import Ended, Event, Extracted, Listener, Planned, plan_of, run_of, run_request

TASK_SECONDS = 3600.0  #: that a task is expected to take, where the user does not say how many there are
_SHORTEST = timedelta(minutes=30)  #: time limit of a task
_OVER_ESTIMATE = 2.0  #: time limit over what the longest task is expected to take; one that needs more goes on later


@dataclass(frozen=True)
class JobArray:
    """Cells of one resource need, and over how many tasks they go.

    Attributes:
        plan: Its cells.
        tasks: Number of shards.
        seconds: What the longest task is expected to take.
        options: Of sbatch.
    """

    need: Need
    plan: PlanFile
    tasks: int
    seconds: float
    options: dict[str, str]


@dataclass(frozen=True)
class Submission:
    """What a run on SLURM comes to.

    Attributes:
        plan: All its cells, those that are stored already among them, and what is left out.
        arrays: Of the cells that are due.
        jobs: The id of each array; none where nothing was handed in.
    """

    plan: Plan
    arrays: tuple[JobArray, ...]
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """One task: a part of a plan file, run as `bench run --plan FILE --shard I/N` does."""

    request: Request
    plan: Path
    number: int
    count: int

    def __call__(self) -> bool:
        """Run the cells that are not stored; True where any cell or any feature was done. Ends the process with exit code 2
        where the node lacks something that the user can mend."""
        progressed = False

        def listen(event: Event) -> None:
            nonlocal progressed
            progressed |= isinstance(event, Ended | Extracted)
            if isinstance(event, Ended):
                ended = event.report
                print(f"{event.done}/{event.due} {ended.status} {ended.cell.label} ({ended.seconds:.1f} s)", flush=True)

        jobs = 1 if self.request.on_gpu else slurm.cpus_given()
        try:
            for plugin in self.request.plugins:
                load_plugin(plugin)
            cells = shard(read_plan_file(self.plan).cells, self.number, self.count)
            run_request(replace(self.request, engine="local", slurm=(), jobs=jobs), listen, cells)
        except UserError as error:
            print(f"error: {error}", flush=True)
            sys.exit(2)
        return progressed


def submit_request(
    request: Request, listen: Listener, planned: Sequence[tuple[Cell, Estimate]] | None = None, *, dry: bool = False
) -> Submission:
    """Hand in what is due, and return at once.

    Args:
        request: As the user gave it, its device named.
        listen: Called with every event.
        planned: Of a plan file; None for the cells that the request selects, with costs as like cells of the results folder
            had them.
        dry: Only say what would be handed in; nothing is written, and cells that are stored count as due.

    Raises:
        UserError: For what the user can mend.
        Unavailable: Where submitit or SLURM is not there.
    """
    named_root = request.with_absolute_paths().data_root  # without one each node looks for its own
    request = request.placed()
    cells = None if planned is None else [cell for cell, _ in planned]
    plan = plan_of(request, listen, cells=cells, fetching=not dry, elsewhere=True)
    listen(Planned(plan))
    due = plan.cells if dry else run_of(request).due(plan.cells)
    arrays = arrays_of(_with_estimates(due, request, planned), request)
    if dry or not arrays:
        return Submission(plan, arrays)
    there = replace(request, data_root=named_root)
    folder = request.out / "slurm" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    jobs: list[str] = []
    for place, array in enumerate(arrays, start=1):
        path = folder / f"{place}.json"
        write_plan_file(path, array.plan)
        tasks = [Shard(there, path, number, array.tasks) for number in range(1, array.tasks + 1)]
        try:
            jobs.append(slurm.submit_array(tasks, folder, array.options))
        except UserError as error:
            if jobs:
                raise UserError(f"{error}; handed in before it: {', '.join(jobs)}") from error
            shutil.rmtree(folder)
            raise
    return Submission(plan, arrays, tuple(jobs))


def arrays_of(cells: Sequence[tuple[Cell, Estimate]], request: Request) -> tuple[JobArray, ...]:
    """The job arrays of cells: one for each need, divided into tasks by their expected cost.

    `request.jobs` tasks in all, at least one an array; 0: as many as
    take TASK_SECONDS each.
    """
    arrays = []
    whole = sum(estimate.seconds for _, estimate in cells)
    for need, own in by_need(cells, request.device).items():
        plan = PlanFile(tuple(own), request.weights, request.device, request.plugins)
        share = request.jobs * plan.seconds / whole if request.jobs and whole else plan.seconds / TASK_SECONDS
        tasks = min(len(own), max(1, round(share) if request.jobs else math.ceil(share)))
        costs = dict(own)
        longest = max(sum(costs[cell].seconds for cell in part) for part in shards(own, tasks))
        arrays.append(
            JobArray(need, plan, tasks, longest, slurm.options_of(request.slurm, _options(need, longest, request)))
        )
    return tuple(arrays)


def _options(need: Need, seconds: float, request: Request) -> dict[str, str]:
    minutes = math.ceil(max(_SHORTEST.total_seconds(), _OVER_ESTIMATE * seconds) / 600) * 10
    options = {
        "job_name": f"bench-{request.out.name}",
        "time": str(minutes),
        "cpus_per_task": str(need.cpus),
        "mem": f"{need.memory_gb}GB",
    }
    return {**options, "gpus_per_node": str(need.gpus)} if need.gpus else options


def _with_estimates(
    cells: Sequence[Cell], request: Request, planned: Sequence[tuple[Cell, Estimate]] | None
) -> list[tuple[Cell, Estimate]]:
    if planned is not None:
        known = dict(planned)
        return [(cell, known[cell]) for cell in cells]
    return estimated(cells, request.device, stored_rows(request.out))
