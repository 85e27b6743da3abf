"""What a results folder of many cells costs: seconds and peak memory of scan, compaction and verification.

python tests/benchmarks/bench_store.py [CELLS ...]    by default 1000 10000; each step runs in a process of its own
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.core.cells import Cell, Measurement
from bench.results.check import check_folder
from bench.results.record import CellRecord, digest, to_text
from bench.results.store import Store

ROWS = 27  #: of a cell, as a probe of three held-out views has


def fill(folder: Path, count: int) -> None:
    """Write synthetic cells without pictures."""
    store = Store(folder)
    for number in range(count):
        cell = Cell("probe", "procedural", f"scene-{number % 100}", "iuvrgb", "G", "simulated", "quick-v1", number)
        rows = tuple(Measurement("psnr", 20 + number / count, f"view-{row}", "dB", True) for row in range(ROWS))
        finished = "2026-01-01T00:00:00+00:00"
        record = CellRecord(digest(number), cell, "ok", "none", "", rows, (), 1.0, 100.0, finished=finished)
        store.path(record.key).write_text(to_text(record), encoding="utf-8")


def step(name: str, folder: Path) -> None:
    """Run one step and print its seconds of processor time, and the peak memory of this process in MB."""
    store = Store(folder)
    keys = [path.stem for path in (folder / "cells").glob("*.json")]
    start = time.process_time()
    if name == "scan":
        assert len(store.finished_among(keys)) == len(keys)
    elif name == "compact":
        assert store.compact() == ROWS * len(keys)
    else:
        assert check_folder(folder).problems == ()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(keys):>7} cells  {name:<8} {time.process_time() - start:8.1f} s  {peak:8.0f} MB", flush=True)


def main() -> None:
    """Fill a folder for each number of cells and measure every step."""
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]))
        return
    for count in map(int, sys.argv[1:] or ("1000", "10000")):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), count)
            for name in ("scan", "compact", "verify"):
                subprocess.run([sys.executable, __file__, "--step", name, folder], check=True)


if __name__ == "__main__":
    main()
