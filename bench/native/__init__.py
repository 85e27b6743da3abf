"""The optional C++ kernels: one file each, a plain C interface, loaded with ctypes.

`load("raster")` gives the library built for the best instruction set that this processor has, or None where it was not
built; `missing("raster")` says why. The environment variable BENCH_NATIVE=off turns all of them off, BENCH_NATIVE=base,
avx2 or avx512 forces a build (for tests).
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

_FOLDER = Path(__file__).parent
_BEST_FIRST = ("avx512", "avx2", "base")


def _allowed() -> tuple[str, ...]:
    forced = os.environ.get("BENCH_NATIVE", "")
    if forced == "off":
        return ()
    if forced:
        return (forced,)
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        return _BEST_FIRST
    return _BEST_FIRST[1:] if capability.startswith("AVX2") else _BEST_FIRST[2:]


@functools.cache
def load(kernel: str) -> ctypes.CDLL | None:
    """The library of that kernel, or None where it was not built or is turned off."""
    for variant in _allowed():
        for path in sorted(_FOLDER.glob(f"_{kernel}_{variant}.*")):
            if path.suffix in {".so", ".pyd", ".dylib"}:
                return ctypes.CDLL(str(path))
    return None


def missing(kernel: str) -> str:
    """Why `load(kernel)` gives None, and what to do; "" where it gives a library."""
    if load(kernel) is not None:
        return ""
    if os.environ.get("BENCH_NATIVE") == "off":
        return "turned off by BENCH_NATIVE=off"
    return "not built: install a C++17 compiler and run `pip install` again"
