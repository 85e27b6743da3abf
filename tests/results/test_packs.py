"""Packed cells are read as files are, one by one; packing that is killed at any instant loses nothing."""

from __future__ import annotations

import errno
import io
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
from rich.console import Console

from bench.commands.results.pack import pack_command
from bench.core.cells import Cell, Measurement
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.machine.files import strays
from bench.report.read import load_results
from bench.results import packs
from bench.results.check import check_folder
from bench.results.claims import Claims
from bench.results.merge import merge
from bench.results.packs import (
    CellFile,
    Packed,
    bytes_of,
    cell_files,
    cells_of,
    first_line_of,
    loose_files,
    pack_files,
    packed_files,
    write_packs,
)
from bench.results.pictures import picture_path
from bench.results.record import CellRecord, from_file, head_of
from bench.results.store import Packing, Store, read_rows

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
            CellRecord(json_digest(seed), replace(CELL, seed=seed), "ok", "none", measurements=rows), {"photo.left": PICTURE}
        )
    store.save(CellRecord(json_digest("failed"), replace(CELL, seed=COUNT), "failed", "none", "it failed"), {})
    store.compact()
    return tmp_path / "results"


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.stem: bytes_of(file) for file in cell_files(folder)}


def test_a_packed_folder_is_read_as_before(folder: Path, tmp_path: Path) -> None:
    rows, contents, chosen = read_rows(folder), _contents(folder), Store(folder).chosen()
    assert Store(folder).pack() == Packing(1, COUNT, 1, 0)
    assert [head_of(path).status for path in loose_files(folder)] == ["failed"], "a failed cell is run again"
    assert _contents(folder) == contents, "byte by byte"
    pd.testing.assert_frame_equal(read_rows(folder), rows)
    store = Store(folder)
    assert store.chosen() == chosen
    assert store.finished_among([json_digest(0), json_digest("failed"), json_digest("another")]) == {json_digest(0)}
    assert store.finished(json_digest(1))
    assert not store.finished(json_digest("failed"))
    assert store.read(json_digest(2)) == from_file(packed_files(folder)[json_digest(2)])
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
    again = CellRecord(json_digest("failed"), replace(CELL, seed=COUNT), "ok", "none", measurements=rows)
    store.save(again, {})
    assert store.finished(again.key)
    assert store.pack() == Packing(1, COUNT + 1, 0, 0)
    assert len(pack_files(folder)) == 2
    assert store.pack() == Packing(0, COUNT + 1, 0, 0)
    assert len(read_rows(folder)) == COUNT + 1
    assert check_folder(folder).problems == ()


def _killed(folder: Path, logs: Path, at: int) -> bool:
    """Pack in a process that is killed at an instant, 0 for none; whether it was."""
    logs.mkdir()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            killing.watch(folder, logs, "driver", at)
            write_packs(folder, [path for path in loose_files(folder) if head_of(path).status == "ok"], 2)
            code = 0
        finally:
            os._exit(code)  # never on into what pytest does after a test
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended == -signal.SIGKILL


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


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a handle is of")
@pytest.mark.parametrize("again", [False, True])
def test_the_disk_has_a_pack_and_its_name_before_a_file_is_removed(
    folder: Path, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """again: after a process that was ended between renaming a pack and removing what it holds."""
    files = [path for path in loose_files(folder) if head_of(path).status == "ok"]
    if again:
        contents = {path: path.read_bytes() for path in files}
        write_packs(folder, files, COUNT)
        for path, content in contents.items():
            path.write_bytes(content)
    done: list[str] = []
    fsync, unlink = os.fsync, Path.unlink

    def flushed(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def removed(path: Path, missing_ok: bool = False) -> None:
        done.append("removed" if path in files else "")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "unlink", removed)
    assert write_packs(folder, files, COUNT) == (not again)
    assert done.count("removed") == COUNT
    before = [name for name in done[: done.index("removed")] if name]
    assert before[-2:] == ["packs", folder.name], "the names of the packs, and that there is such a folder"
    assert len(before) == 2 if again else before[0].endswith(".zip")


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


def _stored(pack: Path) -> None:
    _again(pack, zipfile.ZIP_STORED)


def _lzma(pack: Path) -> None:
    _again(pack, zipfile.ZIP_LZMA)


def _again(pack: Path, compression: int) -> None:
    with zipfile.ZipFile(pack) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(pack, "w", compression) as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def _encrypted(pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1  # the general purpose flags of the first entry of the directory
    pack.write_bytes(content)


def _linked(pack: Path) -> None:
    pack.symlink_to(pack.rename(pack.with_suffix(".elsewhere")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_cut, "no pack"),
        (_flipped, "damaged"),
        (_foreign, "no cell"),
        (_doubled, "twice"),
        (_linked, "is a link"),
        (_stored, "deflate"),
        (_lzma, "deflate"),
        (_encrypted, "encrypted"),
    ],
)
def test_a_spoilt_pack_is_named(folder: Path, change: Callable[[Path], None], said: str) -> None:
    Store(folder).pack()
    (pack,) = pack_files(folder)
    change(pack)
    problems = check_folder(folder).problems
    assert any(str(pack) in problem and said in problem for problem in problems)
    with pytest.raises(UserError, match=said) as raised:
        list(Store(folder).records())
    assert str(raised.value).count("pack is damaged") <= 1
    assert "remove it and run again" not in str(raised.value).removesuffix("remove it and run again what it held")


def test_no_byte_of_a_pack_can_be_changed_to_give_another_cell_or_a_traceback(folder: Path) -> None:
    write_packs(folder, loose_files(folder)[:2], 2)
    (pack,) = pack_files(folder)
    content = pack.read_bytes()
    held = {each.name: bytes_of(each) for each in cells_of(pack)}
    refused = 0
    for at in range(len(content)):
        pack.write_bytes(content[:at] + bytes([content[at] ^ (0xFF if at % 2 else 1)]) + content[at + 1 :])
        os.utime(pack, ns=(at, at))
        try:
            for each in cells_of(pack):
                first_line_of(each, 100)
                assert bytes_of(each) == held[each.name]
        except (UserError, ValueError):
            refused += 1
    assert refused > len(content) / 2


def test_a_pack_that_cannot_be_read_now_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(folder).pack()
    (pack,) = pack_files(folder)

    def refused(*_: object) -> zipfile.ZipFile:
        raise PermissionError(errno.EACCES, "Permission denied", str(pack))

    shutil.copytree(folder, folder.with_name("copy"))
    files = [each for each in cell_files(folder) if isinstance(each, Packed)]
    monkeypatch.setattr(zipfile, "ZipFile", refused)
    for ask in (lambda: read_rows(folder.with_name("copy")), lambda: check_folder(folder.with_name("copy"))):
        packs._archive.cache_clear()
        (folder.with_name("copy") / "rows.parquet").unlink(missing_ok=True)
        try:
            said = "; ".join(ask().problems)  # type: ignore[union-attr]
        except UserError as error:
            said = str(error)
        assert "Permission denied" in said
        assert "remove" not in said
        assert "damaged" not in said
    packs._archive.cache_clear()
    with pytest.raises(UserError, match=r"\.zip: cannot be read \(Permission denied\)$"):
        from_file(files[0])


def test_a_cell_that_is_too_large_is_read_no_further(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(folder).pack()
    monkeypatch.setattr(packs, "MOST_BYTES", 100)
    for each in cell_files(folder):
        assert first_line_of(each, 10) == b'{"schema":'
        with pytest.raises(ValueError, match="more than 100 bytes"):
            bytes_of(each)
        with pytest.raises(UserError, match="more than 100 bytes"):
            from_file(each)


def test_a_reader_finds_a_cell_that_is_packed_after_it_was_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, contents, heads = cell_files(folder), _contents(folder), Store(folder).chosen().heads
    records = Store(folder).records_of(heads)
    before = [next(records)]
    Store(folder).pack()
    assert {file.stem: bytes_of(file) for file in listed} == contents
    assert [head_of(file).key for file in listed] == [*map(_stem, listed)]
    assert [record.key for record in (*before, *records)] == [head.key for head in heads]
    rows, loose = read_rows(folder), [file for file in listed if isinstance(file, Path)]
    monkeypatch.setattr("bench.results.store.loose_files", lambda folder: loose)  # an old listing
    pd.testing.assert_frame_equal(read_rows(folder), rows)


def _stem(file: CellFile) -> str:
    return file.stem


def test_packs_are_cells_also_where_git_kept_no_empty_folder(folder: Path) -> None:
    rows = read_rows(folder)
    Store(folder).pack()
    (folder / "cells" / f"{json_digest('failed')}.json").unlink()
    (folder / "cells").rmdir()
    (folder / "rows.parquet").unlink()
    assert len(read_rows(folder)) == len(rows) - 1
    assert Store(folder, create=False).finished(json_digest(0))
    checked = check_folder(folder)
    assert (checked.cells, len(checked.finished)) == (COUNT, COUNT)
    assert merge([folder], folder.with_name("merged")).taken == COUNT
    assert load_results([folder]).stored
    assert Store(folder).pack() == Packing(0, COUNT, 0, 0)


def test_nothing_is_packed_while_a_run_writes(folder: Path) -> None:
    claims = Claims(folder)
    assert claims.take(json_digest("in hand"), 60.0)
    with pytest.raises(UserError, match=r"a run writes into it \(1 cell in hand\)"):
        Store(folder).pack()
    assert not pack_files(folder)
    claims.release(json_digest("in hand"))
    assert Store(folder).pack().written == 1


def test_a_file_that_its_pack_holds_otherwise_or_damaged_stays_and_is_told(folder: Path) -> None:
    loose = {path: path.read_bytes() for path in loose_files(folder)}
    Store(folder).pack()
    (pack,) = pack_files(folder)
    record = Store(folder).read(json_digest(0))
    assert record is not None
    Store(folder).save(replace(record, seconds=7.0), {"photo.left": PICTURE})
    console = Console(file=io.StringIO(), width=200)
    pack_command(folder, console)
    assert "1 cell that did not end well, 1 cell that a pack holds otherwise" in console.file.getvalue()  # type: ignore[attr-defined]
    (folder / "cells" / f"{json_digest(0)}.json").unlink()
    for path, content in loose.items():
        path.write_bytes(content)
    _flipped(pack)
    spoilt = {each.stem for each in cells_of(pack) if not packs._holds(each, loose[folder / "cells" / each.name])}
    assert len(spoilt) == 1
    assert write_packs(folder, [path for path in loose if head_of(path).status == "ok"], 2) == 0
    assert {path.stem for path in loose_files(folder)} == {json_digest("failed"), *spoilt}


def test_a_value_that_is_changed_beside_the_pack_is_told(folder: Path) -> None:
    """The loose file is the one that is read: it cannot take a packed cell's place unseen."""
    Store(folder).pack()
    record = Store(folder).read(json_digest(0))
    assert record is not None
    Store(folder).save(
        replace(record, measurements=(Measurement("psnr", 99.0, "left", "dB", True),)), {"photo.left": PICTURE}
    )
    Store(folder).compact()
    (problem,) = check_folder(folder).problems
    assert "other numbers" in problem
    assert json_digest(0) in problem
    assert picture_path(folder, json_digest(0), "photo.left").is_file()
