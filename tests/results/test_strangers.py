"""A stranger's folder: every file is read, or refused by one message that names it; nothing outside is read or written."""

from __future__ import annotations

import errno
import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.cells import Cell, Measurement
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.results.check import check_folder
from bench.results.pictures import checked_picture, opened, picture_path
from bench.results.record import CellRecord, content_digest, from_file
from bench.results.store import Store, cell_files, read_rows

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
NAMES = ("photo.left", "render.left")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three probes with pictures, compacted."""
    store = Store(tmp_path / "submission")
    for seed in range(3):
        cell = Cell("probe", "procedural", "room", "iuvrgb", "G", "ground-truth", "quick-v1", seed)
        measurements = (
            Measurement("psnr", 20.0 + seed, "left", "dB", True),
            Measurement("ssim", 0.5, "left", "", True),
            Measurement("lpips", float("nan"), "left", "", False, status="unavailable", note="no backbone"),
        )
        record = CellRecord(json_digest(str(cell)), cell, "ok", "none", measurements=measurements, seconds=1.0)
        store.save(record, dict.fromkeys(NAMES, PICTURE))
    store.compact()
    return tmp_path / "submission"


def _first(folder: Path) -> Path:
    return cell_files(folder)[0]


def _edited(folder: Path, change: Callable[[dict[str, Any]], object], *, digested: bool = True) -> None:
    """Change the first cell as somebody would who forms its digest anew."""
    path = _first(folder)
    stored = json.loads(path.read_text())
    change(stored)
    if digested:
        stored["digest"] = content_digest(stored)
    path.write_text(json.dumps(stored))


def _measurement(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda stored: stored["measurements"][0].update(fields)


def test_an_untouched_folder_has_nothing_wrong(folder: Path) -> None:
    checked = check_folder(folder)
    assert (checked.problems, checked.remarks, checked.cells, checked.rows) == ((), (), 3, 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_measurement(value=1e9), "psnr is 1e+09, which no psnr can be"),
        (_measurement(value=10**400), "too large to be a number"),
        (_measurement(value=True), "psnr is True, not a number"),
        (_measurement(higher_is_better=False), "better the other way round"),
        (_measurement(view="x" * 5000), "view has 5,000 letters"),
        (_measurement(view="\x1b[31m"), "control character"),
        (_measurement(metric=None), "metric is NoneType, not text"),
        (lambda stored: stored["measurements"][1].update(value=7.5), "ssim is 7.5"),
        (lambda stored: stored.update(measurements=[]), "has no measurement"),
        (lambda stored: stored["measurements"].pop(0), "it has no psnr, which other cells of its scene"),
        (lambda stored: stored.pop("digest"), "carries no digest"),
        (lambda stored: stored.update(seconds=-1), "seconds is -1"),
        (lambda stored: stored.update(finished=12), "finished is int, not text"),
        (lambda stored: stored.update(finished="2099-01-01T00:00:00+00:00"), "yet to come"),
        (lambda stored: stored.update(provenance=[]), "provenance is list, not an object"),
        (lambda stored: stored.update(extra=1), "unknown fields: extra"),
        (lambda stored: stored.update(schema=True), "row format is version True"),
        (lambda stored: stored.update(key="../../x"), "64 hexadecimal digits"),
        (lambda stored: stored["cell"].update(seed=10**30), "seed is 1000"),
        (lambda stored: stored["cell"].update(model={}), "model is dict, not text"),
        (lambda stored: stored["cell"].update(scene=" "), "scene is empty"),
        (lambda stored: stored["marks"].update(role="winner"), "role is 'winner'"),
        (
            lambda stored: stored["picture_digests"].update({"photo.left": "0" * 64}),
            "photo.left is not the one that was stored",
        ),
        (lambda stored: stored["picture_digests"].pop("photo.left"), "photo.left has no digest"),
    ],
)
def test_what_a_run_cannot_have_stored_is_named(folder: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    _edited(folder, change, digested="digest" not in said)
    problems = check_folder(folder).problems
    assert any(said in problem and _first(folder).name in problem for problem in problems), problems


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[" * 100_000, b'{"key": NaN}', b"\xff\xfe", b'{"cell": ' + b'{"a": ' * 90_000, b"1" * 10_000, b"null"],
)
def test_a_file_that_is_no_cell_is_one_message(folder: Path, content: bytes) -> None:
    _first(folder).write_bytes(content)
    with pytest.raises(UserError, match=_first(folder).name):
        read_rows(folder)
    assert any(_first(folder).name in problem for problem in check_folder(folder).problems)


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<svg/>", "not a PNG"),
        (b"", "not a PNG"),
        (_png(60_000, 60_000), "60000 x 60000 pixels"),
        (_png(0, 4), "0 x 4 pixels"),
    ],
)
def test_a_picture_that_is_none_is_named(folder: Path, content: bytes, said: str) -> None:
    key = _first(folder).stem
    picture_path(folder, key, "photo.left").write_bytes(content)
    with pytest.raises(UserError, match=said):
        checked_picture(folder, key, "photo.left")
    assert any(said in problem for problem in check_folder(folder).problems)


def test_a_picture_that_is_cut_off_is_named_and_a_whole_one_is_read(folder: Path) -> None:
    key = _first(folder).stem
    path, size = checked_picture(folder, key, "photo.left")
    assert size == (70, 50)
    assert np.array_equal(np.asarray(opened(path)), PICTURE)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged picture"):
        opened(path)
    assert any("not the one that was stored" in problem for problem in check_folder(folder).problems)


def test_a_picture_that_cannot_be_read_now_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = checked_picture(folder, _first(folder).stem, "photo.left")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("PIL.Image.open", refused)
    with pytest.raises(UserError, match=r"photo\.left\.png: cannot be read \(Permission denied\)$"):
        opened(path)
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UserError, match=r"photo\.left\.png: cannot be read \(Permission denied\)$"):
        checked_picture(folder, path.parent.name, "photo.left")


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    key = _first(folder).stem
    path = picture_path(folder, key, "photo.left")
    path.rename(secret)
    path.symlink_to(secret)
    with pytest.raises(UserError, match="is a link"):
        checked_picture(folder, key, "photo.left")
    cell = _first(folder)
    shutil.move(cell, tmp_path / "cell.json")
    cell.symlink_to(tmp_path / "cell.json")
    with pytest.raises(UserError, match="is a link"):
        from_file(cell)
    problems = check_folder(folder).problems
    assert any("is a link" in problem and cell.name in problem for problem in problems)
    other = folder.with_name("linked")
    other.mkdir()
    (other / "cells").symlink_to(folder / "cells")
    assert any("is a link" in problem for problem in check_folder(other).problems)


@pytest.mark.parametrize("name", ["photo.a/../../../../pwned", "/etc/passwd", "..", ".hidden", "a\\b", "con:x", "50%"])
def test_a_name_of_a_picture_is_one_name_of_a_file_inside(folder: Path, name: str) -> None:
    key = _first(folder).stem
    path = picture_path(folder, key, name)
    assert path.parent == folder / "pictures" / key
    assert path.resolve().is_relative_to(folder.resolve())
    store = Store(folder)
    record = store.read(key)
    assert record is not None
    store.save(record, {name: PICTURE})
    assert checked_picture(folder, key, name)[1] == (70, 50)


def test_a_doubled_row_and_tables_that_disagree_are_named(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "rows.csv").read_text().splitlines()
    (folder / "rows.csv").write_text("\n".join([*lines, lines[1], ""]))
    assert any("1 rows stand in it twice" in problem for problem in check_folder(folder).problems)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "rows.parquet", alone)
    (alone / "rows.csv").write_text("\n".join([*lines, ""]).replace("21.0", "29.0"))
    assert any("rows.csv: value differs from rows.parquet in 1 rows" in problem for problem in check_folder(alone).problems)


def _mutated(content: bytes, rng: random.Random) -> bytes:
    """Bytes cut, doubled, changed, or one word put for another."""
    words = [b"null", b"[]", b"{}", b"-1", b"1e999", b'""', b'"\\u0000"', b"NaN", b"../" * 9, b"9" * 400, b"[[[[", b'"x"']
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        end = min(end, start + rng.choice([1, 4, 60]))
        content = content[:start] + rng.choice([b"", content[start:end] * 2, rng.randbytes(3), *words]) + content[end:]
    return content


@pytest.mark.parametrize("seed", range(20))
def test_mutated_folders_are_read_or_refused_by_name(folder: Path, seed: int) -> None:
    """Cells, plans, rows and pictures: no other exception than a UserError, and `check_folder` never raises for a fault."""
    rng = random.Random(seed)
    Store(folder).plan({})
    victims = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    victim = rng.choice(victims)
    victim.write_bytes(_mutated(victim.read_bytes(), rng))
    checked = check_folder(folder)
    assert all(isinstance(problem, str) for problem in checked.problems)
    said = [_said(lambda: read_rows(folder))]
    said += [_said(lambda name=name: opened(checked_picture(folder, _first(folder).stem, name)[0])) for name in NAMES]  # type: ignore[misc]
    assert all(not text or victim.name in text or victim.suffix == ".json" for text in said)


def _said(read: Callable[[], object]) -> str:
    """What a UserError says, "" where there is none; any other exception is a fault."""
    try:
        read()
    except UserError as error:
        return str(error)
    return ""
