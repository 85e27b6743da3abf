"""The local engine: every way in which a task can end its process costs that task alone."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.run.engines.base import Limits, WorkerDied
from bench.run.engines.local import map_groups

#: What runs preload too: a process has one server to fork from, with what the first to start it asks for.
PRELOAD = ("bench.run.preload",)


class _Bad(BaseException):
    pass


def _close_everything() -> None:
    os.closerange(0, 256)


def _hold_memory() -> None:
    held = bytearray(1500 * 2**20)
    time.sleep(60)
    del held


def _fork() -> None:
    os.fork()


def _deaf_and_hanging() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(60)


KINDS: dict[str, tuple[Any, str]] = {
    "sys.exit(0)": (lambda: sys.exit(0), "ended with exit code 0"),
    "sys.exit(3)": (lambda: sys.exit(3), "ended with exit code 3"),
    "os._exit(0)": (lambda: os._exit(0), "ended with exit code 0"),
    "abort": (os.abort, "died of SIGABRT"),
    "segfault": (lambda: os.kill(os.getpid(), signal.SIGSEGV), "died of SIGSEGV"),
    "kill": (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed (out of memory?)"),
    "terminate": (lambda: os.kill(os.getpid(), signal.SIGTERM), "died of SIGTERM"),
    "BaseException": (lambda: (_ for _ in ()).throw(_Bad()), "ended with exit code 1"),
    "KeyboardInterrupt": (lambda: (_ for _ in ()).throw(KeyboardInterrupt()), "ended with exit code 1"),
    "closed descriptors": (_close_everything, "the worker process"),
    "memory": (_hold_memory, "it went over 1000 MB of memory"),
    "hang": (_deaf_and_hanging, "it went over 2 seconds"),
}
HARMLESS: dict[str, Any] = {
    "fork": _fork,
    "thread": lambda: threading.Thread(target=time.sleep, args=(60,)).start(),
    "folder": lambda: os.chdir("/"),
    "environment": os.environ.clear,
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
}


def _task(name: str) -> str:
    if name in KINDS:
        KINDS[name][0]()
    if name in HARMLESS:
        HARMLESS[name]()
    return f"{name} done"


def test_what_ends_a_process_costs_the_task_in_hand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [[f"before {kind}", kind, f"after {kind}"] for kind in {**KINDS, **HARMLESS}]
    # The memory is above what a process that has everything imported starts with.
    limits = Limits(seconds=lambda task: 2.0 if task == "hang" else 60.0, memory_mb=1000)
    monkeypatch.setattr("bench.run.engines.local._JOIN_SECONDS", 2.0)
    results = dict(map_groups(_task, groups, jobs=2, limits=limits, preload=PRELOAD))
    assert set(results) == {task for group in groups for task in group}
    for kind, (_, said) in KINDS.items():
        assert isinstance(results[kind], WorkerDied), kind
        assert said in str(results[kind]), kind
    others = {task: result for task, result in results.items() if task not in KINDS}
    assert others == {task: f"{task} done" for task in others}


def _pid(task: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("preload", [PRELOAD, ()])
def test_no_process_serves_two_groups_nor_is_the_callers(preload: tuple[str, ...]) -> None:
    found: dict[int, int] = dict(map_groups(_pid, [[1, 2], [3]], jobs=1, preload=preload))  # type: ignore[arg-type]
    assert found[1] == found[2] != found[3]
    assert os.getpid() not in found.values()


def _killed_at_start(marker: Path) -> None:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_killed_before_its_first_task_costs_that_task(tmp_path: Path) -> None:
    start = functools.partial(_killed_at_start, tmp_path / "marker")
    results = list(map_groups(_pid, [[1, 2], [3]], jobs=1, initialise=start, preload=PRELOAD))
    assert results[0] == (1, WorkerDied(-signal.SIGKILL))
    assert sorted(task for task, _ in results) == [1, 2, 3]
    assert sum(isinstance(result, WorkerDied) for _, result in results) == 1


def _where(task: int) -> tuple[str, str]:
    return str(Path.cwd()), os.environ.get("BENCH_TESTED", "")


def test_workers_see_the_callers_folder_and_environment_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(map_groups(_where, [[0]], jobs=1, preload=PRELOAD))  # the server is up, with an older environment
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_TESTED", "now")
    assert list(map_groups(_where, [[1]], jobs=1, preload=PRELOAD)) == [(1, (str(tmp_path), "now"))]


def _sleep(marker: Path) -> None:
    marker.write_text(str(os.getpid()))
    time.sleep(60)


def test_closing_the_iterator_ends_the_workers(tmp_path: Path) -> None:
    results = map_groups(_sleep_or_return, [[tmp_path / "sleeps"], [tmp_path / "returns"]], jobs=2, preload=PRELOAD)
    next(results)
    pid = int((tmp_path / "sleeps").read_text())
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _sleep_or_return(marker: Path) -> None:
    if marker.name == "sleeps":
        _sleep(marker)
    while not (marker.parent / "sleeps").exists() or not (marker.parent / "sleeps").read_text():
        time.sleep(0.01)
