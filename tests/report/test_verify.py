"""`bench verify` names a tampered value, a doubled key, a truncated file, a foreign row format, and wrong numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.commands.results.verify import verify_command
from bench.core.track import Outcome, Settings
from bench.geometry.track import GeometryTrack
from bench.probe.track import ProbeTrack
from bench.results.schema import ROW_COLUMNS
from bench.results.store import Store, read_rows
from bench.run import keys
from bench.run.verify import verify
from bench.types import Unavailable, UserError


@pytest.fixture
def folder(new_results: Callable[[], Path]) -> Path:
    return new_results()


def first_file(folder: Path, model: str = "daisy", mode: str = "G") -> Path:
    for path in sorted((folder / "cells").glob("*.json")):
        cell = json.loads(path.read_text())["cell"]
        if (cell["model"], cell["mode"]) == (model, mode):
            return path
    raise AssertionError("no such cell")


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


def test_an_untouched_folder_has_nothing_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    verdict = verify(folder)
    assert verdict.problems == ()
    assert verdict.remarks == ()
    assert verdict.cells == 28
    assert verify_command(folder, 0, None, Console(width=200)) == 0
    assert "28 cells" in capsys.readouterr().out


def test_a_tampered_value_is_named(folder: Path) -> None:
    path = first_file(folder)
    edited(path, lambda stored: stored["measurements"][0].update(value=99.0))
    problems = verify(folder).problems
    assert any(path.name in problem and "digest" in problem for problem in problems)
    assert any(
        "rows.csv: value differs" in problem and "psnr" in problem and "99.0 in the cell" in problem for problem in problems
    )


def test_a_tampered_table_of_rows_is_named(folder: Path) -> None:
    path = folder / "rows.csv"
    lines = path.read_text().splitlines()
    place = next(place for place, line in enumerate(lines) if ",psnr," in line)
    fields = lines[place].split(",")
    column = lines[0].split(",").index("value")
    fields[column] = "42.0"
    path.write_text("\n".join([*lines[:place], ",".join(fields), *lines[place + 1 :], ""]))
    problems = verify(folder).problems
    assert len(problems) == 1
    assert "value differs from the cells in 1 rows" in problems[0]
    assert "42.0 here" in problems[0]


def test_a_doubled_key_is_named(folder: Path) -> None:
    path = first_file(folder)
    copy = path.with_name("f" * 64 + ".json")
    copy.write_bytes(path.read_bytes())
    problems = verify(folder).problems
    assert any(f"the key {path.stem} stands in 2 files" in problem for problem in problems)
    assert any(copy.name in problem and "named after its key" in problem for problem in problems)


def test_a_truncated_file_is_named_and_the_rest_is_still_checked(folder: Path) -> None:
    cut, tampered = first_file(folder), first_file(folder, "iuvrgb")
    cut.write_bytes(cut.read_bytes()[:200])
    edited(tampered, lambda stored: stored.update(seconds=1e-3))
    problems = verify(folder).problems
    assert any(cut.name in problem and "is not a stored cell" in problem for problem in problems)
    assert any(tampered.name in problem and "digest" in problem for problem in problems)


def test_a_foreign_row_format_is_named(folder: Path) -> None:
    path = first_file(folder)
    edited(path, lambda stored: stored.update(schema=7))
    assert any(path.name in problem and "version 7" in problem for problem in verify(folder).problems)
    with pytest.raises(UserError, match="version 7"):
        list(Store(folder).records())


def test_a_row_against_the_schema_and_a_lost_picture_are_named(folder: Path) -> None:
    path = first_file(folder)
    edited(path, lambda stored: stored["measurements"][0].update(view=""))
    next((folder / "pictures" / path.stem).glob("*.png")).unlink()
    problems = verify(folder).problems
    assert any("view is empty" in problem for problem in problems)
    assert any("1 of 3 pictures are missing" in problem for problem in problems)


def test_cells_of_several_versions_of_the_code_are_remarked(folder: Path) -> None:
    store = Store(folder)
    record = store.read(first_file(folder).stem)
    assert record is not None
    store.save(replace(record, provenance={**record.provenance, "code_version": "0.0.9"}), {})
    assert f"{folder} mixes cells of 2 versions of the code: 0.0.9, 0.1.0" in verify(folder).remarks


def test_a_submission_may_leave_its_pictures_out(folder: Path) -> None:
    shutil.rmtree(folder / "pictures")
    verdict = verify(folder)
    assert verdict.problems == ()
    assert any("pictures were left out" in remark for remark in verdict.remarks)


def test_rows_without_cells_are_checked_as_rows(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    text = (folder / "rows.csv").read_text()
    (tmp_path / "rows" / "rows.csv").write_text(text)
    verdict = verify(tmp_path / "rows")
    assert verdict.problems == ()
    assert "cannot be checked" in verdict.remarks[0]
    (tmp_path / "rows" / "rows.csv").write_text(text.replace("quick-v1", "", 1))
    assert any("protocol is empty" in problem for problem in verify(tmp_path / "rows").problems)
    with pytest.raises(UserError, match="holds no results"):
        verify(tmp_path / "nothing")


HEADER = ",".join(ROW_COLUMNS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"rows\.csv: it cannot be read"),
        (bytes(range(256)) * 8, r"rows\.csv: it cannot be read"),
        (b"a;b\n1,2;3\n4;5,6,7\n", r"rows\.csv: it cannot be read"),
        ((HEADER + "\n" + "\u00f6," * 21 + "\n").encode("latin-1"), r"rows\.csv: it cannot be read"),
        (HEADER.encode(), r"rows\.csv holds no rows"),
        (b"a,b\n1,2\n", r"rows\.csv: these are not result rows: missing columns track"),
    ],
)
def test_a_file_of_rows_that_is_none_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """By what reads it for a report, and by `bench verify`."""
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_rows(tmp_path)
    if content == HEADER.encode():
        with pytest.raises(UserError, match=said):
            verify(tmp_path)
        return
    verdict = verify(tmp_path)
    assert len(verdict.problems) == 1
    assert re.search(said, verdict.problems[0])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("status", "okay", "status is not one of ok"),
        ("track", "prob", "track is not one of probe"),
        ("value", "abc", "'value' does not hold float64"),
        ("seed", 0.5, "'seed' does not hold Int64"),
        ("value", "", "status is ok but the value is not a finite number"),
        ("view", "above", "stands twice"),
    ],
)
def test_rows_edited_by_hand_are_refused_with_the_file_and_the_column(
    folder: Path, tmp_path: Path, column: str, value: Any, said: str
) -> None:
    rows = pd.read_csv(folder / "rows.csv").query("status == 'ok'").astype(object)
    rows = pd.concat([rows, rows.iloc[:1].assign(view="above")])
    rows.iloc[0, list(rows.columns).index(column)] = value
    (tmp_path / "edited").mkdir()
    rows.to_csv(tmp_path / "edited" / "rows.csv", index=False)
    with pytest.raises(UserError, match=rf"edited/rows\.csv: .*{said}"):
        read_rows(tmp_path / "edited")


def test_a_rows_file_named_instead_of_its_folder(folder: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.csv is a file; name the results folder"):
        read_rows(folder / "rows.csv")


def test_recomputed_cells_are_compared_value_by_value(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored = {record.cell: record for record in Store(folder).records()}

    def run(cell: Any, settings: Settings, shift: float = 0.0) -> Outcome:
        assert settings.weights == stored[cell].weights
        return Outcome(tuple(replace(m, value=m.value * (1 + shift)) for m in stored[cell].measurements), {})

    settings = Settings(None, tmp_path, "cpu", "none")
    monkeypatch.setattr(keys, "cell_key", lambda cell, settings: stored[cell].key)
    for track in (ProbeTrack, GeometryTrack):
        monkeypatch.setattr(track, "run", lambda track, cell, settings, residents: run(cell, settings))
    verdict = verify(folder, 5, settings)
    assert (verdict.problems, verdict.recomputed) == ((), 5)
    assert {each.key for each in verdict.confirmed} <= {record.key for record in stored.values()}
    assert len(verdict.confirmed) == 5, "the stored cells are of a processor and a system that there is not"
    first = next(iter(stored.values())).provenance
    here = {name: first.get(name) for name in ("device_name", "platform", "code_version")}
    monkeypatch.setattr("bench.run.verify.provenance", lambda device: here)
    assert verify(folder, 5, settings).confirmed == (), "the same machine again confirms nothing"
    for track in (ProbeTrack, GeometryTrack):
        monkeypatch.setattr(track, "run", lambda track, cell, settings, residents: run(cell, settings, 0.02))
    problems = verify(folder, 5, settings).problems
    assert len(problems) >= 5
    assert any("is stored as" in problem and "now" in problem for problem in problems)
    for track in (ProbeTrack, GeometryTrack):
        monkeypatch.setattr(track, "run", lambda track, cell, settings, residents: run(cell, settings, 0.005))
    assert verify(folder, 5, settings).problems == ()


def test_a_cell_that_cannot_be_computed_anew_is_a_remark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(track: ProbeTrack, cell: Any, settings: Settings, residents: Any) -> Outcome:
        raise Unavailable("there is no data set here")

    monkeypatch.setattr(keys, "cell_key", lambda cell, settings: "0" * 64)
    for track in (ProbeTrack, GeometryTrack):
        monkeypatch.setattr(track, "run", run)
    verdict = verify(folder, 1, Settings(None, folder, "cpu", "none"))
    assert (verdict.problems, verdict.recomputed) == ((), 0)
    assert any("another version of the code" in remark for remark in verdict.remarks)
    assert any("could not be computed anew: Unavailable: there is no data set" in remark for remark in verdict.remarks)
