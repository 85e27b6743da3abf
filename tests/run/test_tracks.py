"""What a cell's key depends on, and whose memory a cell is charged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.cells import Cell
from bench.core.registry import load_plugin
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.geometry.track import GeometryTrack
from bench.machine.provenance import measured
from bench.registry import estimators
from bench.run.keys import cell_key
from bench.run.planning.plan import make_plan
from bench.run.request import Request
from bench.types import Array, Card, GeometryEstimator, Prediction

_MEGABYTES = 200


class _Large(GeometryEstimator):
    card = Card(name="Large")
    loads = 0

    def load(self, device: torch.device) -> None:
        type(self).loads += 1
        self.ballast = torch.ones(_MEGABYTES * 2**18)

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        return Prediction(depth_metric=np.ones(image.shape[:2], np.float32))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    list(estimators)
    monkeypatch.setattr(_Large, "loads", 0)
    monkeypatch.setattr(estimators, "_classes", {**estimators._classes, "large": _Large})
    return Settings(None, tmp_path, "cpu", "random")


def _cells(track: str, *models: str) -> list[Cell]:
    plan = make_plan(Request(models=models, modes=("G",), protocols=(), weights="random"))
    return [cell for cell in plan.cells if cell.track == track]


def _peak(cells: list[Cell], settings: Settings) -> float:
    residents = Residents()
    with measured("cpu") as cost:
        for cell in cells:
            GeometryTrack().run(cell, settings, residents)
    return cost.peak_memory_mb


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its memory's high-water mark")
def test_a_cell_is_not_charged_the_network_of_another(settings: Settings) -> None:
    large, plane = _cells("geometry", "large")[:2], _cells("geometry", "plane")[:1]
    _peak(plane, settings)  # what a first cell leaves behind for all later ones
    alone = _peak(plane, settings)
    assert _peak(large, settings) > alone + _MEGABYTES * 0.7
    assert _peak(plane, settings) < alone + _MEGABYTES * 0.3
    assert _Large.loads == 1, "neighbouring cells share a network"


def test_editing_a_constant_of_a_plugin_changes_the_key(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, keys = tmp_path / "own.py", []
    for level in (1, 2, 1):
        file.write_text(
            "from bench.registry import estimators\nfrom bench.types import Card, GeometryEstimator\n"
            f"LEVEL = {level}\n@estimators.register('own')\nclass Own(GeometryEstimator):\n    card = Card(name='Own')\n"
            "    def predict(self, image, intrinsics=None):\n        raise NotImplementedError\n"
        )
        load_plugin(str(file))
        keys.append(cell_key(_cells("geometry", "own")[0], settings))
    assert keys[0] == keys[2] != keys[1]
