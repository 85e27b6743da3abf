"""What identifies the code of a class: every file of its package that it can run, and nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from bench.core.registry import estimators, features
from bench.machine.source import source_digest, source_files

FILES = {
    "zoo/__init__.py": "",
    "zoo/models/__init__.py": "from zoo.models import shared_constants\n",
    "zoo/models/shared_constants.py": "WIDTH = 3\n",
    "zoo/models/own.py": "from zoo.support.base import Base\nclass Own(Base):\n    pass\n",
    "zoo/models/other.py": "class Other:\n    pass\n",
    "zoo/support/__init__.py": "",
    "zoo/support/base.py": (
        "import numpy\nfrom bench.core.errors import UserError\nfrom . import steps\n"
        "class Base:\n    def run(self):\n        from ..networks.net import build\n        return build, steps\n"
    ),
    "zoo/support/steps.py": "import beside\n",
    "zoo/networks/__init__.py": "",
    "zoo/networks/net.py": "import importlib\ndef build():\n    return importlib.import_module('zoo.networks.late')\n",
    "zoo/networks/late.py": "DEPTH = 1\n",
    "zoo/networks/unused.py": "DEPTH = 1\n",
    "beside.py": "import zoo.support.steps\nRATE = 1\n",
}
#: Neither imported by the class's modules nor a package that they lie in.
UNRELATED = {"zoo/models/other.py", "zoo/networks/unused.py"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _digest(monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of zoo.models.own.Own as a fresh process sees it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("zoo", "beside")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return source_digest(importlib.import_module("zoo.models.own").Own)


@pytest.mark.parametrize("edited", sorted(FILES))
def test_the_digest_follows_every_file_that_the_class_runs_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    first = _digest(monkeypatch)
    with (folder / edited).open("a") as file:
        file.write("EDITED = True\n")
    assert (_digest(monkeypatch) == first) is (edited in UNRELATED)
    (folder / edited).write_text(FILES[edited])
    assert _digest(monkeypatch) == first


def test_a_single_file_is_followed_into_its_neighbours_and_not_into_libraries(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "single.py").write_text("import beside, numpy\nclass Single:\n    pass\n")
    importlib.invalidate_caches()
    found = source_files(importlib.import_module("single").Single)
    monkeypatch.delitem(sys.modules, "single")
    assert {"single", "beside"} <= set(found)
    assert not [name for name in found if name.startswith(("numpy", "bench"))]


def test_the_networks_of_the_suites_own_models_count() -> None:
    for registry in (features, estimators):
        # Not what other tests have registered in this process.
        own = [name for name in registry if registry[name].__module__.startswith("registry.")]
        assert own
        for name in own:
            files = source_files(registry[name])
            assert registry[name].__module__ in files
            assert all(file.startswith("registry") for file in files), name


def test_a_class_without_a_file_is_identified_by_its_name() -> None:
    made = [type(name, (), {"__module__": "written.in.a.console"}) for name in ("One", "Two", "One")]
    one, two, again = (source_digest(cls) for cls in made)
    assert one == again != two
