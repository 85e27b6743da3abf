"""Stand-ins for a library that is not installed: classes can be defined, nothing can be computed, nothing stays behind."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from bench.core import absent

PLUGIN = """
from __future__ import annotations
import nolibrary
import nolibrary.nn.functional as F
from nolibrary import Tensor, nn
from nolibrary.utils.data import Dataset as Data

MEAN = 2 * (nolibrary.tensor([0.5, 0.5]) / 255).reshape(1, 2)[0]
NEW = nolibrary.__version__ >= "2"
Either = Tensor | None


class Block(nn.Module):
    @nolibrary.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)

    @nolibrary.inference_mode
    def other(self) -> int:
        return 3


class Plain:
    title = "a card"
"""


USES = """
import nolibrary


def doubled(x: nolibrary.Tensor) -> nolibrary.Tensor:
    return nolibrary.add(x, x)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(absent, "LIBRARY", "nolibrary")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "written_with_nolibrary.py").write_text(PLUGIN)
    (tmp_path / "uses_nolibrary.py").write_text(USES)
    return "written_with_nolibrary"


def test_classes_are_defined_and_nothing_is_left_of_the_library(plugin: str) -> None:
    finders = list(sys.meta_path)
    with absent.cards_can_be_read():
        module = importlib.import_module(plugin)
    assert module.Plain.title == "a card"
    assert module.Block().other() == 3
    assert sys.meta_path == finders
    assert [name for name in sys.modules if name.startswith("nolibrary")] == []
    with absent.cards_can_be_read():
        importlib.import_module("uses_nolibrary")
    for name in (plugin, "uses_nolibrary"):
        with pytest.raises(ModuleNotFoundError, match="nolibrary"):
            importlib.import_module(name)


def test_a_library_that_is_there_is_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "LIBRARY", "colorsys")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert not absent.is_absent()
    with absent.cards_can_be_read():
        assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)
