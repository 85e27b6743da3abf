"""Packed cells are read as files are, one by one; packing that is killed at any instant loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.core.cells import Cell, Measurement
from bench.core.errors import UserError
from bench.machine.files import strays
from bench.results.check import check_folder
from bench.results.merge import merge
from bench.results.packs import bytes_of, cell_files, loose_files, pack_files, packed_files, write_packs
from bench.results.pictures import picture_path
from bench.results.record import CellRecord, digest, from_file, head_of
from bench.results.store import Store, read_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "run"))
import killing

CELL = Cell("probe", "procedural", "room", "iuvrgb", "G", "ground-truth", "quick-v1", 0)
PICTURE = np.zeros((4, 4, 3), dtype=np.uint8)
COUNT = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Finished cells and one that failed, compacted."""
    store = Store(tmp_path / "results")
    for seed in range(COUNT):
        rows = (Measurement("psnr", 20.0 + seed / 3, "left", "dB", True),)
        store.save(
            CellRecord(digest(seed), replace(CELL, seed=seed), "ok", "none", measurements=rows), {"photo.left": PICTURE}
        )
    store.save(CellRecord(digest("failed"), replace(CELL, seed=COUNT), "failed", "none", "it failed"), {})
    store.compact()
    return tmp_path / "results"


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.stem: bytes_of(file) for file in cell_files(folder)}


def test_a_packed_folder_is_read_as_before(folder: Path, tmp_path: Path) -> None:
    rows, contents, chosen = read_rows(folder), _contents(folder), Store(folder).chosen()
    assert Store(folder).pack() == (1, 1)
    assert [head_of(path).status for path in loose_files(folder)] == ["failed"], "a failed cell is run again"
    assert _contents(folder) == contents, "byte by byte"
    pd.testing.assert_frame_equal(read_rows(folder), rows)
    store = Store(folder)
    assert store.chosen() == chosen
    assert store.finished_among([digest(0), digest("failed"), digest("another")]) == {digest(0)}
    assert store.finished(digest(1))
    assert not store.finished(digest("failed"))
    assert store.read(digest(2)) == from_file(packed_files(folder)[digest(2)])
    checked = check_folder(folder)
    assert (checked.problems, checked.cells, len(checked.finished)) == ((), COUNT + 1, COUNT)
    (folder / "rows.parquet").unlink()
    pd.testing.assert_frame_equal(read_rows(folder), rows)
    assert merge([folder], tmp_path / "merged").taken == COUNT + 1
    pd.testing.assert_frame_equal(read_rows(tmp_path / "merged"), rows)


def test_what_is_stored_after_packing_is_read_and_packed_too(folder: Path) -> None:
    store = Store(folder)
    store.pack()
    rows = (Measurement("psnr", 9.0, "left", "dB", True),)
    again = CellRecord(digest("failed"), replace(CELL, seed=COUNT), "ok", "none", measurements=rows)
    store.save(again, {})
    assert store.finished(again.key)
    assert store.pack() == (1, 0)
    assert len(pack_files(folder)) == 2
    assert store.pack() == (0, 0)
    assert len(read_rows(folder)) == COUNT + 1
    assert check_folder(folder).problems == ()


def _killed(folder: Path, logs: Path, at: int) -> bool:
    """Pack in a process that is killed at an instant, 0 for none; whether it was."""
    logs.mkdir()
    child = os.fork()
    if child == 0:
        killing.watch(folder, logs, "driver", at)
        write_packs(folder, [path for path in loose_files(folder) if head_of(path).status == "ok"], 2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="kills and forks as Linux has them")
def test_packing_that_is_killed_at_any_instant_loses_nothing(folder: Path, tmp_path: Path) -> None:
    rows, contents = read_rows(folder), _contents(folder)
    shutil.copytree(folder, tmp_path / "undisturbed")
    assert not _killed(tmp_path / "undisturbed", tmp_path / "log", 0)
    total = killing.instants(tmp_path / "log", "driver")
    assert total >= COUNT + 2 * 3, "a removal each, and opening and renaming each pack"
    for at in range(1, total + 1):
        copy = tmp_path / f"killed-{at}"
        shutil.copytree(folder, copy)
        assert _killed(copy, tmp_path / f"log-{at}", at)
        assert _contents(copy) == contents, f"killed at instant {at} of {total}"
        assert check_folder(copy).problems == ()
        for path in copy.rglob(".*~*"):  # of a process that is no more
            assert path in list(strays(path.parent))
        Store(copy).pack()
        assert _contents(copy) == contents
        assert len(loose_files(copy)) == 1
        assert not [*copy.rglob(".*~*")]
    pd.testing.assert_frame_equal(read_rows(copy), rows)


def _cut(pack: Path) -> None:
    pack.write_bytes(pack.read_bytes()[:-30])


def _flipped(pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    content[120] ^= 1
    pack.write_bytes(content)


def _foreign(pack: Path) -> None:
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr("../outside.json", "{}")


def _doubled(pack: Path) -> None:
    with zipfile.ZipFile(pack, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], "{}")


def _linked(pack: Path) -> None:
    pack.symlink_to(pack.rename(pack.with_suffix(".elsewhere")))


@pytest.mark.parametrize(
    ("change", "said"),
    [(_cut, "no pack"), (_flipped, "damaged"), (_foreign, "no cell"), (_doubled, "twice"), (_linked, "is a link")],
)
def test_a_spoilt_pack_is_named(folder: Path, change: Callable[[Path], None], said: str) -> None:
    Store(folder).pack()
    (pack,) = pack_files(folder)
    change(pack)
    problems = check_folder(folder).problems
    assert any(str(pack) in problem and said in problem for problem in problems)
    with pytest.raises(UserError, match=said):
        list(Store(folder).records())


def test_a_value_that_is_changed_beside_the_pack_is_told(folder: Path) -> None:
    """The loose file is the one that is read: it cannot take a packed cell's place unseen."""
    Store(folder).pack()
    record = Store(folder).read(digest(0))
    assert record is not None
    Store(folder).save(
        replace(record, measurements=(Measurement("psnr", 99.0, "left", "dB", True),)), {"photo.left": PICTURE}
    )
    Store(folder).compact()
    (problem,) = check_folder(folder).problems
    assert "other numbers" in problem
    assert digest(0) in problem
    assert picture_path(folder, digest(0), "photo.left").is_file()
