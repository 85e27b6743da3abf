"""A run that is killed at any instant goes on and gives the rows of an undisturbed one: its driver, all of it, or a worker.

The instants are drawn from all those at which an undisturbed run changes a file or passes a message (`killing.py`); a few
by default, BENCH_KILLS=N for N of each kind. Drivers and workers are forked here from a server that has imported everything,
so that a run takes a second; `tests/test_cli.py` kills one as users start it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import killing
import pandas as pd
import pytest

from bench.core.cells import PERF, Cell
from bench.core.registry import load_plugin
from bench.machine.files import strays
from bench.results.check import check_folder
from bench.results.store import Store
from bench.run.request import Request
from bench.run.session import run_request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills and forks as Linux has them")

PLUGIN = Path(__file__).with_name("misbehaving.py")
KILLS = int(os.environ.get("BENCH_KILLS", "1"))  #: of each of driver, group and worker, with one job and with two
SECONDS = 120  #: that a run may take; it takes about one
OF_THE_DAY = ["seconds", "peak_memory_mb", "read_mb", "code_version"]  #: a commit may come between two runs


def _cells() -> list[Cell]:
    estimated = [Cell("geometry", "tiny", scene, "a-good", "-", "-", "moge-v1", 0) for scene in ("one", "three")]
    return estimated + [Cell("probe", "tiny", "one", "patches", mode, "ground-truth", "tiny-v1", 0) for mode in ("G", "T")]


def _drive(out: Path, jobs: int, kill: tuple[Path, str, int]) -> None:
    """A driver's process: one run of the cells, and the kill that awaits it."""
    fork = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: fork  # type: ignore[assignment, return-value]
    os.environ["XDG_CACHE_HOME"] = str(out / "cache")
    load_plugin(str(PLUGIN))
    killing.watch(out, *kill)
    ran = run_request(Request(out=out, jobs=jobs, device="cpu", plugins=(str(PLUGIN),)), cells=_cells())
    os._exit(1 if ran.failures else 0)


def _run(out: Path, jobs: int, logs: Path, who: str = "driver", at: int = 0) -> int:
    """Run the cells in a process of their own; its exit code."""
    logs.mkdir()
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["bench.run.preload"])
    driver = server.Process(target=_drive, args=(out, jobs, (logs, who, at)))
    driver.start()
    driver.join(SECONDS)
    assert driver.exitcode is not None, "the run hangs"
    return driver.exitcode


def _stored(out: Path) -> Mapping[Cell, Any]:
    """What every cell measured; of what was only timed, that it is there."""
    return {
        record.cell: (
            record.key,
            record.status,
            record.error,
            record.picture_digests,
            [(m.metric, m.view) if record.cell.track == PERF else repr(astuple(m)) for m in record.measurements],
        )
        for record in Store(out, create=False).records()
    }


def _rows(out: Path) -> list[pd.DataFrame]:
    tables = pd.read_parquet(out / "rows.parquet"), pd.read_csv(out / "rows.csv")
    return [
        table.assign(value=table["value"].where(table["track"] != PERF)).drop(columns=OF_THE_DAY).reset_index(drop=True)
        for table in tables
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The results folder of a run that nothing ends, and its instants."""
    place = tmp_path_factory.mktemp("undisturbed")
    assert _run(place / "out", 1, place / "instants") == 0
    assert set(_cells()) < set(_stored(place / "out")), "all cells, and what their features cost"
    return place / "out", place / "instants"


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("who", ["driver", "group", "worker"])
def test_a_run_killed_at_any_instant_goes_on_and_gives_the_rows_of_an_undisturbed_one(
    who: str, jobs: int, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, log = undisturbed
    total = killing.instants(log, who)
    assert total > 30, "every write and every message is an instant"
    for at in sorted(random.Random(f"{who} {jobs}").sample(range(1, total + 1), min(KILLS, total))):
        out = tmp_path / str(at)
        code = _run(out, jobs, tmp_path / f"{at} killed", who, at)
        where = f"{who} killed at instant {at} of {total}, {jobs} jobs"
        # A dead worker is told as a failed cell, unless it had handed in all that it had to do.
        assert code in ((0, 1) if who == "worker" else (-signal.SIGKILL,)), where
        assert _run(out, jobs, tmp_path / f"{at} resumed") == 0, where
        assert _stored(out) == _stored(whole), where
        for rows, wanted in zip(_rows(out), _rows(whole), strict=True):
            pd.testing.assert_frame_equal(rows, wanted, obj=where)
        assert check_folder(out).problems == (), where
        folders = [out, *(path for path in out.rglob("*") if path.is_dir() and "cache" not in path.parts)]
        assert [stray for folder in folders for stray in strays(folder)] == [], where
        assert list((out / "claims").iterdir()) == [], where
