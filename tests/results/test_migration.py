"""Results of the first row format are read as the present one."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.core.cells import INSTANTSPLAT, NO_MODEL, Cell, Marks
from bench.machine.digests import json_digest
from bench.report.build import build_report
from bench.results.migration import marks_of_version_1, migrated
from bench.results.record import CellRecord
from bench.results.schema import DIGESTS
from bench.results.store import Store, read_rows
from bench.results.tables import ROWS_FILES, Chunk, write_tables
from bench.run.verify import verify
from bench.types import Measurement

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
    store.save(CellRecord(json_digest("a"), cell, "failed", "none", "broken", marks=marks), {})
    store.compact()
    rows = read_rows(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    rows.drop(columns=ADDED).to_csv(old / "rows.csv", index=False)
    pd.testing.assert_frame_equal(read_rows(old), rows)
    rows.drop(columns=[*DIGESTS, *ADDED]).to_csv(old / "rows.csv", index=False)
    pd.testing.assert_frame_equal(read_rows(old), rows)
    for newer in (list(DIGESTS), ["read_mb"], ["read_mb", *DIGESTS, *ADDED]):
        rows.drop(columns=newer).to_csv(old / "rows.csv", index=False)
        pd.testing.assert_frame_equal(read_rows(old), rows)
    pd.testing.assert_frame_equal(migrated(rows), rows)


def test_a_folder_of_cells_of_the_first_format_is_read_verified_and_reported(tmp_path: Path) -> None:
    """Its files have neither marks, nor a digest, nor digests of pictures, nor a version."""
    store = Store(tmp_path / "old")
    for scene, value in (("room", 20.0), ("table", 22.0)):
        cell = Cell("probe", "procedural", scene, "oracle-xyz", "G", "simulated", "quick-v1", 0)
        measured = (Measurement("psnr", value, "front", "dB", True),)
        store.save(CellRecord(json_digest(scene), cell, "ok", "none", "", measured, seconds=1.0, peak_memory_mb=1.0), {})
        path = store.path(json_digest(scene))
        old = json.loads(path.read_text(encoding="utf-8"))
        for added in ("marks", "digest", "picture_digests", "schema"):
            del old[added]
        path.write_text(json.dumps(old), encoding="utf-8")
    assert store.compact() == 2
    rows = read_rows(store.folder)
    assert rows["value"].tolist() == [20.0, 22.0]
    assert rows[ADDED].drop_duplicates().values.tolist() == [["oracle", "simulated", True]]
    assert verify(store.folder).problems == ()
    text = build_report([store.folder], tmp_path / "report", ("md",)).read_text(encoding="utf-8")
    assert "21.00" in text
    assert "quick protocol" in text


def test_instantsplat_has_its_name_in_rows_whatever_wrote_them(tmp_path: Path) -> None:
    """Its cells have no model and keep their keys; rows, and tables that older versions wrote, name it."""
    store = Store(tmp_path / "run")
    cell = Cell("probe", "procedural", "room", NO_MODEL, INSTANTSPLAT, "simulated", "quick-v1", 0)
    measured = (Measurement("psnr", 20.0, "front", "dB", True),)
    store.save(CellRecord(json_digest("a"), cell, "ok", "none", "", measured, seconds=1.0, peak_memory_mb=1.0), {})
    store.compact()
    assert [record.cell for record in store.records()] == [cell]
    rows = read_rows(store.folder)
    assert rows["model"].tolist() == [INSTANTSPLAT]
    older = rows.assign(model=NO_MODEL)
    tables = write_tables(store.folder, [Chunk(older)], older[:0], store.state(), ())
    assert tables == 1
    assert pd.read_csv(store.folder / "rows.csv")["model"].tolist() == [NO_MODEL]
    pd.testing.assert_frame_equal(read_rows(store.folder), rows)
    assert verify(store.folder).problems == ()
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ROWS_FILES:
        (store.folder / name).rename(alone / name)
        pd.testing.assert_frame_equal(read_rows(alone), rows)
        (alone / name).unlink()
