"""The Ray engine: the same groups of cells over a Ray cluster. The results folder must be shared by its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from bench.types import Unavailable

Task = TypeVar("Task")


def map_groups(
    function: Callable[[Task], Any],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
) -> Iterator[tuple[Task, Any]]:
    """As `bench.engines.local.map_groups`; jobs is the number of groups in flight. Results come back group by group."""
    try:
        import ray
    except ImportError as error:
        raise Unavailable("the Ray engine needs Ray: pip install 'vfm3d-bench[ray]'") from error

    def run_group(group: Sequence[Task]) -> list[Any]:
        if initialise:
            initialise()
        return [function(task) for task in group]

    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, include_dashboard=False)
    remote = ray.remote(run_group)
    waiting = [group for group in groups if group]
    running: dict[Any, Sequence[Task]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                group = waiting.pop(0)
                running[remote.remote(group)] = group
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            yield from zip(running.pop(done), ray.get(done), strict=True)
    finally:
        for reference in running:
            ray.cancel(reference)
        if started_here:
            ray.shutdown()
