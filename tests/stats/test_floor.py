"""What lies below the control without information, from rows whose answer is worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from bench.core.cells import collapsed_note, value_in_note
from bench.results.schema import ROW_COLUMNS, as_rows
from bench.stats.floor import below_floor


def rows_of(*given: dict[str, Any]) -> pd.DataFrame:
    usual = {name: "-" if kind == "str" else None for name, kind in ROW_COLUMNS.items()}
    usual |= {"track": "probe", "dataset": "d", "scene": "s", "mode": "G", "protocol": "paper-v1", "seed": 0}
    usual |= {"metric": "psnr", "status": "ok", "note": "", "weights": "none", "role": "model"}
    return as_rows(pd.DataFrame([{**usual, "model": "net", "view": "a", "key": "0" * 64, **row} for row in given]))


def floor(**given: Any) -> dict[str, Any]:
    return {"model": "nothing", "role": "floor", **given}


def found(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    table = below_floor(rows, "psnr", True)
    return list(table[["model", "scene", "mode", "seed", "value", "floor"]].itertuples(index=False, name=None))


def test_the_floor_is_of_the_same_scene_mode_and_protocol_over_its_views_and_seeds() -> None:
    rows = rows_of(
        floor(value=10.0),
        floor(value=14.0, view="b"),
        floor(value=15.0, seed=1),
        floor(value=17.0, seed=1, view="b"),  # 14.0 in all
        {"value": 13.0},
        {"value": 14.9, "view": "b"},  # 13.95: below
        {"value": 14.1, "seed": 1},  # above
        {"value": 1.0, "mode": "T"},  # no floor there
        {"value": 1.0, "scene": "other"},
        {"value": 1.0, "protocol": "quick-v1"},
        {"value": 1.0, "pointmap": "colmap"},
        {"value": 1.0, "metric": "ssim"},
        {"value": 2.0, "model": "same", "role": "control"},
    )
    assert found(rows) == [("net", "s", "G", 0, pytest.approx(13.95), 14.0), ("same", "s", "G", 0, 2.0, 14.0)]


def test_a_collapsed_floor_counts_with_what_its_note_tells_and_a_collapsed_cell_is_no_score_anyhow() -> None:
    note = collapsed_note(7.125) + "; mask of a reconstruction"
    rows = rows_of(
        floor(value=None, status="collapsed", note=note),
        {"value": 7.0},
        {"value": None, "status": "collapsed", "note": collapsed_note(6.0), "seed": 1},
        {"value": 6.0, "seed": 2},
        {"value": None, "status": "invalid", "view": "b", "seed": 2},
    )
    assert found(rows) == [("net", "s", "G", 0, 7.0, 7.125)]


def test_a_floor_without_a_value_is_none() -> None:
    assert not found(rows_of(floor(value=None, status="invalid"), floor(value=9.0, view="b"), {"value": 1.0}))
    assert not found(rows_of({"value": 1.0}))
    assert not found(rows_of({"value": 1.0}).head(0))


def test_where_lower_is_better_above_the_floor_is_below_it() -> None:
    table = below_floor(rows_of(floor(value=0.5), {"value": 0.6}, {"value": 0.4, "model": "good"}), "psnr", False)
    assert list(table["model"]) == ["net"]


def test_only_notes_of_collapsed_measurements_tell_a_value() -> None:
    assert value_in_note(collapsed_note(12.34567)) == pytest.approx(12.35)
    assert math.isnan(value_in_note("the value is nan"))
    assert math.isnan(value_in_note(""))
