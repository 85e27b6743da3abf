"""What a SLURM task does when it is told to stop; `scontrol` is a script that writes down how it is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.run.engines.slurm import run_resumably

PLUGIN = Path(__file__).parent / "small_cells.py"


@pytest.fixture(autouse=True)
def _handlers_kept() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Give the job a state; the file that holds the calls."""

    def state(name: str) -> Path:
        script = tmp_path / "scontrol"
        script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "JobId=7 JobState={name} Requeue=1"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
        return tmp_path / "calls"

    return state


def told(number: signal.Signals, *, progressed: bool = True, caught: bool = True) -> Callable[[], bool]:
    """Work that is told to stop, and ends as a run does (`caught`) or lets the interruption through."""

    def work() -> bool:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            os.kill(os.getpid(), number)  # SLURM says it twice
            time.sleep(0.01)
            if not caught:
                raise
            return progressed
        raise AssertionError("it was not interrupted")

    return work


def calls(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("caught", [True, False])
@pytest.mark.parametrize(("state", "requeued"), [("RUNNING", True), ("CANCELLED", False), ("PREEMPTED", False)])
def test_a_running_task_goes_back_into_the_queue(
    scontrol: Callable[[str], Path], state: str, requeued: bool, caught: bool
) -> None:
    found = scontrol(state)
    run_resumably(told(signal.SIGTERM, caught=caught))
    assert calls(found) == ["show job --oneliner 7", *(["requeue 7"] if requeued else [])]


def test_a_task_of_an_array_asks_for_itself_alone(scontrol: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = scontrol("RUNNING")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")  # the last task of an array has its number
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    run_resumably(told(signal.SIGTERM))
    assert calls(found) == ["show job --oneliner 7_3", "requeue 7_3"]


def test_a_task_that_does_nothing_in_its_time_fails_rather_than_starting_for_ever(scontrol: Callable[[str], Path]) -> None:
    found = scontrol("RUNNING")
    with pytest.raises(RuntimeError, match="--slurm time="):
        run_resumably(told(signal.SIGUSR2, progressed=False))
    assert calls(found) == []
    run_resumably(told(signal.SIGUSR2, progressed=True))
    assert calls(found) == ["show job --oneliner 7", "requeue 7"]


def test_a_task_that_ends_by_itself_asks_for_nothing(scontrol: Callable[[str], Path]) -> None:
    found = scontrol("RUNNING")
    run_resumably(lambda: True)
    with pytest.raises(ZeroDivisionError):
        run_resumably(lambda: bool(1 / 0))
    assert calls(found) == []


def test_a_run_that_is_told_to_stop_says_how_to_go_on_and_gives_its_cells_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = f"run --plugin {PLUGIN} --datasets small --models slow --device cpu --no-report --out {out}"
    environment = {**os.environ, "BENCH_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *asked.split()], env=environment, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 300
    while process.poll() is None and not any((out / "cells").glob("*.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert f"The same command goes on from here: bench {asked}" in " ".join(said.split())
    assert not list((out / "claims").iterdir())
    assert (out / "rows.csv").is_file()
