"""Runs cells: skips what is stored, prepares what several need, maps the rest over an engine, tells how each ended."""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.machine.digests import json_digest
from bench.results.claims import Claims
from bench.results.store import Store
from bench.run import limits
from bench.run.engines.base import Limits, MapGroups, WorkerDied
from bench.run.keys import cell_key, weights_of
from bench.run.machines.cluster import call_there, plugin_files, prepare_there
from bench.run.tracks import track_of
from bench.run.worker import Elsewhere, Report, Task, prepare, prepare_process, run_cell, store_failure

PRELOADED = ("bench.run.preload",)
MOST_TRIES = 3  #: of a cell whose machine is lost under it
_LOOK_SECONDS = 0.5  #: between looks at what another run computes
_SEEN_SECONDS = 20.0  #: within which a cell that another machine has stored must be seen here


@dataclass(frozen=True)
class Run:
    """A run: where it writes and what its cells share.

    Attributes:
        out: The results folder.
        settings: What every cell is run with.
        plugins: Files and modules that each worker loads.
        jobs: How many worker processes run at a time; 0 for as many as the engine has room for.
        threads: Of each process while things are prepared.
        cell_seconds: The time limit of a cell; None for its protocol's (bench.run.limits).
        memory_mb: The memory limit of a worker; None for nine tenths of the machine's.
        elsewhere: Whether the processes run on other machines too, which have places of their own
            (bench.run.machines.cluster).
        lost: The preparations that failed in this run, each with its report. They are not tried again within it.
    """

    out: Path
    settings: Settings
    plugins: tuple[str, ...] = ()
    jobs: int = 1
    threads: int = 1
    cell_seconds: float | None = None
    memory_mb: float | None = None
    elsewhere: bool = False
    lost: dict[Cell, Report] = field(default_factory=dict)

    def due(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that are not yet stored. From now on the folder's rows of all these cells are those of the keys that
        this code, these weights and data ask for. Raises UserError where a cell's data cannot be read."""
        store = Store(self.out)
        Claims(self.out).remove_lapsed()
        keys = {cell: cell_key(cell, self.settings) for cell in cells}
        store.plan({(cell, weights_of(cell, self.settings.weights)): key for cell, key in keys.items()})
        finished = store.finished_among(keys.values())
        return [cell for cell, key in keys.items() if key not in finished]

    def extract(self, cells: Sequence[Cell], map_groups: MapGroups) -> Iterator[Cell]:
        """Prepare what the cells need (features), a process for each model; yields each preparation that has ended.

        What it cost is stored, also where it was made long ago. What fails is kept in `lost`. Raises UserError where a
        result cannot be stored.
        """
        wanted = dict.fromkeys(each for cell in sorted(cells) for each in track_of(cell).preparations(cell))
        tasks = [
            Task(each, json_digest({"preparation": asdict(each), "device": self.settings.device}), self._seconds(each))
            for each in wanted
        ]
        initialise = self._initialise(self.threads)
        for task, result in self._shared(prepare, tasks, lambda cell: (cell.model,), initialise, map_groups):
            if isinstance(result, WorkerDied):
                Claims(self.out).release(task.key)
                result = Report(task.cell, "failed", math.nan, str(result))
            if result.status != "ok":
                self.lost[task.cell] = result
            yield task.cell

    def execute(self, cells: Sequence[Cell], map_groups: MapGroups) -> Iterator[Report]:
        """Run the cells on an engine and yield how each ended, as they end.

        Raises UserError where a result cannot be stored.
        """
        tasks = []
        for cell in cells:
            task = Task(cell, cell_key(cell, self.settings), self._seconds(cell))
            lost = next((self.lost[each] for each in track_of(cell).preparations(cell) if each in self.lost), None)
            if lost is None:
                tasks.append(task)
            else:
                message = f"no features of {lost.cell.model}: {lost.error}" if lost.cell.model != cell.model else lost.error
                yield store_failure(task, lost.status, message, self.out, self.settings)
        # A probe's steps are many and small: threads inside one cell cost more than they give; cells run side by side.
        initialise = self._initialise(1)
        for task, result in self._shared(run_cell, tasks, lambda cell: track_of(cell).group(cell), initialise, map_groups):
            if isinstance(result, WorkerDied) and Store(self.out).finished(task.key):  # it died when the cell was stored
                result = Report(task.cell, "ok", math.nan)
            elif isinstance(result, WorkerDied):
                result = store_failure(task, "failed", str(result), self.out, self.settings)
            elif not self._stored(task):
                said = f"it was run elsewhere, and is not in {self.out}: is that folder shared by all machines?"
                result = Report(task.cell, "failed", result.seconds, said)
            yield result

    def _initialise(self, threads: int) -> Callable[[], None]:
        """What makes a process ready."""
        if not self.elsewhere:
            return functools.partial(prepare_process, self.plugins, self.settings.data_root, threads)
        share = 1 / self.settings.cells_per_gpu
        return functools.partial(prepare_there, plugin_files(self.plugins), self.settings.data_root, threads, share)

    def _stored(self, task: Task) -> bool:
        """True where a task's cell is in the results folder, which a network file system may show late."""
        store, end = Store(self.out), time.monotonic() + _SEEN_SECONDS
        while not store.file(task.key).is_file():
            if time.monotonic() > end:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _seconds(self, cell: Cell) -> float:
        return limits.cell_seconds(cell, self.settings.device) if self.cell_seconds is None else self.cell_seconds

    def _shared(
        self,
        function: Callable[..., Report | UserError | Elsewhere],
        tasks: Sequence[Task],
        group: Callable[[Cell], tuple[Hashable, ...]],
        initialise: Callable[[], None],
        map_groups: MapGroups,
    ) -> Iterator[tuple[Task, Report | WorkerDied]]:
        """Map a worker's function over tasks in groups; what another run computes is looked at again once it has ended, and
        what was lost with its machine is tried again, MOST_TRIES times in all."""
        if self.elsewhere:
            function = functools.partial(call_there, function)
        bound = functools.partial(function, out=self.out, settings=self.settings, residents=Residents())
        memory = limits.worker_memory_mb() if self.memory_mb is None else self.memory_mb
        most = Limits(lambda task: task.seconds, memory)
        # CUDA cannot be used in a process that was forked from one where a library has asked for it.
        preload = PRELOADED if self.settings.device == "cpu" else ()
        left = list(tasks)
        tries: Counter[str] = Counter()
        while left:
            left.sort(key=lambda task: (group(task.cell), task.cell))
            groups = [list(members) for _, members in groupby(left, key=lambda task: group(task.cell))]
            left = []
            for task, result in map_groups(
                bound, groups, jobs=self.jobs, initialise=initialise, limits=most, preload=preload
            ):
                if isinstance(result, UserError):
                    raise result
                lost = isinstance(result, WorkerDied) and result.machine_lost
                if lost:
                    Claims(self.out).release(task.key)
                    tries[task.key] += 1
                if isinstance(result, Elsewhere) or (lost and tries[task.key] < MOST_TRIES):
                    left.append(task)
                else:
                    yield task, result
            claims = Claims(self.out)
            while left and all(claims.holder(task.key) is not None for task in left):
                time.sleep(_LOOK_SECONDS)
