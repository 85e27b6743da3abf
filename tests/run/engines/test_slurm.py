"""Runs on SLURM: a real one with two virtual nodes, started for these tests; and what is decided before it is asked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import slurm_cluster
from typer.testing import CliRunner

from bench.cli import app
from bench.core.cells import PERF, Cell
from bench.core.errors import UserError
from bench.results.claims import Claims
from bench.results.store import read_rows
from bench.run.engines.slurm import options_of
from bench.run.machines.submit import arrays_of
from bench.run.planning.needs import Need, by_need, need_of
from bench.run.planning.planfile import GUESSED, Estimate, read_plan_file
from bench.run.request import Request

pytest.importorskip("submitit", reason="submitit is not installed (pip install 'vfm3d-bench[slurm]')")
PLUGIN = Path(__file__).parent / "small_cells.py"
VARYING = ["seconds", "peak_memory_mb", "read_mb", "code_version"]


@pytest.fixture(scope="module")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if lacking := slurm_cluster.lacking():
        pytest.skip(lacking)
    with contextlib.ExitStack() as stack:
        try:
            environment = stack.enter_context(slurm_cluster.slurm(tmp_path_factory.mktemp("slurm")))
        except (RuntimeError, subprocess.SubprocessError) as error:
            pytest.skip(f"no SLURM could be started here: {error}")
        yield environment


@pytest.fixture
def cluster(real_cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SLURM_CONF", real_cluster["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return real_cluster


def bench(*words: object) -> tuple[int, str]:
    ended = CliRunner().invoke(app, [str(word) for word in words])
    return ended.exit_code, f"{ended.output}{ended.exception or ''}"


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.mark.skipif(not os.environ.get("BENCH_FAULTS"), reason="takes a minute: `make faults` runs it")
def test_a_task_that_is_told_to_stop_goes_on_later_and_a_failed_cell_stops_nothing(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    asked = ["--plugin", PLUGIN, "--datasets", "small", "--scenes", "s00,s01", "--device", "cpu", "--no-report"]
    asked += ["--models", "broken,slow,small-1", "--modes", "G", "--protocol", "small-v1"]
    out = tmp_path / "shared"
    code, said = bench("run", *asked, "--out", out, "--engine", "slurm", "--jobs", 2, "--slurm", "partition=short")
    assert code == 0, said
    assert ": 2 tasks of 1 CPU, 4 GB; 6 cells" in said

    def logs() -> list[Path]:
        return sorted(out.glob("slurm/*/*_log.out"))

    def printed() -> str:
        return "".join(path.read_text() for path in logs())

    until(lambda: "· slow" in printed(), 300, f"no slow photo was done: {printed()}")
    slow = next(path for path in logs() if "· slow" in path.read_text())
    task = "_".join(slow.name.split("_")[:2])
    slurm_cluster.tell(cluster, task, "TERM")
    until(lambda: "told to stop by SIGTERM" in printed(), 100, f"the task did not hear it: {printed()}")
    dead = [path for path in (out / "claims").iterdir() if Claims(out).holder(path.name) is None]
    assert not [path for path in dead if path.exists()], "it did not give up the cell that it had in hand"
    slurm_cluster.start_now(cluster, task)
    assert slurm_cluster.await_end(cluster, 300), printed()
    starts = {path.name: path.read_text().count("Loading pickle") for path in logs()}
    assert starts == {path.name: 2 if path == slow else 1 for path in logs()}, "the other task was disturbed"
    code, said = bench("status", out)
    assert (code, said.splitlines()[0]) == (1, "4 done, 2 failed, 0 running, 0 missing"), printed()
    assert "it is broken" in " ".join(read_rows(out).query("model == 'broken'")["note"])

    code, said = bench("run", *asked, "--out", tmp_path / "here")
    assert code == 1, said
    there, here = (
        rows[rows["track"] != PERF].drop(columns=VARYING).reset_index(drop=True)
        for rows in map(read_rows, (out, tmp_path / "here"))
    )
    pd.testing.assert_frame_equal(there, here)


def test_a_cancelled_task_stays_cancelled_and_its_cells_are_missing(tmp_path: Path, cluster: dict[str, str]) -> None:
    out = tmp_path / "shared"
    asked = ("--plugin", PLUGIN, "--datasets", "small", "--models", "slow", "--device", "cpu", "--out", out)
    code, said = bench("run", *asked, "--engine", "slurm")
    assert code == 0, said
    until(lambda: any((out / "cells").glob("*.json")), 300, "no cell was done")
    job = slurm_cluster.queue(cluster)[0][0]
    subprocess.run(["scancel", job], env=cluster, check=True)
    assert slurm_cluster.await_end(cluster, 100)
    # A worker whose parent was killed may outlive the task for a moment.
    until(lambda: " 0 running" in bench("status", out)[1], 100, "a cancelled task still holds a cell")
    code, said = bench("status", out)
    assert code == 0
    assert " 0 missing" not in said


def test_what_sbatch_refuses_is_one_message_and_nothing_stays(tmp_path: Path, cluster: dict[str, str]) -> None:
    asked = ("--plugin", PLUGIN, "--datasets", "small", "--scenes", "s00", "--models", "flat-0", "--device", "cpu")
    out = tmp_path / "shared"
    code, said = bench("run", *asked, "--out", out, "--engine", "slurm", "--slurm", "partition=nowhere")
    assert code == 1
    assert "sbatch refuses the job" in said
    assert "nowhere" in said
    assert not list((out / "slurm").iterdir())


def test_a_dry_run_says_what_would_be_handed_in_and_writes_nothing(tmp_path: Path) -> None:
    asked = ("--plugin", PLUGIN, "--datasets", "small", "--models", "flat-0,flat-1", "--out", tmp_path / "out")
    dry = ("run", *asked, "--engine", "slurm", "--dry-run")
    code, said = bench(*dry, "--jobs", 2, "--device", "cuda", "--slurm", "time=1:00:00")
    assert code == 0, said
    assert "would submit: 2 tasks of 1 GPU, 4 CPUs, 4 GB; 30 cells" in said
    assert "--array=0-1 " in said
    assert "--time=1:00:00" in said
    assert not list(tmp_path.iterdir())
    code, said = bench(*dry)
    assert code == 1
    assert "--device cpu or --device cuda" in said


def test_a_plan_for_gpus_is_made_where_there_is_none(tmp_path: Path) -> None:
    asked = ("--plugin", PLUGIN, "--datasets", "small", "--scenes", "s00", "--models", "small-0", "--modes", "G,T")
    code, said = bench("plan", *asked, "--device", "cuda", "--out", tmp_path / "plan.json")
    assert code == 0, said
    assert "2 cells on 1 GPU, 4 CPUs, 4 GB: about 0.14 hours" in said
    plan = read_plan_file(tmp_path / "plan.json")
    assert plan.device == "cuda"
    assert {cell.protocol for cell, _ in plan.cells} == {"paper-v1"}
    assert plan.plugins == (str(PLUGIN),)


def test_the_users_options_overrule_and_those_of_the_plan_are_refused() -> None:
    chosen = {"time": "30", "gpus_per_node": "1"}
    given = options_of([("--time", "2:00:00"), ("exclusive", "")], chosen)
    assert given == {"time": "2:00:00", "gpus_per_node": "1", "exclusive": ""}
    assert options_of([("gres", "gpu:a100:1")], chosen) == {"time": "30", "gres": "gpu:a100:1"}
    for name in ("array", "--open-mode", "signal"):
        with pytest.raises(UserError, match=f"--slurm {name.strip('-').replace('-', '_')}: "):
            options_of([(name, "x")], chosen)


def cell(model: str, scene: str, track: str = "probe") -> Cell:
    return Cell(track, "dtu", scene, model, "G", "sparse", "paper-v1", 0)  # type: ignore[arg-type]


def test_needs_come_from_like_cells_and_from_cards() -> None:
    known = Estimate(60.0, 9000.0, "2 stored cells")
    guessed = Estimate(60.0, float("nan"), GUESSED)
    assert need_of(cell("iuvrgb", "a"), known, "cpu") == Need(0, 1, 16), "9,000 MB and half as much again"
    assert need_of(cell("iuvrgb", "a"), guessed, "cpu") == Need(0, 1, 4)
    assert need_of(cell("iuvrgb", "a"), known, "cuda") == Need(1, 4, 4, 16)
    # ViT-H/16: about 640 million parameters of 4 bytes, three times, and a process.
    assert need_of(cell("sam:H", "a"), guessed, "cpu") == Need(0, 1, 16)


def test_arrays_keep_groups_whole_and_share_the_tasks_by_cost() -> None:
    plan = [
        (replace(cell(model, scene), seed=seed), Estimate(seconds, memory, ""))
        for model, seconds, memory in (("iuvrgb", 100.0, 500.0), ("daisy", 300.0, 9000.0))
        for scene in ("a", "b", "c", "d")
        for seed in (0, 1)
    ]
    found = by_need(plan, "cpu")
    assert {need: len(cells) for need, cells in found.items()} == {Need(0, 1, 4): 8, Need(0, 1, 16): 8}
    plan[0] = (plan[0][0], Estimate(100.0, 9000.0, ""))  # one cell of a group lifts the whole group
    assert {need: len(cells) for need, cells in by_need(plan, "cpu").items()} == {Need(0, 1, 4): 6, Need(0, 1, 16): 10}
    arrays = arrays_of(plan, Request(device="cpu", jobs=4))
    assert [(array.tasks, len(array.plan.cells)) for array in arrays] == [(1, 6), (3, 10)], (
        "600 of 3,200 seconds, and the rest"
    )
    assert arrays[0].seconds == 600
    assert arrays[0].options["time"] == "30"
    assert [array.tasks for array in arrays_of(plan, Request(device="cpu"))] == [1, 1], "less than an hour each"
    assert [array.tasks for array in arrays_of(plan, Request(device="cpu", jobs=100))] == [6, 10], "no more than cells"


def test_photos_of_one_model_and_data_set_are_divided_where_they_are_too_many_for_a_task() -> None:
    plan = [(cell("moge", f"{number:04}", "geometry"), Estimate(36.0, 500.0, "")) for number in range(1000)]
    (array,) = arrays_of(plan, Request(device="cuda"))
    assert (array.tasks, array.seconds) == (10, 3600)
