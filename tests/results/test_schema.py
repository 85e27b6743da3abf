"""The row format: what is accepted, what is refused, and that the JSON schema says the same as the code."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from bench.results.schema import IDENTITY, PUBLISHED_COLUMNS, ROW_COLUMNS, ROW_SCHEMA, as_rows, validate_rows
from bench.types import UserError

GOOD: dict[str, Any] = {
    "track": "probe",
    "dataset": "llff",
    "scene": "fern",
    "view": "0",
    "model": "dino",
    "mode": "G",
    "pointmap": "sparse",
    "alignment": "-",
    "protocol": "quick-v1",
    "seed": 0,
    "metric": "psnr",
    "value": 20.0,
    "unit": "dB",
    "higher_is_better": True,
    "status": "ok",
    "note": "",
    "weights": "random",
    "weights_digest": "",
    "pointmap_digest": "b" * 64,
    "role": "model",
    "start": "estimated",
    "quick": True,
    "device": "cpu",
    "seconds": 1.5,
    "peak_memory_mb": 100.0,
    "read_mb": 12.5,
    "key": "a" * 64,
    "code_version": "0.1.0",
}
#: What a row may not be, and a word that the message must hold. Each alone makes a good row bad.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"track": "sound"}, "track"),
    ({"status": "fine", "value": None}, "status"),
    ({"weights": "stolen"}, "weights"),
    ({"role": "judge"}, "role"),
    ({"weights_digest": "sha256"}, "weights_digest"),
    ({"pointmap_digest": "B" * 64}, "pointmap_digest"),
    ({"start": "guessed"}, "start"),
    ({"dataset": ""}, "dataset"),
    ({"model": ""}, "model"),
    ({"value": math.nan}, "finite"),
    ({"status": "failed"}, "not ok"),
    ({"seed": -1}, "seed"),
    ({"seed": None}, "seed"),
    ({"seconds": -0.1}, "seconds"),
    ({"key": ""}, "key"),
    ({"key": "A" * 64}, "key"),
    ({"key": "a" * 65}, "key"),
    ({"protocol": "published", "key": ""}, "published"),
    ({"protocol": "published", "seed": None}, "key"),
]


def frame(*changes: dict[str, Any]) -> pd.DataFrame:
    return as_rows(pd.DataFrame([{**GOOD, **change} for change in changes]))


def as_json(rows: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(rows.to_json(orient="records", double_precision=15))
    return records


def test_the_columns_are_the_agreed_ones_in_their_order() -> None:
    assert list(frame({}).columns) == list(ROW_COLUMNS) == list(GOOD)
    assert list(PUBLISHED_COLUMNS) == [*ROW_COLUMNS, "source"]
    assert set(IDENTITY) < set(ROW_COLUMNS)
    assert {column: str(dtype) for column, dtype in frame({}).dtypes.items()} == ROW_COLUMNS


def test_good_rows_have_no_problem() -> None:
    gap = {"view": "1", "status": "failed", "value": None, "note": "out of memory"}
    published = {"protocol": "published", "seed": None, "key": "", "seconds": None, "higher_is_better": None}
    rows = frame({}, gap, published)
    assert validate_rows(rows) == []
    for record in as_json(rows):
        jsonschema.validate(record, ROW_SCHEMA)


@pytest.mark.parametrize(("change", "word"), BAD)
def test_every_fault_is_named_and_the_json_schema_refuses_it_too(change: dict[str, Any], word: str) -> None:
    rows = frame({}, {**change, "view": "1"})
    problems = validate_rows(rows)
    assert len(problems) == 1
    assert word in problems[0]
    assert "1 of 2 rows, first at row 1" in problems[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json(rows)[1], ROW_SCHEMA)


def test_an_infinite_value_is_no_value() -> None:
    assert "finite" in validate_rows(frame({"value": math.inf}))[0]


def test_a_repeated_measurement_is_found() -> None:
    problems = validate_rows(frame({}, {"view": "1"}, {"value": 21.0}))
    assert len(problems) == 1
    assert "stands twice" in problems[0]


def test_missing_and_foreign_columns_are_named() -> None:
    lacking = frame({}).drop(columns="metric").assign(colour="red")
    (problem,) = validate_rows(lacking)
    assert "missing columns metric" in problem
    assert "unknown columns colour" in problem
    with pytest.raises(UserError, match="metric"):
        as_rows(lacking)


def test_a_column_of_the_wrong_type_is_named() -> None:
    with pytest.raises(UserError, match="'value'"):
        as_rows(pd.DataFrame([{**GOOD, "value": "high"}]))


def test_rows_survive_csv_and_parquet(tmp_path: Any) -> None:
    rows = frame({"value": 0.1 + 0.2}, {"view": "1", "status": "unavailable", "value": None, "higher_is_better": None})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    for read in (pd.read_csv(tmp_path / "rows.csv"), pd.read_parquet(tmp_path / "rows.parquet")):
        pd.testing.assert_frame_equal(as_rows(read), rows, check_exact=True)


def test_a_hundred_thousand_rows_are_checked_whole() -> None:
    rows = frame({}).loc[[0] * 100_000].reset_index(drop=True)
    rows["scene"] = [f"scene-{index}" for index in range(len(rows))]
    rows.loc[77_777, "value"] = np.nan
    (problem,) = validate_rows(rows)
    assert "1 of 100000 rows, first at row 77777" in problem
