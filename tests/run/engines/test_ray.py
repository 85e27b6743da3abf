"""The Ray engine on a simulated cluster: what the local engine promises holds here too, and machines may be lost. Tasks are
closures, since Ray's workers cannot import this file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.core.registry import load_plugin
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.results.store import Store, read_rows
from bench.run.engines.base import Limits
from bench.run.engines.ray import map_groups
from bench.run.keys import cell_key
from bench.run.machines.cluster import Machine, cells_per_gpu, check_machines, plugin_files
from bench.run.planning.planfile import Estimate
from bench.run.request import Request
from bench.run.runner import MOST_TRIES, Run, WorkerDied
from bench.run.session import run_request
from bench.run.worker import Task, run_cell

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'vfm3d-bench[ray]')")
PLUGIN = Path(__file__).parent / "small_cells.py"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two processors and a GPU that is only a number."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        soon = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}  # that a machine is gone
        head = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "_system_config": soon}
        made = _started(Cluster, head)
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


def _started(kind: Any, head: dict[str, Any]) -> Any:
    """A cluster; on a machine that has much to do Ray gives up after half a minute, so it is asked again."""
    for _ in range(3):
        try:
            return kind(initialize_head=True, head_node_args=head)
        except Exception as error:  # Ray has no class of its own for a start that took too long
            if not re.search("timed out|startup|have started", str(error), re.IGNORECASE):
                raise
    return kind(initialize_head=True, head_node_args=head)


def test_every_task_is_done_once_by_as_many_as_there_is_room_for() -> None:
    groups = [[1, 2], [], [3], [4, 5, 6], [7]]
    assert sorted(map_groups(lambda task: task * task, groups, jobs=0)) == [(n, n * n) for n in range(1, 8)]


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


def test_tasks_in_hand_are_given_up_when_the_run_is_told_to_stop(tmp_path: Path) -> None:
    def work(name: str) -> str:
        if name == "long":
            (tmp_path / "started").touch()
            try:
                while True:
                    time.sleep(0.01)
            except BaseException as error:
                (tmp_path / type(error).__name__).touch()
                raise
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        return name

    results = map_groups(work, [["long"], ["short"]], jobs=2)
    assert next(results) == ("short", "short")
    results.close()
    assert (tmp_path / "GivenUp").exists()


def test_a_task_that_takes_too_long_is_ended_and_waiting_is_not_counted() -> None:
    def wait(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    found = dict(map_groups(wait, [[3.0], [3.5, 300.0, 0.0], [0.1]], jobs=1, limits=Limits(seconds=lambda task: 4.0)))
    assert found == {3.0: 3.0, 3.5: 3.5, 300.0: WorkerDied(None, "4 seconds"), 0.0: 0.0, 0.1: 0.1}


def test_groups_share_a_gpu_as_far_as_it_goes(tmp_path: Path) -> None:
    def meet(own: Path) -> int:
        own.touch()
        for _ in range(150):
            if len(list(own.parent.iterdir())) == 2:
                return 2
            time.sleep(0.1)
        return 1

    tasks = [tmp_path / "one", tmp_path / "two"]
    assert dict(map_groups(meet, [[task] for task in tasks], jobs=0, gpus=0.5)) == dict.fromkeys(tasks, 2)


@pytest.mark.skipif(not os.environ.get("BENCH_FAULTS"), reason="takes a minute: `make faults` runs it")
def test_a_lost_machine_costs_nothing_but_time(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # --out is relative
    load_plugin(str(PLUGIN))
    request = Request(("slow", "slow-1", "slow-2"), ("small",), ("s00", "s01"), device="cpu", plugins=(str(PLUGIN),))
    node = cluster.add_node(num_cpus=4)
    watcher = threading.Thread(target=_kill_when_busy, args=(cluster, node, Path("results/run/claims").absolute()))
    watcher.start()
    ran = run_request(replace(request, engine="ray"))
    watcher.join()
    assert not node.all_processes, "no cell was in hand on the machine that was to be lost"
    assert ran.failures == ()
    assert {record.status for record in Store(Path("results/run")).records()} == {"ok"}
    assert len(read_rows(Path("results/run"))["key"].unique()) == 6
    assert not list(Path("results/run/claims").iterdir())


def _kill_when_busy(cluster: Any, node: Any, claims: Path) -> None:
    """Remove a machine as soon as one of its processes has a cell in hand."""
    (raylet,) = node.all_processes["raylet"]
    for _ in range(6000):
        for path in claims.glob("*"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                holder = json.loads(path.read_text())["pid"]
                if int(Path(f"/proc/{holder}/stat").read_text().rpartition(")")[2].split()[1]) == raylet.process.pid:
                    cluster.remove_node(node, allow_graceful=False)
                    return
        time.sleep(0.02)


def test_what_is_lost_with_its_machine_is_tried_so_many_times(tmp_path: Path) -> None:
    load_plugin(str(PLUGIN))
    cells = [Cell("geometry", "small", "s00", model, "-", "-", "moge-v1", 0) for model in ("flat-0", "flat-1")]
    tried: list[str] = []

    def losing(function: Any, groups: Any, **_: Any) -> Iterator[Any]:
        for group in groups:
            for task in group:
                tried.append(task.cell.model)
                good = task.cell.model == "flat-1" and tried.count("flat-1") == 2
                yield task, function(task) if good else WorkerDied(None, machine_lost=True)

    run = Run(tmp_path, Settings(None, tmp_path / "cache", "cpu", "none"))
    ended = {report.cell.model: report for report in run.execute(cells, losing)}
    assert ended["flat-1"].status == "ok"
    assert (ended["flat-0"].status, ended["flat-0"].error) == ("failed", "the machine of the worker process is gone")
    assert (tried.count("flat-0"), tried.count("flat-1")) == (MOST_TRIES, 2)


def test_a_machine_without_the_results_folder_is_named_before_anything_runs(cluster: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    settings = Settings(None, tmp_path, "cpu", "none")
    assert all(machine.faults == () for machine in check_machines(out, settings).values())
    join = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=1", "--block"]
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(out), *join]
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a machine with another file system takes the right to unshare mounts")
    before = sum(node["Alive"] for node in ray.nodes())
    with _running(hide):
        for _ in range(600):
            if sum(node["Alive"] for node in ray.nodes()) > before:
                break
            time.sleep(0.1)
        with pytest.raises(UserError, match=r"cannot take part:\n.*: the results folder .* is not there, or not the one"):
            check_machines(out, settings)
    assert not list(out.iterdir())


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_cells_are_packed_by_the_largest_measured_peak() -> None:
    gpus = [Machine((), 24_000.0), Machine((), float("nan")), Machine((), 80_000.0)]
    known = [Estimate(1.0, 2000.0, ""), Estimate(1.0, 5000.0, "")]
    assert cells_per_gpu(known, gpus) == 3, "0.9 of 24,000 MB hold 1.2 times 5,000 MB three times"
    assert cells_per_gpu([*known, Estimate(1.0, float("nan"), "")], gpus) == 1, "one that was never measured"
    assert cells_per_gpu(known, gpus[1:2]) == 1
    assert cells_per_gpu([Estimate(1.0, 50_000.0, "")], gpus) == 1


def test_the_time_of_a_packed_cell_is_no_cost(tmp_path: Path) -> None:
    load_plugin(str(PLUGIN))
    cell = Cell("geometry", "small", "s00", "flat-0", "-", "-", "moge-v1", 0)
    settings = Settings(None, tmp_path, "cpu", "none", cells_per_gpu=3)
    run_cell(Task(cell, cell_key(cell, settings), 60.0), out=tmp_path, settings=settings, residents=Residents())
    assert read_rows(tmp_path)["seconds"].isna().all()
    (record,) = Store(tmp_path).records()
    assert record.provenance["cells_per_gpu"] == 3
    assert record.provenance["seconds_with_others"] > 0


def test_plug_in_files_travel_with_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("x = 1\n")
    name, own = plugin_files(["a.module", str(path)])
    assert name == "a.module"
    assert not isinstance(own, str)
    path.unlink()
    here = own.path_here()
    assert (here.name, here.read_text()) == ("own.py", "x = 1\n")
    shutil.rmtree(here.parent)
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UserError, match="install it on the machines"):
        plugin_files([str(path)])
