"""What a measured block says of time and memory, and what identifies a class."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.machine.provenance import measured, package_versions, source_digest

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


def test_the_libraries_that_run_the_networks_are_among_the_versions() -> None:
    assert {"torch", "numpy", "transformers", "diffusers"} <= set(package_versions())


# ------------------------------------------------------------------------------------------------------------- classes

_FILES = {
    "plug_base": "class Base:\n    scale = 1\n",
    "plug_own": "from plug_base import Base\nLIMIT = 3\nclass Own(Base):\n    def limit(self):\n        return LIMIT\n",
    "plug_other": "class Other:\n    pass\n",
}


def _digest(folder: Path, monkeypatch: pytest.MonkeyPatch, **edits: str) -> str:
    """The digest of plug_own.Own as a fresh process sees it, with some of the modules edited."""
    source_digest.cache_clear()
    for name, text in {**_FILES, **edits}.items():
        path = folder / f"{name}.py"
        path.write_text(text)
        module = ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(text, path, "exec"), module.__dict__)
    return source_digest(sys.modules["plug_own"].Own)


def test_a_class_is_identified_by_the_files_of_its_modules_and_its_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _digest(tmp_path, monkeypatch)
    assert _digest(tmp_path, monkeypatch, plug_other="class Other:\n    edited = True\n") == first
    edited = {
        _digest(tmp_path, monkeypatch, plug_own=_FILES["plug_own"].replace("return LIMIT", "return -LIMIT")),
        _digest(tmp_path, monkeypatch, plug_own=_FILES["plug_own"].replace("LIMIT = 3", "LIMIT = 4")),
        _digest(tmp_path, monkeypatch, plug_base=_FILES["plug_base"].replace("1", "2")),
    }
    assert len(edited | {first}) == 4


def test_a_class_without_a_file_is_identified_by_its_name() -> None:
    made = [type(name, (), {"__module__": "written.in.a.console"}) for name in ("One", "Two", "One")]
    one, two, again = (source_digest(cls) for cls in made)
    assert one == again != two
