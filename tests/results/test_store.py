"""The store: atomic, resumable, tidy."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.results.record import CellRecord
from bench.results.schema import ROW_COLUMNS, validate_rows
from bench.results.store import Store, read_rows, rows_of
from bench.types import Measurement, UserError

CELL = Cell("probe", "procedural", "room", "iuvrgb", "G", "ground-truth", "quick-v1", 0)


def record(cell: Cell = CELL, **changes: object) -> CellRecord:
    made = CellRecord(
        key=json_digest(str(cell)),
        cell=cell,
        status="ok",
        weights="none",
        measurements=(
            Measurement("psnr", 21.5, view="test0", unit="dB", higher_is_better=True),
            Measurement("lpips", math.nan, view="test0", higher_is_better=False, status="unavailable", note="no weights"),
        ),
        seconds=1.5,
        peak_memory_mb=100.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    saved = record()
    store.save(saved, {"render": np.full((2, 3, 3), 7, np.uint8)})
    read = store.read(saved.key)
    assert read is not None
    assert read.measurements[0] == saved.measurements[0]
    assert math.isnan(read.measurements[1].value)
    assert read.pictures == ("render",)
    assert (tmp_path / "pictures" / saved.key / "render.png").is_file()
    assert store.finished(saved.key)


def _digests(provenance: object) -> tuple[str, str]:
    (row,) = rows_of([record(status="failed", measurements=(), provenance=provenance)]).itertuples()
    return str(row.weights_digest), str(row.pointmap_digest)


def test_rows_say_which_weights_were_loaded() -> None:
    one, two = "1" * 64, "2" * 64
    assert _digests({"weights": {"dino": f"pretrained:sha256:{one}"}, "pointmap_weights": f"sha256:{two}"}) == (one, two)
    random = {"weights": {"dino": "random:hf:a/b"}, "pointmap_weights": ""}
    assert _digests(random) == _digests({}) == _digests({"weights": {}}) == ("", "")
    joined = {"weights": {"radio": f"pretrained:sha256:{two}", "dino": f"pretrained:sha256:{one}", "iuv": "none:"}}
    of_digests = hashlib.sha256(f'{{"dino": "{one}", "iuv": "", "radio": "{two}"}}'.encode()).hexdigest()
    assert _digests(joined) == (of_digests, "")
    unknown = {"weights": {"dino": "pretrained:hf:a/b"}}
    older = {"weights": {"dino": f"pretrained:sha256:{one}+{two}"}}
    hostile = {"weights": [one], "pointmap_weights": {"sha256:": "<script>"}}
    assert _digests(unknown) == _digests(older) == _digests(hostile) == ("", "")
    partly = {"weights": {"radio": f"pretrained:sha256:{two}", "dino": "pretrained:hf:a/b"}}
    assert _digests(partly) == ("", ""), "it would be the same whichever weights dino had"


def _read(told: object) -> float:
    (row,) = rows_of([record(status="failed", measurements=(), provenance={"read_mb": told})]).itertuples()
    return float(row.read_mb)


def test_rows_say_what_a_cell_read_where_that_is_known() -> None:
    assert _read(12.5) == 12.5
    assert _read(0) == 0
    assert all(math.isnan(_read(told)) for told in (None, True, "12", -1.0, 10**400, [1.0]))


def test_rows_are_tidy_and_valid(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record(), {})
    store.save(record(replace(CELL, mode="T"), status="failed", error="boom", measurements=()), {})
    assert store.compact() == 3
    rows = read_rows(tmp_path)
    assert list(rows) == list(ROW_COLUMNS)
    assert validate_rows(rows) == []
    assert sorted(rows["status"]) == ["failed", "ok", "unavailable"]
    failed = rows[rows["status"] == "failed"].iloc[0]
    assert failed["note"] == "boom"
    assert math.isnan(failed["value"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "rows.parquet"), rows, check_dtype=False)


def test_failed_cells_are_due_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failed = record(status="failed", error="boom", measurements=())
    store.save(failed, {})
    assert not store.finished(failed.key)


def test_a_newer_cell_of_the_same_identity_replaces_the_older_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record(), {})
    newer = record(key=json_digest("other code"), measurements=(Measurement("psnr", 30.0),))
    store.save(newer, {})
    assert [each.key for each in store.records()] == [newer.key]


def test_leftover_temporary_files_are_not_cells(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record(), {})
    (tmp_path / "cells" / ".half-written.json").write_text("{")
    assert len(list(store.records())) == 1


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path("ab").write_text("{")
    with pytest.raises(UserError, match=r"ab\.json is not a stored cell"):
        list(store.records())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stored: [stored], "it holds no object"),
        (lambda stored: stored["cell"].update(track="prob"), "track is 'prob', not one of probe, geometry"),
        (lambda stored: stored["cell"].update(seed="one"), "seed is 'one', not a number"),
        (lambda stored: stored.update(status="okay"), "status is 'okay', not one of ok, failed, unavailable"),
        (lambda stored: stored.update(weights=None), "weights is None, not one of"),
        (lambda stored: stored["measurements"][0].update(value="high"), "psnr is 'high', not a number"),
        (lambda stored: stored["measurements"][0].update(status="fine"), "status of a measurement is 'fine'"),
        (lambda stored: stored["measurements"][0].pop("value"), "a measurement lacks or does not know value"),
    ],
)
def test_a_cell_edited_by_hand_is_named_with_the_field(tmp_path: Path, change: Any, said: str) -> None:
    store = Store(tmp_path)
    store.save(record(), {})
    path = store.path(record().key)
    stored = json.loads(path.read_text())
    changed = change(stored)
    path.write_text(json.dumps(changed if isinstance(changed, list) else stored))
    with pytest.raises(UserError, match=rf"\.json is not a stored cell .*{said}"):
        read_rows(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_one_clear_message(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Store(blocked / "results")
    with pytest.raises(UserError, match="holds no results"):
        read_rows(tmp_path)
