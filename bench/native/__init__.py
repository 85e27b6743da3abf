"""The optional C++ kernels: one file each, a plain C interface (bench.native.signatures), loaded with ctypes.

`load("raster")` gives the library built for the best instruction set that this processor has, or None where it was not
built; `missing("raster")` says why. The environment variable BENCH_NATIVE=off turns all of them off, BENCH_NATIVE=base,
avx2 or avx512 forces a build (for tests); within `without_kernels()` they are off, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from bench.native.signatures import declare

_FOLDER = Path(__file__).parent
_BEST_FIRST = ("avx512", "avx2", "base")
_SWITCH = "BENCH_NATIVE"


def _allowed() -> tuple[str, ...]:
    forced = os.environ.get(_SWITCH, "")
    if forced == "off":
        return ()
    return (forced,) if forced else _runnable()


@functools.cache
def _runnable() -> tuple[str, ...]:
    """The builds that this processor runs, best first."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        return _BEST_FIRST
    return _BEST_FIRST[1:] if capability.startswith("AVX2") else _BEST_FIRST[2:]


def load(kernel: str) -> ctypes.CDLL | None:
    """The library of that kernel, or None where it was not built or is turned off."""
    return next((library for variant in _allowed() if (library := build(kernel, variant))), None)


@functools.cache
def build(kernel: str, variant: str) -> ctypes.CDLL | None:
    """One build of a kernel, whatever this processor runs; None where it was not built."""
    for path in sorted(_FOLDER.glob(f"_{kernel}_{variant}.*")):
        if path.suffix in {".so", ".pyd", ".dylib"}:
            library = ctypes.CDLL(str(path))
            declare(kernel, library)
            return library
    return None


def missing(kernel: str) -> str:
    """Why `load(kernel)` gives None, and what to do; "" where it gives a library."""
    if load(kernel) is not None:
        return ""
    if os.environ.get(_SWITCH) == "off":
        return "turned off by BENCH_NATIVE=off"
    return "not built: install a C++17 compiler and run `pip install` again"


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Within the block every kernel is off, as with BENCH_NATIVE=off, here and in processes started there."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
