"""The local engine: worker processes on this machine, each given one group of tasks at a time.

Written out rather than taken from `concurrent.futures`, whose pool breaks as a whole when one worker dies: here a killed
worker costs the task in hand, the rest of its group goes to a new worker.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from bench.run.runner import WorkerDied

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    connection: Connection
    pending: list[Task]


def map_groups(
    function: Callable[[Task], Result],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
) -> Iterator[tuple[Task, Result | WorkerDied]]:
    """Yield (task, result) as tasks finish; a group's tasks run in order in one process, `jobs` groups at a time.

    With one job everything runs in this process. `function` and `initialise` must be picklable; `function` must not raise.
    Closing the iterator (Ctrl-C) ends the workers.
    """
    if jobs == 1:
        if initialise:
            initialise()
        for group in groups:
            for task in group:
                yield task, function(task)
        return
    waiting = [list(group) for group in reversed(groups) if group]
    workers: list[_Worker[Task]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_start(function, waiting.pop(), initialise))
            ready = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in ready]:
                task = worker.pending[0]
                try:
                    result: Any = worker.connection.recv()
                except EOFError:
                    worker.process.join()
                    result = WorkerDied(worker.process.exitcode)
                    workers.remove(worker)
                    if worker.pending[1:]:
                        waiting.append(worker.pending[1:])
                    yield task, result
                    continue
                worker.pending.pop(0)
                if not worker.pending:
                    if waiting:
                        worker.pending = waiting.pop()
                        worker.connection.send(worker.pending)
                    else:
                        worker.connection.send(None)
                        worker.process.join()
                        workers.remove(worker)
                yield task, result
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()


def _start(function: Callable[[Task], Any], group: list[Task], initialise: Callable[[], None] | None) -> _Worker[Task]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs, initialise), daemon=True)
    process.start()
    theirs.close()
    ours.send(group)
    return _Worker(process, ours, group)


def _work(function: Callable[[Any], Any], connection: Connection, initialise: Callable[[], None] | None) -> None:
    """The loop of a worker process. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if initialise:
        initialise()
    while (group := connection.recv()) is not None:
        for task in group:
            connection.send(function(task))
