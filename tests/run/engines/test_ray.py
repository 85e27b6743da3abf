"""The Ray engine on a local cluster: what the local engine promises holds here too. Tasks are closures, since Ray's workers
cannot import this file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.run.engines.ray import map_groups
from bench.run.runner import WorkerDied

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'vfm3d-bench[ray]')")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def test_every_task_is_done_once() -> None:
    groups = [[1, 2], [], [3], [4, 5, 6], [7]]
    assert sorted(map_groups(lambda task: task * task, groups, jobs=2)) == [(n, n * n) for n in range(1, 8)]


def test_a_dying_worker_costs_only_its_task() -> None:
    def square(task: int) -> int:
        if task < 0:
            os._exit(3)
        return task * task

    results = dict(map_groups(square, [[1, -1, 2], [3], [4, -4]], jobs=2))
    assert results == {1: 1, -1: WorkerDied(None), 2: 4, 3: 9, 4: 16, -4: WorkerDied(None)}


def test_workers_are_initialised() -> None:
    def mark() -> None:
        os.environ["MARKED"] = "yes"

    assert dict(map_groups(lambda _: os.environ.get("MARKED", "no"), [[1], [2]], jobs=1, initialise=mark)) == {
        1: "yes",
        2: "yes",
    }
    assert "MARKED" not in os.environ
