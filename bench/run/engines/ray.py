"""The Ray engine: the same groups of cells over a Ray cluster. The results folder must be shared by its machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.core.errors import Unavailable
from bench.run.engines.base import Limits, Result, Task, WorkerDied

_LOOK = 1.0  #: seconds between looks at the time that tasks take


def map_groups(
    function: Callable[[Task], Result],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    preload: Sequence[str] = (),
    gpus: int = 0,
) -> Iterator[tuple[Task, Result | WorkerDied]]:
    """As `bench.run.engines.base.MapGroups` says, on a Ray cluster.

    Args:
        function: See there.
        groups: See there.
        jobs: The number of groups in flight.
        initialise: See there.
        limits: Its seconds are kept here (waiting for a machine counts); its memory is left to Ray's own monitor.
        preload: Not used: Ray starts its workers itself.
        gpus: What each group has to itself.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise Unavailable("the Ray engine needs Ray: pip install 'vfm3d-bench[ray]'") from error

    def run_group(group: Sequence[Task]) -> Iterator[Any]:
        if initialise:
            initialise()
        for task in group:
            yield function(task)

    waiting = [list(group) for group in reversed(groups) if group]
    if not waiting:
        return
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, include_dashboard=False)
    # Ray hides the GPUs from a task that asks for none; and it must not start a group again whose cells are stored.
    # A process serves one group: what a plug-in leaves behind in it meets no other model.
    remote = ray.remote(num_gpus=gpus, max_retries=0, max_calls=1, num_returns="streaming")(run_group)
    running: dict[Any, list[Task]] = {}
    since: dict[Any, float] = {}
    over: dict[Any, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                group = waiting.pop()
                started = remote.remote(group)
                running[started], since[started] = group, time.monotonic()
            found: Any = ray.wait(list(running), num_returns=1, timeout=_LOOK)[0]
            for late in [each for each in running if each not in over and limits.seconds]:
                seconds = limits.seconds(running[late][0]) if limits.seconds else float("inf")
                if late not in found and time.monotonic() - since[late] > seconds:
                    over[late] = f"{seconds:g} seconds"
                    ray.cancel(late, force=True)
            if not found:
                continue
            ready = found[0]
            task, *pending = running.pop(ready)
            try:
                result: Any = ray.get(next(ready))
            except RayTaskError:
                raise
            except RayError:  # the process or its machine is gone; the rest of its group goes to another
                result = WorkerDied(None, over.pop(ready, ""))
                if pending:
                    waiting.append(pending)
            else:
                if pending:
                    running[ready], since[ready] = pending, time.monotonic()
            yield task, result
    finally:
        for generator in running:
            ray.cancel(generator)
        if started_here:
            ray.shutdown()
