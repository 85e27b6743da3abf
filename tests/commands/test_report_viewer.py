"""`bench report --viewer`: which probes of which scene are shown, and in which order."""

from __future__ import annotations

import dataclasses

import pytest

from bench.commands.splats.viewer import best_of_a_scene
from bench.core.cells import Cell, Marks, Measurement
from bench.core.errors import UserError
from bench.results.record import CellRecord

CELL = Cell("probe", "procedural", "room", "a", "G", "simulated", "quick-v1", 0)


def probe(model: str, psnr: float, role: str = "", weights: str = "pretrained", **change: str) -> CellRecord:
    cell = dataclasses.replace(CELL, model=model, **change)  # type: ignore[arg-type]
    measured = tuple(Measurement("psnr", psnr + off, f"view{off}", "dB", True) for off in (-1, 1))
    marks = Marks(role=role, start="simulated", quick=True) if role else Marks(start="simulated", quick=True)
    return CellRecord(f"{model}-{cell.scene}", cell, "ok", weights, measurements=measured, marks=marks)


def test_the_best_three_and_the_best_floor_of_the_scene_that_most_share() -> None:
    records = [
        probe("oracle", 40, "oracle"),
        probe("fourth", 10),
        probe("best", 30),
        probe("floor", 25, "control"),
        probe("lower-floor", 12, "control"),
        probe("third", 15),
        probe("second", 20),
        probe("twin", 11, weights="random"),
        probe("best", 50, scene="table"),
        probe("best", 50, mode="T"),
    ]
    names = [record.cell.model for record in best_of_a_scene(records)]
    assert names == ["best", "second", "third", "floor", "fourth", "lower-floor", "twin"]
    assert {record.cell.scene for record in best_of_a_scene(records)} == {"room"}


def test_one_model_alone_has_nothing_to_stand_beside() -> None:
    with pytest.raises(UserError, match="no scene has probes of 2 models in mode G"):
        best_of_a_scene([probe("best", 30), probe("best", 50, mode="T")])
