"""Results of the first row format are read as the present one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.core.cells import Cell, Marks
from bench.results.migration import marks_of_version_1, migrated
from bench.results.record import CellRecord, digest
from bench.results.store import Store, read_rows

ADDED = ["role", "start", "quick"]


@pytest.mark.parametrize(
    ("model", "pointmap", "protocol", "expected"),
    [
        ("dino@jbu+iuvrgb", "sparse", "paper-v1", Marks("model", "estimated", False)),
        ("dino+oracle-xyz", "simulated", "quick-v1", Marks("oracle", "simulated", True)),
        ("random-vit", "noisy-ground-truth", "paper-v1", Marks("control", "true", False)),
        ("oracle", "-", "moge-v1", Marks("oracle", "-", False)),
        ("oraclenet", "my-truth", "paper-v1", Marks("model", "estimated", False)),
        ("-", "ground-truth", "quick-v1", Marks("model", "true", True)),
    ],
)
def test_what_the_first_format_left_to_names_is_told(model: str, pointmap: str, protocol: str, expected: Marks) -> None:
    assert marks_of_version_1(model, pointmap, protocol) == expected


def test_rows_without_marks_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    marks = Marks("oracle", "simulated", True)
    cell = Cell("probe", "procedural", "room", "oracle-xyz", "G", "simulated", "quick-v1", 0)
    store.save(CellRecord(digest("a"), cell, "failed", "none", "broken", marks=marks), {})
    store.compact()
    rows = read_rows(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    rows.drop(columns=ADDED).to_csv(old / "rows.csv", index=False)
    pd.testing.assert_frame_equal(read_rows(old), rows)
    pd.testing.assert_frame_equal(migrated(rows), rows)
