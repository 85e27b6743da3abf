"""The same 240 small cells in four ways: on this machine with 2 jobs, as 4 shards that are merged, on a SLURM of two virtual
nodes one of whose tasks is told to stop, on a Ray cluster of three machines one of which is lost. All rows must be equal.

python tests/benchmarks/bench_scale.py [shards] [slurm] [ray]    by default all; the first way is always run, to compare with

Cells take tenths of a second, so that starting processes is most of the time: the efficiency is that of the engines at their
worst. It is the seconds of all cells, divided by the workers and by the seconds that the run took.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench.core.cells import PERF
from bench.results.claims import Claims
from bench.results.store import read_rows

ENGINES = Path(__file__).parents[1] / "run" / "engines"
sys.path.insert(0, str(ENGINES))
PLUGIN = ENGINES / "small_cells.py"
SHARED = ["--plugin", str(PLUGIN), "--datasets", "small", "--device", "cpu"]
GEOMETRY = ["--models", ",".join(f"flat-{number}" for number in range(8)), "--scenes", "all"]  # 8 x 15 = 120 cells
PROBE = ["--models", ",".join(f"small-{number}" for number in range(5)), "--scenes", "s00,s01,s02,s03", "--modes", "G,T,A"]
PROBE += ["--seeds", "0,1", "--protocol", "small-v1"]  # 5 x 4 x 3 x 2 = 120 cells
MOST_SECONDS = 3000.0  #: that anything is waited for
HALVES = {"geometry": GEOMETRY, "probe": PROBE}


def bench(*words: object, **environment: str) -> str:
    """Call the command line in a process of its own; what it prints."""
    own = {**os.environ, **environment}
    ended = subprocess.run(
        [sys.executable, "-m", "bench.cli", *map(str, words)], env=own, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"bench {' '.join(map(str, words))}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def local(folder: Path) -> tuple[Path, int, str]:
    for half in HALVES.values():
        bench("run", *SHARED, *half, "--jobs", 2, "--no-report", "--out", folder / "out")
    return folder / "out", 2, "nothing"


def shards(folder: Path) -> tuple[Path, int, str]:
    """Two at a time, each into a folder of its own, the last ones first."""
    running: list[subprocess.Popen[bytes]] = []
    for half, asked in HALVES.items():
        bench("plan", *SHARED, *asked, "--out", folder / f"{half}.json")
        for part in (4, 3, 2, 1):
            words = f"run --plan {folder}/{half}.json --shard {part}/4 --jobs 1 --out {folder}/{part}"
            command = [sys.executable, "-m", "bench.cli", *words.split()]
            if len(running) == 2:
                running.pop(0).wait()
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    for process in running:
        process.wait()
    bench("merge", *(folder / f"{part}" for part in range(1, 5)), "--out", folder / "out")
    return folder / "out", 2, "nothing"


def slurm(folder: Path) -> tuple[Path, int, str]:
    import slurm_cluster

    if lacking := slurm_cluster.lacking():
        raise SystemExit(lacking)
    (folder / "slurm").mkdir()
    out = folder / "out"
    with slurm_cluster.slurm(folder / "slurm") as environment:
        conf = {"SLURM_CONF": environment["SLURM_CONF"]}
        for half in HALVES.values():
            bench("run", *SHARED, *half, "--engine", "slurm", "--jobs", 4, "--out", out, **conf)
        _until(lambda: len(list((out / "cells").glob("*.json"))) > 60)
        task, cells = _told_to_stop(environment, out)
        slurm_cluster.start_now(environment, task)
        if not slurm_cluster.await_end(environment, 3000):
            raise SystemExit("the tasks do not end")
    return out, 2, f"task {task} was told to stop: {cells} cell in hand"


def _told_to_stop(environment: dict[str, str], out: Path) -> tuple[str, int]:
    """Tell a task that computes a cell to stop; the task, and how many cells it had in hand.

    SLURM refuses a signal to a task that has ended meanwhile, and to one of an array of which another is just starting: then
    the next task that has a cell in hand is told.
    """
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end:
        for task, cells in _tasks_in_hand(Claims(out)).items():
            told = subprocess.run(["scancel", "--signal=TERM", task], env=environment, capture_output=True, check=False)
            if told.returncode == 0:
                return task, cells
        time.sleep(0.02)
    raise SystemExit(f"no task could be told to stop within {MOST_SECONDS:g} s")


def _tasks_in_hand(claims: Claims) -> dict[str, int]:
    """The tasks of SLURM whose processes compute cells now, and how many each."""
    found: Counter[str] = Counter()
    for claim in claims.held().values():
        with contextlib.suppress(OSError, KeyError):
            environ = Path(f"/proc/{claim.pid}/environ").read_text().split("\0")
            own = dict(each.split("=", 1) for each in environ if "=" in each)
            found[f"{own['SLURM_ARRAY_JOB_ID']}_{own['SLURM_ARRAY_TASK_ID']}"] += 1
    return dict(found)


def ray(folder: Path) -> tuple[Path, int, str]:
    """In a process of its own, which is this file again."""
    told = subprocess.run([sys.executable, __file__, "--ray-driver", folder], capture_output=True, text=True, check=False)
    if told.returncode:
        raise SystemExit(f"{told.stdout}{told.stderr}"[-4000:])
    return folder / "out", 3, told.stdout.strip().splitlines()[-1]


def ray_driver(folder: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    from bench.cli import app

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=cluster.address, log_to_driver=False)
    out, lost = folder / "out", []

    def lose_one() -> None:
        _until(lambda: len(list((out / "cells").glob("*.json"))) > 60)
        raylet = nodes[0].all_processes["raylet"][0].process.pid
        _until(lambda: bool(lost) or bool(lost.extend(_in_hand(Claims(out), raylet)) or lost))
        cluster.remove_node(nodes[0], allow_graceful=False)

    thread = threading.Thread(target=lose_one, daemon=True)
    thread.start()
    for half in HALVES.values():
        words = ["run", *SHARED, *half, "--engine", "ray", "--no-report", "--out", str(out)]
        code = app(words, standalone_mode=False)
        if code:
            raise SystemExit(f"exit code {code}")
    thread.join(1)
    ray.shutdown()
    cluster.shutdown()
    print(f"one machine of three was lost: {len(lost)} cell in hand")


def _in_hand(claims: Claims, raylet: int) -> list[str]:
    """The cells that a machine's processes compute now."""
    found = []
    for key, claim in claims.held().items():
        try:
            parent = int(Path(f"/proc/{claim.pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == raylet:
            found.append(key)
    return found


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + MOST_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"what was waited for has not come within {MOST_SECONDS:g} s")
        time.sleep(0.02)


def rows_of(folder: Path) -> pd.DataFrame:
    """What must be equal: all but what a machine measured of itself."""
    rows = read_rows(folder)
    return (
        rows[rows["track"] != PERF]
        .drop(columns=["seconds", "peak_memory_mb", "read_mb", "code_version"])
        .reset_index(drop=True)
    )


def main(ways: list[str]) -> None:
    every: dict[str, Callable[[Path], tuple[Path, int, str]]] = {
        "local": local,
        "shards": shards,
        "slurm": slurm,
        "ray": ray,
    }
    with tempfile.TemporaryDirectory() as name:
        expected = None
        print(f"{'way':8} {'cells':>5} {'wall s':>7} {'cell s':>7} {'workers':>7} {'efficiency':>10}  lost work")
        for way in ["local", *(way for way in every if way != "local" and (way in ways or not ways))]:
            folder = Path(name) / way
            folder.mkdir()
            os.environ["BENCH_CACHE"] = str(folder / "cache")  # nothing of another way's features
            start = time.monotonic()
            out, workers, lost = every[way](folder)
            wall = time.monotonic() - start
            rows = rows_of(out)
            expected = rows if expected is None else expected
            pd.testing.assert_frame_equal(rows, expected)
            cells = read_rows(out).drop_duplicates("key")
            own = cells[cells["track"] != PERF]
            seconds = cells["seconds"].sum()
            print(
                f"{way:8} {len(own):5} {wall:7.1f} {seconds:7.1f} {workers:7} {seconds / workers / wall:10.2f}  {lost}",
                flush=True,
            )
        print(f"all ways gave the same {len(expected)} rows")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ray-driver"]:
        ray_driver(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
