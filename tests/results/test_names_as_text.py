"""Names of scenes, views and models are text in every file of rows, whatever they look like."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.results.schema import ROW_COLUMNS, as_rows
from bench.results.tables import read_table

NAMES = [
    "0000000005",
    "5",
    "1e5",
    "007",
    "NA",
    "nan",
    "None",
    "True",
    "null",
    "N/A",
    "#6",
    "Living room, day 2",
    '"',
    " a ",
    "é",
]


def rows(names: list[str]) -> pd.DataFrame:
    """A row for each name, which stands in every column of text."""
    fixed = {"track": "geometry", "status": "ok", "weights": "none", "protocol": "moge-v1", "key": "0" * 64}
    numbers = {"Int64": 0, "float64": 0.1 + 0.2, "boolean": True}
    columns = {
        column: names if dtype == "str" and column not in fixed else [fixed.get(column, numbers.get(dtype))] * len(names)
        for column, dtype in ROW_COLUMNS.items()
    }
    return as_rows(pd.DataFrame(columns))


def written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), min_size=1))
@example(names=NAMES)
@example(names=["NA"])
@example(names=["0000000005", "0000000050"])
def test_names_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, suffix: str, names: list[str]) -> None:
    frame = rows(names)
    read = as_rows(read_table(written(frame, tmp_path_factory.getbasetemp() / f"rows{suffix}")))
    pd.testing.assert_frame_equal(read, frame, check_exact=True)


def test_missing_numbers_and_missing_text_come_back(tmp_path: Path) -> None:
    frame = rows(["a", "b"])
    frame.loc[0, ["value", "seconds", "seed", "higher_is_better"]] = None
    frame.loc[0, ["note", "unit"]] = ""
    for suffix in (".csv", ".parquet"):
        pd.testing.assert_frame_equal(as_rows(read_table(written(frame, tmp_path / f"rows{suffix}"))), frame)


def test_a_byte_order_mark_is_no_letter_of_the_first_column(tmp_path: Path) -> None:
    frame = rows(["a"])
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(as_rows(read_table(tmp_path / "rows.csv")), frame)
