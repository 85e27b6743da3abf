"""What a measured block says of time and memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.machine.provenance import measured, package_versions

_RESETS = Path("/proc/self/clear_refs")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its memory's high-water mark")
def test_a_block_inside_another_counts_towards_both() -> None:
    """100 MB before, 50 MB within, 25 MB after: the outer peak is the first, the inner one its own."""

    def take(megabytes: int) -> None:
        np.ones(megabytes * 2**17).sum()

    with measured("cpu") as nothing:
        pass
    with measured("cpu") as outer:
        take(100)
        with measured("cpu") as inner:
            take(50)
        take(25)
    base = nothing.peak_memory_mb
    assert outer.peak_memory_mb - base > 90
    assert 40 < inner.peak_memory_mb - base < 90
    assert outer.seconds >= inner.seconds > 0
    with measured("cpu") as later:
        take(25)
    assert later.peak_memory_mb < outer.peak_memory_mb


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux tells what a process reads")
def test_bytes_are_counted_each_time_they_are_asked_for(tmp_path: Path) -> None:
    """A file of 8 MB read twice, once within an inner block, though the system has it in its cache."""
    path = tmp_path / "file"
    path.write_bytes(bytes(8 * 2**20))
    with measured("cpu") as outer:
        path.read_bytes()
        with measured("cpu") as inner:
            path.read_bytes()
    assert 8 <= inner.read_mb < 9
    assert 16 <= outer.read_mb < 17


def test_the_libraries_that_run_the_networks_are_among_the_versions() -> None:
    assert {"torch", "numpy", "transformers", "diffusers"} <= set(package_versions())
