"""Confirmations of another machine: bound to the content of a cell, told by verify, shown by reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.cells import Cell, Marks
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.report.leaderboard.data import ROW_FIELDS, leaderboard_data
from bench.report.read import load_results
from bench.report.say.means import table_means
from bench.results import confirmed
from bench.results.confirmed import add_confirmations, confirmation, confirmed_keys, is_other_machine, read_confirmations
from bench.results.merge import merge
from bench.results.record import CellRecord, file_and_digest
from bench.results.store import Store
from bench.types import Measurement

THEIRS = {"device_name": "their processor", "platform": "Linux-6", "code_version": "0.1.0"}
HERE = {"device_name": "ours", "platform": "Linux-6", "code_version": "0.2.0"}


def _cell(scene: str) -> Cell:
    return Cell("probe", "llff", scene, "dino", "G", "sparse", "paper-v1", 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    for scene in ("fern", "room"):
        measured = (Measurement("psnr", 20.0, "a", "dB", True),)
        record = CellRecord(
            json_digest(scene), _cell(scene), "ok", "pretrained", "", measured, provenance=THEIRS, marks=Marks()
        )
        made.save(record, {})
    made.compact()
    return made


def _confirm(store: Store, *scenes: str) -> None:
    cells = [file_and_digest(store.path(json_digest(scene))) for scene in scenes]
    add_confirmations(
        store.folder, [confirmation(record, content, HERE, "2025-01-01T00:00:00") for record, content in cells]
    )


def test_another_machine_is_one_of_another_processor_or_system(store: Store) -> None:
    record, _ = file_and_digest(store.path(json_digest("fern")))
    assert is_other_machine(record, HERE)
    assert is_other_machine(record, {**THEIRS, "platform": "macOS-15"})
    assert not is_other_machine(record, {**THEIRS, "code_version": "0.9"})


def test_what_is_confirmed_is_known_as_long_as_it_is_unchanged(store: Store) -> None:
    assert confirmed_keys(store.folder) == frozenset()
    _confirm(store, "fern")
    _confirm(store, "fern", "room")
    assert len(read_confirmations(store.folder)) == 2, "the same again is not written twice"
    assert confirmed_keys(store.folder) == {json_digest("fern"), json_digest("room")}
    path = store.path(json_digest("room"))
    record, _ = file_and_digest(path)
    store.save(replace(record, measurements=(replace(record.measurements[0], value=99.0),)), {})
    assert confirmed_keys(store.folder) == {json_digest("fern")}
    path.unlink()
    assert confirmed_keys(store.folder) == {json_digest("fern")}


def test_confirmations_of_merged_folders_go_with_their_cells(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for scene in ("fern", "table"):
        record, _ = file_and_digest(store.path(json_digest("room")))
        other.save(replace(record, key=json_digest(scene), cell=_cell(scene), seconds=2.0), {})
    _confirm(store, "room")
    _confirm(other, "fern", "table")
    merge([store.folder, other.folder], tmp_path / "whole")
    assert confirmed_keys(tmp_path / "whole") == {json_digest("room"), json_digest("table")}, (
        "fern was taken from the first folder"
    )
    store.pack()
    assert confirmed_keys(store.folder) == {json_digest("room")}
    (other.folder / confirmed.FILE).write_text("{")
    with pytest.raises(UserError, match=r"confirmed\.json"):
        merge([store.folder, other.folder], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_malformed_file_is_named(store: Store) -> None:
    whole = dict.fromkeys(("key", "digest", "device_name", "platform", "code_version", "at"), "0" * 64)
    strange = [{"key": "../../elsewhere"}, {"device_name": 3}, {"platform": "a\x1b[2J"}, {"at": "x" * 10_000}]
    texts = ["{", json.dumps([{"key": "a"}]), "3", "[" * 100_000, *(json.dumps([{**whole, **each}]) for each in strange)]
    for text in texts:
        (store.folder / confirmed.FILE).write_text(text)
        with pytest.raises(UserError, match=r"confirmed\.json: .*delete it"):
            confirmed_keys(store.folder)


def test_the_leaderboard_says_all_or_how_many(store: Store) -> None:
    def said() -> dict[str, str]:
        results = load_results([store.folder])
        data = leaderboard_data([], results.rows, table_means(results.rows), results.confirmed)
        place = ROW_FIELDS.index("verified")
        return {row[1]: row[place] for row in data["rows"] if len(row) > place and row[place]}

    assert said() == {}
    _confirm(store, "fern")
    assert said() == {"llff": "1 of 2", "all": "1 of 2"}
    _confirm(store, "room")
    assert said() == {"llff": "all", "all": "all"}
