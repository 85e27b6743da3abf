"""One folder, several keys of a cell and several writers: which rows it has, who computes what, what killed ones leave."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.core.cells import Cell, Measurement
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.machine.files import strays, write_text
from bench.report.build import build_report
from bench.results.check import check_folder
from bench.results.claims import Claims
from bench.results.merge import merge
from bench.results.record import CellRecord, from_file, head_of
from bench.results.store import Store, read_rows

CELL = Cell("probe", "procedural", "room", "iuvrgb", "G", "ground-truth", "quick-v1", 0)


def record(name: str, value: float = 20.0, cell: Cell = CELL, **changes: object) -> CellRecord:
    measurements = (Measurement("psnr", value, "left", "dB", True), Measurement("ssim", 0.5, "left", "", True))
    made = CellRecord(json_digest(name), cell, "ok", "none", measurements=measurements, seconds=1.0, peak_memory_mb=10.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def psnr(folder: Path) -> list[float]:
    rows = read_rows(folder)
    return list(rows[rows["metric"] == "psnr"]["value"])


def test_rows_are_those_of_the_keys_planned_last(tmp_path: Path) -> None:
    """A plug-in is run, edited, run, and taken back: its rows are those of the code that is there."""
    store = Store(tmp_path)
    one, two = record("version 1", 14.0), record("version 2", 15.0)
    for planned in (one, two):
        store.plan({(CELL, "none"): planned.key})
        store.save(planned, {})
        store.compact()
        assert psnr(tmp_path) == [planned.measurements[0].value]
    store.plan({(CELL, "none"): one.key})
    assert store.finished_among([one.key]) == {one.key}, "nothing is due"
    store.compact()
    assert psnr(tmp_path) == list(pd.read_csv(tmp_path / "rows.csv").query("metric == 'psnr'")["value"]) == [14.0]
    checked = check_folder(tmp_path)
    assert checked.problems == ()
    assert any("1 stored cells have another key" in remark and two.key[:12] in remark for remark in checked.remarks)
    build_report([tmp_path], tmp_path / "report", ["md"])
    page = next((tmp_path / "report").glob("*.md")).read_text()
    assert re.search(rf"Not shown: .*1 stored cells have another key .*{two.key[:12]}", page), "the report says so too"


def test_a_cell_planned_anew_and_not_run_yet_has_no_stale_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = replace(CELL, mode="T")
    for each in (record("version 1", 14.0), record("other", 17.0, other)):
        store.save(each, {})
    store.plan({(CELL, "none"): json_digest("version 2")})
    store.compact()
    assert psnr(tmp_path) == [17.0]
    assert any("planned anew" in remark for remark in check_folder(tmp_path).remarks)


def test_a_head_says_what_the_whole_file_says(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for each in (record("a"), record("b", cell=replace(CELL, scene='ä, "b" {c}'), status="failed", measurements=())):
        store.save(each, {})
        path = store.path(each.key)
        whole, head = from_file(path), head_of(path)
        assert (head.key, head.cell, head.status, head.weights, head.finished) == (
            whole.key,
            whole.cell,
            whole.status,
            whole.weights,
            whole.finished,
        )
        path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True))  # as version 1 wrote it
        assert head_of(path) == head


def _write_and_compact(folder: Path, writer: int) -> None:
    store = Store(folder)
    for number in range(12):
        store.save(record(f"{writer} {number}", cell=replace(CELL, seed=100 * writer + number)), {})
    store.compact()


def test_compaction_beside_other_writers_loses_no_row(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_number in range(5):
        folder = tmp_path / str(round_number)
        writers = [context.Process(target=_write_and_compact, args=(folder, writer)) for writer in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
            assert writer.exitcode == 0
        for table in (pd.read_csv(folder / "rows.csv"), pd.read_parquet(folder / "rows.parquet")):
            assert table["key"].nunique() == 36


def _killed_while_saving(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    def killed(path: Path, target: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = killed  # type: ignore[method-assign, assignment]
    Store.__init__ = lambda self, folder, create=True: setattr(self, "folder", folder)  # type: ignore[method-assign]
    Store(folder).save(record("killed"), pictures)


def test_what_killed_writers_leave_is_no_cell_no_fault_and_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(record("whole"), {})
    store.compact()
    context = multiprocessing.get_context("fork")
    for pictures in ({}, {"render.left": np.zeros((2, 2, 3), np.uint8)}):
        writer = context.Process(target=_killed_while_saving, args=(tmp_path, pictures))
        writer.start()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
    hidden = [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert len(hidden) == 2
    assert check_folder(tmp_path).problems == ()
    write_text(tmp_path / "cells" / "kept.txt", "")
    living = tmp_path / "cells" / f".{socket.gethostname()}~{os.getpid()}~x.json"
    living.write_text("{")
    store.plan({})
    store.save(record("killed"), {"render.left": np.zeros((2, 2, 3), np.uint8)})
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == [living], "a living writer's file stays"
    assert list(strays(tmp_path / "cells")) == []


def _claim(folder: Path, key: str, answer: multiprocessing.Queue[bool]) -> None:
    answer.put(Claims(folder).take(key, 60.0))
    time.sleep(60)


def test_a_claim_is_held_by_one_and_lapses_with_its_process(tmp_path: Path) -> None:
    key, claims = json_digest("a cell"), Claims(tmp_path)
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    other = context.Process(target=_claim, args=(tmp_path, key, answer))
    other.start()
    assert answer.get(timeout=60) is True
    assert claims.take(key, 60.0) is False
    assert claims.holder(key) is not None
    other.kill()
    other.join()
    assert claims.holder(key) is None
    assert claims.take(key, 60.0) is True
    assert claims.take(key, 60.0) is False
    claims.release(key)
    assert claims.take(key, -1e6) is True
    assert claims.holder(key) is None, "its time is over"


def test_folders_are_merged_and_conflicts_named_before_anything_is_written(tmp_path: Path) -> None:
    picture = {"photo.left": np.full((2, 3, 3), 9, np.uint8)}
    shared, own, failed = (
        record("shared"),
        record("own", cell=replace(CELL, mode="T")),
        record("late", cell=replace(CELL, seed=1)),
    )
    a, b = Store(tmp_path / "a"), Store(tmp_path / "b")
    for store in (a, b):
        store.save(shared, picture)
    a.save(replace(failed, status="failed", measurements=(), error="boom"), {})
    b.save(own, picture)
    b.save(failed, {})
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert (merged.taken, merged.known, merged.rows) == (3, 2, 6)
    checked = check_folder(tmp_path / "out")
    assert (checked.problems, checked.cells) == ((), 3)
    assert merge([tmp_path / "a"], tmp_path / "out").taken == 0
    b.save(replace(shared, measurements=(Measurement("psnr", 29.86, "left", "dB", True), shared.measurements[1])), picture)
    with pytest.raises(UserError, match=r"psnr left is 20 and 29\.86 in .*a and in .*b"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_lapsed_claims_are_removed_and_living_ones_are_not(tmp_path: Path) -> None:
    claims, own, dead = Claims(tmp_path), json_digest("own"), json_digest("dead")
    claims.remove_lapsed()  # there is no folder yet
    assert claims.take(own, 60.0)
    writer = multiprocessing.get_context("fork").Process(target=Claims(tmp_path).take, args=(dead, 60.0))
    writer.start()
    writer.join()
    assert (claims.folder / dead).is_file()
    stray = claims.folder / f".{socket.gethostname()}~{writer.pid}~x"
    stray.write_text("{")
    claims.remove_lapsed()
    assert list(claims.folder.iterdir()) == [claims.folder / own]
