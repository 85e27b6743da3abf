"""Loading the C++ kernels, turning them off, and what the process does with freed memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import native
from bench.native.signatures import SIGNATURES

KERNELS = ("raster", "readout", "align")


@pytest.mark.parametrize("before", [None, "base", "off"])
def test_kernels_are_off_within_the_block_and_the_setting_comes_back(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_NATIVE", raising=False)
    if before:
        monkeypatch.setenv("BENCH_NATIVE", before)
    loaded = {kernel: native.load(kernel) for kernel in KERNELS}
    with native.without_kernels():
        for kernel in KERNELS:
            assert native.load(kernel) is None
            assert native.missing(kernel) == "turned off by BENCH_NATIVE=off"
    assert os.environ.get("BENCH_NATIVE") == before
    assert {kernel: native.load(kernel) for kernel in KERNELS} == loaded  # the same objects: nothing is loaded twice
    if before == "off":
        assert not any(loaded.values())


def test_the_setting_comes_back_after_an_error_and_from_a_block_within(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_NATIVE", "base")

    def fail() -> None:
        with native.without_kernels():
            with native.without_kernels():
                pass
            assert native.load("raster") is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.environ["BENCH_NATIVE"] == "base"


def test_a_kernel_that_was_not_built_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_NATIVE", "no such build")
    assert native.load("raster") is None
    assert "C++17 compiler" in native.missing("raster")


_FAULTS = """
import ctypes, resource, sys
from bench.native.memory import keep_freed_memory

assert sys.argv[1] == "default" or keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
size = ctypes.c_size_t(int(sys.argv[2]))
def work():
    held = [ctypes.c_void_p(library.malloc(size)) for _ in range(3)]
    for block in held:
        library.memset(block, 1, size)
    for block in held:
        library.free(block)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
@pytest.mark.parametrize("size", [1 << 20, 20 << 20])  # glibc before 2.35 keeps no block above 32 MiB
def test_freed_memory_is_kept(size: int) -> None:
    """Blocks that were freed come back with their pages; by default larger ones are new pages every time."""

    def faults(mode: str) -> int:
        command = [sys.executable, "-c", _FAULTS, mode, str(size)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    pages = 5 * 3 * size // mmap.PAGESIZE
    assert faults("keep") < 0.02 * pages
    assert faults("default") > 0.5 * pages


_C_TYPES = {"int": ctypes.c_int, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "double": ctypes.c_double}


def _declared_in_c(kernel: str) -> dict[str, list[object]]:
    """The exported functions of a kernel's source: name -> type of the result, then of each argument; "pointer" for any
    pointer, None for void."""
    source = (Path(native.__file__).parent / f"{kernel}.cpp").read_text()
    found = {}
    for result, name, arguments in re.findall(r"^(?:EXPORT|RASTER_API) (\w+\*?) (\w+)\(([^)]*)\)", source, re.MULTILINE):
        types = [result.strip(), *(each.rpartition(" ")[0].removeprefix("const ").strip() for each in arguments.split(","))]
        found[name] = ["pointer" if "*" in each else _C_TYPES.get(each) for each in types]
    return found


@pytest.mark.parametrize("kernel", KERNELS)
def test_declared_types_are_those_of_the_source(kernel: str) -> None:
    in_c = _declared_in_c(kernel)
    assert in_c.keys() == SIGNATURES[kernel].keys()
    for name, (result, arguments) in SIGNATURES[kernel].items():
        plain = set(_C_TYPES.values()) | {None}
        assert [each if each in plain else "pointer" for each in (result, *arguments)] == in_c[name], name


@pytest.mark.skipif(native.load("align") is None, reason="the kernel was not built")
def test_a_call_with_other_arguments_raises() -> None:
    library = native.load("align")
    assert library is not None
    with pytest.raises(TypeError):
        library.align_groups(1, 2)
    with pytest.raises(ctypes.ArgumentError):
        library.align_groups(*[0] * 9, "1.0", 0.0, 0)
