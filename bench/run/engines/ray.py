"""The Ray engine: the same groups of cells over the machines of a Ray cluster.

It works with the cluster that RAY_ADDRESS names or this machine belongs to, else with this machine alone. The results folder
must be shared by all machines (bench.run.machines.cluster looks).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.core.errors import Unavailable
from bench.run.engines.base import GivenUp, Limits, Result, Task, WorkerDied

_LOOK = 1.0  #: seconds between looks at the time that tasks take
_GIVE_UP_SECONDS = 30.0  #: within which a worker that is told to stop must have given up its task; it is ended then
_PROBE_SECONDS = 120.0  #: within which a machine that is there answers


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to the cluster for as long as the block lasts; a connection that is there already is left as it is.

    Raises:
        Unavailable: Where Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise Unavailable("the Ray engine needs Ray: pip install 'vfm3d-bench[ray]'") from error
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        yield ray
    finally:
        if started_here:
            ray.shutdown()


def on_every_machine(function: Callable[[], Result]) -> dict[str, Result | str]:
    """Call a function on every machine of the cluster.

    Args:
        function: Pickled.

    Returns:
        Machine (its address and the first digits of its id) -> what the function gave, or a text of why it did not.
    """
    from ray.exceptions import RayError

    def call() -> Result:  # Ray takes a function, not a partial one
        return function()

    with connected() as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        started = {
            f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})": ray.remote(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=_only(node["NodeID"]),
            )(call).remote()
            for node in nodes
        }
        found: dict[str, Result | str] = {}
        for name, answer in started.items():
            try:
                found[name] = ray.get(answer, timeout=_PROBE_SECONDS)
            except RayError as error:
                found[name] = f"it does not answer ({type(error).__name__}: {str(error).strip().splitlines()[-1]})"
        return found


def gpus() -> float:
    """How many GPUs the cluster has."""
    with connected() as ray:
        return float(ray.cluster_resources().get("GPU", 0))


def map_groups(
    function: Callable[[Task], Result],
    groups: Sequence[Sequence[Task]],
    *,
    jobs: int,
    initialise: Callable[[], None] | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    preload: Sequence[str] = (),
    gpus: float = 0,
) -> Iterator[tuple[Task, Result | WorkerDied]]:
    """As `bench.run.engines.base.MapGroups` says, on a Ray cluster.

    Args:
        function: See there.
        groups: See there.
        jobs: The number of groups in flight; 0 for what the cluster has room for, looked at again and again.
        initialise: See there.
        limits: Its seconds are kept here, from a group's start on; its memory is left to Ray's own monitor.
        preload: Not used: Ray starts its workers itself.
        gpus: What each group has to itself; a share of one where several cells are packed on a GPU.
    """
    waiting = [list(group) for group in reversed(groups) if group]
    if not waiting:
        return
    with connected() as ray:
        from ray.exceptions import RayError, RayTaskError

        def run_group(group: Sequence[Task]) -> Iterator[Any]:
            yield ray.get_runtime_context().get_node_id()
            signal.signal(signal.SIGINT, _give_up)  # what Ray does to a task that is cancelled
            if initialise:
                initialise()
            for task in group:
                yield function(task)

        # Ray must not start a group again whose cells are stored. A process serves one group: what a plug-in leaves behind
        # in it meets no other model. It goes on when its last result has arrived: what it did is not lost when it dies.
        remote = ray.remote(
            num_gpus=gpus,
            max_retries=0,
            max_calls=1,
            num_returns="streaming",
            _generator_backpressure_num_objects=1,
        )(run_group)
        running: dict[Any, list[Task]] = {}
        machines: dict[Any, set[str]] = {}  # that a group may be on, and the one that it is on once it has started
        started: set[Any] = set()
        since: dict[Any, float] = {}
        over: dict[Any, str] = {}
        try:
            while waiting or running:
                room = jobs or _room(ray, gpus)
                while waiting and len(running) < room:
                    group = waiting.pop()
                    generator = remote.remote(group)
                    running[generator] = group
                    machines[generator] = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
                found: Any = ray.wait(list(running), num_returns=1, timeout=_LOOK)[0]
                for late in [each for each in since if each in running and each not in over and limits.seconds]:
                    seconds = limits.seconds(running[late][0]) if limits.seconds else float("inf")
                    if late not in found and time.monotonic() - since[late] > seconds:
                        over[late] = f"{seconds:g} seconds"
                        ray.cancel(late, force=True)
                if not found:
                    continue
                ready = found[0]
                task, *pending = running[ready]
                try:
                    result: Any = ray.get(next(ready))
                except RayTaskError:
                    raise
                except RayError:  # the process or its machine is gone; the rest of its group goes to another
                    lost = ready not in over and not all(_answers(ray, node) for node in machines[ready])
                    result = WorkerDied(None, over.get(ready, ""), machine_lost=lost)
                    del running[ready]
                    if pending:
                        waiting.append(pending)
                else:
                    since[ready] = time.monotonic()
                    if ready not in started:
                        started.add(ready)
                        machines[ready] = {result}
                        continue
                    if pending:
                        running[ready] = pending
                    else:
                        del running[ready]
                yield task, result
        finally:
            _end(ray, list(running))


def _give_up(number: int, frame: object) -> None:
    raise GivenUp


def _end(ray: Any, generators: Sequence[Any]) -> None:
    """Have groups give up what they have in hand, so that no claim of theirs is left, and end those that do not."""
    for generator in generators:
        ray.cancel(generator)
    end = time.monotonic() + _GIVE_UP_SECONDS
    for generator in generators:
        try:
            while ray.wait([generator], timeout=max(0.0, end - time.monotonic()))[0]:
                ray.get(next(generator))
            ray.cancel(generator, force=True)
        except (ray.exceptions.RayError, StopIteration):
            continue


def _room(ray: Any, gpus: float) -> int:
    """How many groups the cluster can run at a time."""
    there = ray.cluster_resources()
    return max(1, int(there.get("GPU", 0) / gpus + 1e-6) if gpus else int(there.get("CPU", 0)))


def _answers(ray: Any, node: str) -> bool:
    """True where a machine still runs what it is given; that one is lost is known after a while alone."""
    if not any(each["NodeID"] == node and each["Alive"] for each in ray.nodes()):
        return False
    probe = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_only(node))(lambda: True)
    try:
        return bool(ray.get(probe.remote(), timeout=_PROBE_SECONDS))
    except ray.exceptions.RayError:
        return False


def _only(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)
