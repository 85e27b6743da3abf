"""The local engine: worker processes on this machine, one for each group of tasks.

Written out rather than taken from `concurrent.futures`, whose pool breaks as a whole when one worker dies, shares a process
between groups and knows no limits. Where modules are preloaded the processes are forked from a server that has imported them
and done nothing else; without, each is a fresh interpreter, as CUDA needs it.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic

from bench.run.engines.base import Limits, Result, Task, WorkerDied

START_SECONDS = 600.0  #: within which a worker must be ready for its first task
_LOOK = 0.25  #: seconds between looks at what the workers take
_JOIN_SECONDS = 10.0  #: within which a worker that has done its group must have ended
#: Seconds before the end of a worker counts as its own: a scheduler signals all processes of a job, the driver among them.
_SAME_MOMENT = 0.2
_KILLED_FIRST = "500"  #: added to a worker's score when the kernel looks for a process to kill: never the driver
_PARENT_DEATH_SIGNAL = 1  #: PR_SET_PDEATHSIG of prctl(2)


def map_groups(
    function: Callable[[Task], Result],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    preload: Sequence[str] = (),
) -> Iterator[tuple[Task, Result | WorkerDied]]:
    """As `bench.run.engines.base.MapGroups` says, on this machine."""
    waiting = [list(group) for group in reversed(groups) if group]
    workers: list[_Worker[Task]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_Worker(function, waiting.pop(), initialise, limits, preload))
            wait([end for worker in workers for end in (worker.connection, worker.process.sentinel)], _LOOK)
            for worker in list(workers):
                found = worker.finished()
                if worker.ended:
                    workers.remove(worker)
                    if worker.pending:
                        waiting.append(worker.pending)
                yield from found
    finally:
        for worker in workers:
            worker.end(at_once=True)


class _Worker(Generic[Task]):
    """One process and the tasks that it has not finished."""

    def __init__(
        self,
        function: Callable[[Task], Any],
        group: list[Task],
        initialise: Callable[[], None] | None,
        limits: Limits,
        preload: Sequence[str],
    ) -> None:
        self.pending = group
        self.ended = False
        self._limits = limits
        self._ready, self._since = False, time.monotonic()
        context: Any = multiprocessing.get_context("forkserver" if preload and sys.platform != "win32" else "spawn")
        if preload:
            context.set_forkserver_preload(list(preload))
        self.connection, theirs = context.Pipe()
        # The server of forked processes keeps the environment and the folder that it was started with.
        place = (dict(os.environ), str(Path.cwd()))
        given = (function, theirs, initialise, list(group), place)
        self.process: BaseProcess = context.Process(target=_work, args=given, daemon=True)
        self.process.start()
        theirs.close()

    def finished(self) -> list[tuple[Task, Any]]:
        """The tasks that have ended since the last look, `WorkerDied` for the one that the process ended under."""
        found: list[tuple[Task, Any]] = []
        gone = not self.process.is_alive()
        try:
            while self.pending and self.connection.poll():
                kind, result = self.connection.recv()
                if kind == "done":
                    found.append((self.pending.pop(0), result))
                self._ready, self._since = True, time.monotonic()
        except Exception:  # the pipe is closed, reset, or holds what a plug-in wrote into it
            gone = True
        over = "" if gone or not self.pending else self._over()
        if gone or over or not self.pending:
            self.end(at_once=bool(over))
        if self.pending and self.ended:
            time.sleep(_SAME_MOMENT)
            found.append((self.pending.pop(0), WorkerDied(self.process.exitcode, over)))
        return found

    def end(self, *, at_once: bool) -> None:
        """Wait for the process to end, or kill it and what it started."""
        if not at_once:
            self.process.join(_JOIN_SECONDS)
        pid = self.process.pid
        if pid is not None and self.process.is_alive():
            with contextlib.suppress(OSError):
                if os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.ended = True

    def _over(self) -> str:
        """The limit that the process has gone over, in words."""
        seconds, memory = START_SECONDS, self._limits.memory_mb
        if self._ready:
            seconds = self._limits.seconds(self.pending[0]) if self._limits.seconds else float("inf")
        if time.monotonic() - self._since > seconds:
            return f"{seconds:g} seconds{'' if self._ready else ' before its first task'}"
        if memory is not None and self.process.pid is not None and resident_mb(self.process.pid) > memory:
            return f"{memory:.0f} MB of memory"
        return ""


def resident_mb(pid: int) -> float:
    """The resident memory of a process in MB; 0 where this system does not tell or the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _work(
    function: Callable[[Any], Any],
    connection: Connection,
    initialise: Callable[[], None] | None,
    group: Sequence[Any],
    place: tuple[Mapping[str, str], str],
) -> None:
    """What a worker process does. Ctrl-C is the parent's business; a worker whose parent is gone has nothing to do."""
    own = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    environment, folder = place
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if initialise:
        initialise()
    connection.send(("ready", None))
    for task in group:
        result = function(task)
        if os.getpid() != own:  # a plug-in has forked, and its child came back too
            os._exit(0)
        connection.send(("done", result))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # whatever a plug-in left behind (threads, exit functions) has no say any more
