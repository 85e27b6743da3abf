"""What every engine gives and takes: groups of tasks in, (task, result) out, limits, and how a dead worker is told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerDied:
    """What an engine gives as the result of a task whose process ended under it.

    Attributes:
        exit_code: Of the process, negative for a signal; None where the engine cannot tell.
        limit: The limit that the engine ended the process for, in words; "" where it ended by itself.
        machine_lost: True where not the process is at fault but its machine is gone.
    """

    exit_code: int | None
    limit: str = ""
    machine_lost: bool = False

    def __str__(self) -> str:
        if self.limit:
            return f"the worker process was ended: it went over {self.limit}"
        if self.machine_lost:
            return "the machine of the worker process is gone"
        if self.exit_code is None:
            return "the worker process died (out of memory?)"
        if self.exit_code == -signal.SIGKILL:
            return "the worker process was killed (out of memory?)"
        if self.exit_code < 0 and -self.exit_code in set(signal.Signals):
            return f"the worker process died of {signal.Signals(-self.exit_code).name}"
        return f"the worker process ended with exit code {self.exit_code}"


class GivenUp(KeyboardInterrupt):
    """What an engine raises in a worker that it tells to stop while it has a task in hand: the task has no outcome."""


@dataclass(frozen=True)
class Limits:
    """What a worker may take.

    Attributes:
        seconds: The wall time that a task may take; None for no limit.
        memory_mb: The resident memory of one worker; None for no limit.
    """

    seconds: Callable[[Any], float] | None = None
    memory_mb: float | None = None


class MapGroups(Protocol):
    """An engine: runs groups of tasks over processes or machines."""

    def __call__(
        self,
        function: Callable[[Task], Result],
        groups: Sequence[Sequence[Task]],
        *,
        jobs: int,
        initialise: Callable[[], None] | None = None,
        limits: Limits = ...,
        preload: Sequence[str] = (),
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield (task, result) as tasks finish.

        Args:
            function: What is done with a task. It is pickled, must not raise, and runs in a worker process, never in the
                caller's.
            groups: A group's tasks run in order in one process, which no other group shares.
            jobs: How many groups run at a time; 0 for as many as there is room for, where the engine can tell.
            initialise: Called once in each process before its first task. It is pickled too.
            limits: What a worker may take; one that goes over is killed.
            preload: Modules that processes may have imported before they start, where the engine can share that.

        Returns:
            An iterator with `close`, which ends the workers. A task whose process dies gets `WorkerDied`; the rest of its
            group goes on in a new process.
        """
        ...
