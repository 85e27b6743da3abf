"""The local engine: order, isolation of a dying worker, initialisation."""

from __future__ import annotations

import os

import pytest

from bench.run.engines.base import WorkerDied
from bench.run.engines.local import map_groups


def square(task: int) -> int:
    if task < 0:
        os._exit(3)
    return task * task


def mark() -> None:
    os.environ["MARKED"] = "yes"


def marked(_: int) -> str:
    return os.environ.get("MARKED", "no")


@pytest.mark.parametrize(("jobs", "preload"), [(1, ()), (3, ("bench.run.preload",))])
def test_every_task_is_done_once(jobs: int, preload: tuple[str, ...]) -> None:
    groups = [[1, 2], [], [3], [4, 5, 6], [7]]
    assert sorted(map_groups(square, groups, jobs=jobs, preload=preload)) == [(n, n * n) for n in range(1, 8)]


def test_a_dying_worker_costs_only_its_task() -> None:
    results = dict(map_groups(square, [[1, -1, 2], [3], [4]], jobs=2))
    assert results.pop(-1) == WorkerDied(3)
    assert results == {1: 1, 2: 4, 3: 9, 4: 16}


def test_workers_are_initialised() -> None:
    assert dict(map_groups(marked, [[1], [2]], jobs=2, initialise=mark)) == {1: "yes", 2: "yes"}
    assert "MARKED" not in os.environ
