"""rows.parquet stands for the cells as long as it was written from them, and never otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.cells import Cell
from bench.machine.digests import json_digest
from bench.results import store as store_module
from bench.results.record import CellRecord, from_file, to_text
from bench.results.schema import ROW_COLUMNS
from bench.results.store import Store, read_rows, rows_of
from bench.results.tables import to_frame
from bench.stats.aggregate import per_dataset, per_scene, plain
from bench.types import Measurement

CELL = Cell("probe", "procedural", "room", "iuvrgb", "G", "ground-truth", "quick-v1", 0)


def _record(model: str, scene: str, value: float, **changes: Any) -> CellRecord:
    cell = replace(CELL, model=model, scene=scene)
    measured = (
        Measurement("psnr", value, "left", "dB", True),
        Measurement("psnr", value + 1, "right", "dB", True),
        Measurement("lpips", float("nan"), "left", "", False, status="unavailable", note="no weights"),
    )
    made = CellRecord(json_digest(str(cell)), cell, "ok", "none", "", measured, provenance={"device_name": f"of {scene}"})
    return replace(made, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models on three scenes; one cell failed, one was never run. Compacted."""
    store = Store(tmp_path)
    for place, model in enumerate(("c", "a", "b")):
        for number, scene in enumerate(("room", "attic", "table")):
            if (model, scene) == ("b", "attic"):
                continue
            failed = {"status": "failed", "error": "boom", "measurements": ()} if (model, scene) == ("a", "table") else {}
            store.save(_record(model, scene, 20.0 + place + number / 3, **failed), {})
    store.compact()
    return tmp_path


def _from_cells(folder: Path) -> pd.DataFrame:
    return rows_of(Store(folder, create=False).records())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The cells that the store opens."""
    paths: list[Path] = []

    def counted(path: Path) -> CellRecord:
        paths.append(path)
        return from_file(path)

    monkeypatch.setattr(store_module, "from_file", counted)
    return paths


def test_of_a_compacted_folder_all_rows_are_read_without_opening_a_cell(folder: Path, opened: list[Path]) -> None:
    held = Store(folder, create=False).held()
    assert opened == []
    assert held.machines == ("of attic", "of room", "of table")
    pd.testing.assert_frame_equal(plain(to_frame([held.rows])), _from_cells(folder))
    pd.testing.assert_frame_equal(read_rows(folder), _from_cells(folder))


def _edited(folder: Path) -> None:
    path = Store(folder).path(json_digest(str(replace(CELL, model="c"))))
    path.write_text(path.read_text().replace("20.0", "29.0"), encoding="utf-8")


def _another(folder: Path) -> None:
    Store(folder).save(_record("d", "room", 1.0), {})


def _removed(folder: Path) -> None:
    Store(folder).path(json_digest(str(replace(CELL, model="c")))).unlink()


def _planned_anew(folder: Path) -> None:
    Store(folder).plan({(replace(CELL, model="c"), "none"): "0" * 64})


def _of_another_version(folder: Path) -> None:
    _rewritten(folder, lambda table: table, source="0" * 64)


def _hostile(folder: Path) -> None:
    """Says that it is of the cells, and names a file outside."""
    _rewritten(folder, lambda table: _with(table, "key", "../../../../etc/passwd"))


def _of_no_track(folder: Path) -> None:
    _rewritten(folder, lambda table: _with(table, "track", "<script>"))


def _cut_off(folder: Path) -> None:
    path = folder / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _spoilt(folder: Path) -> None:
    """One byte of the values, as a bad disk has it: the table can still be read."""
    path = folder / "rows.parquet"
    values = pq.ParquetFile(path).metadata.row_group(0).column(list(ROW_COLUMNS).index("value"))
    content = bytearray(path.read_bytes())
    content[values.dictionary_page_offset + values.total_compressed_size - 1] ^= 1
    path.write_bytes(content)


def _with(table: pa.Table, column: str, text: str) -> pa.Table:
    values = pa.array([text] * len(table), pa.large_string())
    return table.set_column(table.schema.get_field_index(column), column, values)


def _rewritten(folder: Path, change: Callable[[pa.Table], pa.Table], **said: str) -> None:
    path = folder / "rows.parquet"
    about = {**json.loads(pq.ParquetFile(path).metadata.metadata[b"vfm3d-bench"]), **said}
    table = change(pq.read_table(path))
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"vfm3d-bench": json.dumps(about)})


@pytest.mark.parametrize(
    "change",
    [_edited, _another, _removed, _planned_anew, _of_another_version, _hostile, _of_no_track, _cut_off, _spoilt],
    ids=lambda change: change.__name__.strip("_"),
)
def test_a_table_that_is_not_of_the_cells_is_passed_over(
    change: Callable[[Path], None], folder: Path, opened: list[Path]
) -> None:
    change(folder)
    rows = read_rows(folder)
    assert opened, "the cells are read"
    pd.testing.assert_frame_equal(rows, _from_cells(folder))


def test_what_is_stored_while_rows_are_written_makes_them_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never stops storing: the table is written, and does not claim to be of what is there at the end."""
    store, made = Store(tmp_path), iter(range(1000))
    original = store_module.write_tables

    def stored_meanwhile(*arguments: Any) -> int:
        count = original(*arguments)
        store.save(_record(f"later-{next(made)}", "room", 1.0), {})
        return count

    monkeypatch.setattr(store_module, "write_tables", stored_meanwhile)
    store.compact()
    assert len(read_rows(tmp_path)) == 3 * next(made)


def test_categories_and_text_give_the_same_means(folder: Path) -> None:
    rows = to_frame([Store(folder, create=False).held().rows])
    assert isinstance(rows["model"].dtype, pd.CategoricalDtype)
    for means in (per_scene, per_dataset):
        pd.testing.assert_frame_equal(means(rows), means(plain(rows)))
    assert {"partial", "failed"} & set(per_dataset(rows)["status"]), "with what failed and what was never run"


def test_tables_of_several_folders_stand_below_each_other(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    cell = _record("z", "attic", float(np.pi), weights="random")
    Store(other).path(cell.key).write_text(to_text(cell), encoding="utf-8")
    both = to_frame([Store(place, create=False).held().rows for place in (folder, other)])
    expected = pd.concat([_from_cells(folder), _from_cells(other)], ignore_index=True)
    pd.testing.assert_frame_equal(plain(both), expected)
