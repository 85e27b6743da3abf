"""`bench report --viewer`: which probes of which scene are shown, and in which order."""

from __future__ import annotations

import dataclasses

from bench.commands.splats.viewer import best_shared
from bench.core.cells import Cell, Marks, Measurement
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
    names = [record.cell.model for record in best_shared(records, "probe", 2, 4)]
    assert names == ["best", "second", "third", "floor", "fourth", "lower-floor", "twin"]
    assert {record.cell.scene for record in best_shared(records, "probe", 2, 4)} == {"room"}


def test_one_model_alone_has_nothing_to_stand_beside() -> None:
    assert best_shared([probe("best", 30), probe("best", 50, mode="T")], "probe", 2, 4) == []


def test_predictions_are_ordered_under_the_alignment_that_most_have() -> None:
    """Lower is better, and a stronger alignment that one model has besides does not count."""

    def cell(model: str, role: str = "model", **rel: float) -> CellRecord:
        place = Cell("geometry", "nyuv2", "a", model, "-", "-", "moge-v1", 0)
        rows = tuple(Measurement("rel", value, "a", "share", False, block) for block, value in rel.items())
        return CellRecord(model, place, "ok", "pretrained", measurements=rows, marks=Marks(role=role))  # type: ignore[arg-type]

    records = [
        cell("worse", depth_affine_invariant=0.2, points_metric=0.01),
        cell("unmeasured"),
        cell("better", depth_affine_invariant=0.1),
        cell("plane", "control", depth_affine_invariant=0.5),
        probe("best", 30),
    ]
    assert [each.cell.model for each in best_shared(records, "geometry", 1, 3)] == ["better", "worse", "plane", "unmeasured"]
