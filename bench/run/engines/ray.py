"""The Ray engine: the same groups of cells over a Ray cluster. The results folder must be shared by its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from bench.core.errors import Unavailable
from bench.run.runner import WorkerDied

Task = TypeVar("Task")


def map_groups(
    function: Callable[[Task], Any],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
    gpus: int = 0,
) -> Iterator[tuple[Task, Any]]:
    """As `bench.run.engines.local.map_groups`; jobs is the number of groups in flight, gpus what each has to itself."""
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
    remote = ray.remote(num_gpus=gpus, max_retries=0, num_returns="streaming")(run_group)
    running: dict[Any, list[Task]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                group = waiting.pop()
                running[remote.remote(group)] = group
            ready: Any = ray.wait(list(running), num_returns=1)[0][0]
            task, *pending = running.pop(ready)
            try:
                result: Any = ray.get(next(ready))
            except RayTaskError:
                raise
            except RayError:  # the process or its machine is gone; the rest of its group goes to another
                result = WorkerDied(None)
                if pending:
                    waiting.append(pending)
            else:
                if pending:
                    running[ready] = pending
            yield task, result
    finally:
        for generator in running:
            ray.cancel(generator)
        if started_here:
            ray.shutdown()
