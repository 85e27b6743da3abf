"""SIGKILL under SLURM: of a worker, of a task's driver, of a node. The same command goes on, and the rows are those of an
undisturbed run. Each takes a minute or two: `make faults` runs them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import slurm_cluster

from bench.core.cells import PERF
from bench.results.check import check_folder
from bench.results.claims import Claim, Claims
from bench.results.store import read_rows

pytest.importorskip("submitit", reason="submitit is not installed (pip install 'vfm3d-bench[slurm]')")
pytestmark = pytest.mark.skipif(not os.environ.get("BENCH_FAULTS"), reason="takes minutes: `make faults` runs it")
PLUGIN = Path(__file__).parent / "small_cells.py"
ASKED = ["--plugin", str(PLUGIN), "--datasets", "small", "--models", "slow,slow-1", "--scenes", "s00,s01,s02,s03"]
ASKED += ["--device", "cpu", "--no-report"]
CELLS = 8
VARYING = ["seconds", "peak_memory_mb", "read_mb", "code_version"]
LOST_AFTER = 20  #: seconds
MOST_SECONDS = 600.0  #: until a task has a cell in hand


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if lacking := slurm_cluster.lacking():
        pytest.skip(lacking)
    own = {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    own["BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    with slurm_cluster.slurm(tmp_path_factory.mktemp("slurm"), lost_after=LOST_AFTER) as cluster:
        yield {**cluster, **own}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("here") / "out"
    bench(environment, "run", *ASKED, "--out", str(out))
    return rows_of(out)


def bench(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-m", "bench.cli", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def rows_of(out: Path) -> pd.DataFrame:
    rows = read_rows(out)
    return rows[rows["track"] != PERF].drop(columns=VARYING).reset_index(drop=True)


def cell_in_hand(out: Path) -> Claim:
    """A cell that is computed now, by a task that has stored one before."""
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        for claim in Claims(out).held().values():
            if any((out / "cells").glob("*.json")):
                return claim
        time.sleep(0.02)
    pytest.fail(f"no task has computed a second cell within {MOST_SECONDS:g} s")


def killed(who: str, claim: Claim, environment: dict[str, str]) -> None:
    """End who computes a cell, or what that runs under."""
    told = dict(each.split("=", 1) for each in Path(f"/proc/{claim.pid}/environ").read_text().split("\0") if "=" in each)
    node = told["SLURMD_NODENAME"]
    if who == "node":
        slurm_cluster.kill_node(environment, node)
    elif who == "worker":
        os.kill(claim.pid, signal.SIGKILL)
    else:  # the process of the task that SLURM has started: all of its Python but the worker
        for pid in slurm_cluster.processes_of(node):
            with contextlib.suppress(OSError):
                if pid != claim.pid and "submitit" in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("who", ["worker", "driver", "node"])  # the node is the last: it stays lost
def test_nothing_is_lost_and_nothing_is_twice(
    who: str, tmp_path: Path, environment: dict[str, str], undisturbed: pd.DataFrame
) -> None:
    out = tmp_path / "out"
    run = ("run", *ASKED, "--out", str(out), "--engine", "slurm", "--jobs", "2")
    bench(environment, *run)
    killed(who, cell_in_hand(out), environment)
    for _ in range(3):  # the same command until all is done
        assert slurm_cluster.await_end(environment, 600), slurm_cluster.queue(environment)
        done = len(list((out / "cells").glob("*.json")))
        if done == CELLS and check_folder(out).cells == CELLS and set(read_rows(out)["status"]) == {"ok"}:
            break
        bench(environment, *run)
    pd.testing.assert_frame_equal(rows_of(out), undisturbed)
    assert check_folder(out).problems == ()
    assert Claims(out).held() == {}
