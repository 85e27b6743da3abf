"""Whether a results folder is what a run left there: every cell, its pictures, the plans, the tables of rows.

A digest catches accidents and careless edits. Whoever edits a file on purpose can form its digest anew; that is what
computing cells anew is for (bench.run.verify).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.cells import PERF
from bench.core.errors import UserError
from bench.metrics.catalogue import METRICS
from bench.results import planned
from bench.results.packs import PACKS, CellFile, bytes_of, cells_of, holds_cells, loose_files, pack_files
from bench.results.pictures import checked_picture, picture_digest
from bench.results.record import CellRecord, Head, file_and_digest
from bench.results.schema import IDENTITY, ROW_COLUMNS, as_rows, validate_rows
from bench.results.store import Store, rows_of
from bench.results.tables import ROWS_FILES, read_table, rows_file, table_chunks

MOST = 1000  #: problems that are named one by one
_MOST_OF_A_KIND = 5
_MOST_ROWS = 500_000  #: of a table whose rows stand in another order, to be compared all the same
_ANEW = "run the same `bench run` again to write it anew"


@dataclass
class Faults:
    """What a check has found. problems: why the results cannot be trusted; remarks: what could not be checked."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, problem: str) -> None:
        """Take down a problem; those beyond MOST are counted."""
        if len(self.problems) < MOST:
            self.problems.append(problem)
        else:
            self.more += 1


@dataclass(frozen=True)
class Checked:
    """What a folder holds and what is wrong with it.

    Attributes:
        cells: How many cells were read.
        rows: How many rows they have.
        problems: Why the results cannot be trusted.
        remarks: What could not be checked, and what a reader should know.
        finished: The heads of the cells that ended well and can be computed anew.
    """

    cells: int
    rows: int
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    finished: tuple[Head, ...] = ()


def check_folder(folder: Path) -> Checked:
    """Check a results folder; a folder with rows only is checked as far as rows go.

    Raises:
        UserError: Where the folder holds no results.
    """
    return _check_cells(folder) if holds_cells(folder) else _check_rows_only(folder)


# -------------------------------------------------------------------------------------------------------------- cells


def _check_cells(folder: Path) -> Checked:
    found = Faults()
    for place in (folder / "cells", folder / "pictures", folder / planned.PLANS, folder / PACKS):
        if place.is_symlink():
            found.add(f"{place} is a link; a results folder holds its own files")
    heads: list[Head] = []
    files: dict[str, list[str]] = {}
    metrics: dict[tuple[str, ...], dict[frozenset[str], list[str]]] = {}
    versions: set[str] = set()
    undigested = unchecked_pictures = 0
    pictured = (folder / "pictures").is_dir()
    lost_pictures = False
    cells, unread_packs = _files(folder, found)
    for path in cells:
        try:
            record, digest = file_and_digest(path)
        except UserError as error:
            found.add(str(error))
            continue
        files.setdefault(record.key, []).append(path.name)
        if record.key == path.stem:
            heads.append(Head(record.key, record.cell, record.status, record.weights, record.finished))
        else:
            found.add(f"{path}: it holds the key {record.key}; a cell's file is named after its key")
        if record.digest and record.digest != digest:
            found.add(f"{path}: its content does not fit its digest; a value was changed after it was stored")
        elif not record.digest and record.schema > 1:
            found.add(f"{path}: it carries no digest; it was removed after the cell was stored")
        undigested += not record.digest and record.schema == 1
        for problem in (*_of_record(record), *(_of_pictures(folder, record) if pictured else ())):
            found.add(f"{path}: {problem}")
        lost_pictures |= bool(record.pictures) and not pictured
        unchecked_pictures += bool(record.pictures) and not record.picture_digests
        versions |= {str(record.provenance.get("code_version", ""))} - {""}
        if record.cell.track == "probe" and record.status == "ok":
            alike = (record.cell.dataset, record.cell.scene, record.cell.protocol)
            named = frozenset(each.metric for each in record.measurements)
            metrics.setdefault(alike, {}).setdefault(named, []).append(path.name)
    if not heads and not found.problems:
        raise UserError(f"{folder} holds no finished cell yet")
    for key, names in files.items():
        if len(names) > 1:
            found.add(f"the key {key} stands in {len(names)} files: {', '.join(names)}")
    _metrics_alike(metrics, found)
    if lost_pictures:
        found.remarks.append(f"{folder}: the pictures were left out")
    elif unchecked_pictures:
        found.remarks.append(f"the pictures of {unchecked_pictures} cells carry no digest; an older version stored them")
    if undigested:
        found.remarks.append(f"{undigested} of {len(heads)} cells carry no digest; an older version stored them")
    if len(versions) > 1:
        found.remarks.append(f"{folder} mixes cells of {len(versions)} versions of the code: {', '.join(sorted(versions))}")
    if unread_packs:
        found.remarks.append(f"the rows were not compared with the cells, since {unread_packs} packs cannot be read")
    rows = 0 if unread_packs else _check_rows(folder, heads, found)
    finished = tuple(head for head in heads if head.status == "ok" and head.cell.track != PERF)
    if found.more:
        found.problems.append(f"and {found.more} more problems")
    return Checked(len(heads), rows, tuple(found.problems), tuple(found.remarks), finished)


def _files(folder: Path, found: Faults) -> tuple[list[CellFile], int]:
    """Every cell's file, once, and how many packs cannot be read; these, and packed cells that stand elsewhere with other
    numbers, are told."""
    unread = 0
    own: dict[str, CellFile] = {path.stem: path for path in loose_files(folder)}
    for pack in pack_files(folder):
        try:
            packed = cells_of(pack)
        except UserError as error:
            found.add(str(error))
            unread += 1
            continue
        for each in packed:
            other = own.setdefault(each.stem, each)
            if other is not each and (said := _differently(each, other)):
                found.add(f"{each}: {said}")
    return list(own.values()), unread


def _differently(packed: CellFile, other: CellFile) -> str:
    """How a packed cell differs from the same cell elsewhere, of which it is a copy; its times may be of another run."""
    try:
        if bytes_of(packed) == bytes_of(other):
            return ""
        one, two = (file_and_digest(each)[0] for each in (packed, other))
    except (UserError, OSError, ValueError) as error:
        return str(error)
    return "" if repr(one.measurements) == repr(two.measurements) else f"{other} says other numbers of the same cell"


def _of_record(record: CellRecord) -> Iterator[str]:
    """What cannot be in a cell that a run has stored."""
    if record.status == "ok" and not record.measurements:
        yield "it ended well but has no measurement"
    if record.status != "ok" and record.measurements:
        yield f"it is {record.status} but has measurements"
    beyond = [each for each in record.measurements if (metric := METRICS.get(each.metric)) and not metric.allows(each.value)]
    for each in beyond[:_MOST_OF_A_KIND]:
        yield f"{each.metric} is {each.value:g}, which no {each.metric} can be"
    if len(beyond) > _MOST_OF_A_KIND:
        yield f"and {len(beyond) - _MOST_OF_A_KIND} more values out of their metric's range"
    turned = {
        each.metric
        for each in record.measurements
        if (metric := METRICS.get(each.metric)) and each.higher_is_better is not metric.higher_is_better
    }
    for name in sorted(turned):
        yield f"{name} is said to be better the other way round"
    try:
        when = datetime.fromisoformat(record.finished)
        if (when if when.tzinfo else when.replace(tzinfo=UTC)) > datetime.now(UTC) + timedelta(days=1):
            yield f"it says that it was finished at {record.finished}, which is yet to come"
    except ValueError:
        yield f"finished is {record.finished!r}, not a time"


def _of_pictures(folder: Path, record: CellRecord) -> Iterator[str]:
    lost = []
    for name in record.pictures:
        try:
            path, _ = checked_picture(folder, record.key, name)
        except UserError as error:
            if "is missing" in str(error):
                lost.append(name)
            else:
                yield str(error)
            continue
        said = record.picture_digests.get(name)
        if said is None and record.picture_digests:
            yield f"picture {name} has no digest; the others have one"
        elif said is not None and picture_digest(path) != said:
            yield f"picture {name} is not the one that was stored"
    if lost:
        yield f"{len(lost)} of {len(record.pictures)} pictures are missing, first {lost[0]}"


def _metrics_alike(metrics: Mapping[tuple[str, ...], Mapping[frozenset[str], list[str]]], found: Faults) -> None:
    """Probes of one scene and protocol measure the same: what all others have, none may lack."""
    for groups in metrics.values():
        everything = frozenset().union(*groups)
        for named, files in groups.items():
            if lacking := sorted(everything - named):
                found.add(f"{files[0]}: it has no {', '.join(lacking)}, which other cells of its scene and protocol have")


# --------------------------------------------------------------------------------------------------------------- rows


def _check_rows(folder: Path, heads: list[Head], found: Faults) -> int:
    """Check the rows of the chosen cells, and that the tables say what the cells say; returns their number."""
    try:
        chosen = planned.choose(heads, planned.planned_keys(folder))
    except UserError as error:
        found.add(str(error))
        chosen = planned.choose(heads, {})
    found.remarks += chosen.remarks
    store = Store(folder, create=False)
    tables = []
    for name in ROWS_FILES:
        if (folder / name).is_file() and not (folder / name).is_symlink():
            tables.append(_Table(folder / name))
        elif (folder / name).is_symlink():
            found.add(f"{folder / name} is a link; a results folder holds its own files")
        else:
            found.remarks.append(f"{folder / name} is not there; `bench run` writes it at its end")
    rows = 0
    for chunk in store.row_chunks(chosen.heads):
        rows += len(chunk)
        for problem in validate_rows(chunk):
            found.add(f"{folder}: {problem}")
        for table in tables:
            table.compare(chunk)
    for table in tables:
        problems = table.problems() if table.ended() else _out_of_step(table.path, rows, store, chosen.heads)
        for problem in problems:
            found.add(problem if problem.startswith(str(table.path)) else f"{table.path}: {problem}")
    return rows


class _Table:
    """A table of rows, read beside the rows of the cells, which it holds in the same order if nobody has touched it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chunks = table_chunks(path)
        self._held = pd.DataFrame()
        self._in_step = True
        self._unreadable = ""
        self._differences: dict[str, tuple[int, str]] = {}

    def compare(self, rows: pd.DataFrame) -> None:
        """Compare the next rows of the table with these."""
        held = self._take(len(rows)) if self._in_step else pd.DataFrame()
        self._in_step = len(held) == len(rows) and held[[*IDENTITY]].equals(rows[[*IDENTITY]])
        if self._in_step:
            for column, (count, first) in _differing(rows, held).items():
                before = self._differences.get(column, (0, first))
                self._differences[column] = before[0] + count, before[1]

    def ended(self) -> bool:
        """True where the table held these rows in this order, and no more."""
        return bool(self._unreadable) or (self._in_step and self._take(1).empty and not self._unreadable)

    def problems(self) -> list[str]:
        """How it differs from the cells, in words."""
        return [self._unreadable] if self._unreadable else _said(self._differences)

    def _take(self, count: int) -> pd.DataFrame:
        """The next rows of the table; fewer where it ends."""
        try:
            while len(self._held) < count and (chunk := next(self._chunks, None)) is not None:
                typed = as_rows(chunk)
                self._held = pd.concat([self._held, typed], ignore_index=True) if len(self._held) else typed
        except UserError as error:
            self._unreadable = str(error)
        taken = self._held.iloc[:count].reset_index(drop=True)
        self._held = self._held.iloc[count:]
        return taken


def _out_of_step(path: Path, count: int, store: Store, heads: Sequence[Head]) -> list[str]:
    """How a table that holds other rows than the cells, or in another order, differs from them."""
    held = as_rows(pd.concat(list(table_chunks(path)), ignore_index=True))
    problems = []
    if doubled := int(held.duplicated([*IDENTITY]).sum()):
        problems.append(f"{doubled} rows stand in it twice")
    if max(count, len(held)) > _MOST_ROWS:
        return [*problems, f"it holds {len(held):,} rows where the cells have {count:,}, or in another order; {_ANEW}"]
    rows = pd.concat([rows_of(()), *store.row_chunks(heads)], ignore_index=True)
    single = held.drop_duplicates([*IDENTITY])
    both = rows.merge(single, on=[*IDENTITY], how="outer", suffixes=("", "_held"), indicator="where")
    counts = both["where"].value_counts()
    if counts["left_only"] or counts["right_only"]:
        problems.append(
            f"{counts['left_only']} rows of the cells are not in it and {counts['right_only']} of its rows are in no cell; "
            f"{_ANEW}"
        )
    shared = both[both["where"] == "both"].reset_index(drop=True)
    named = {f"{column}_held": column for column in ROW_COLUMNS if column not in IDENTITY}
    theirs = shared[[*IDENTITY, *named]].rename(columns=named)
    problems += _said(_differing(shared[[*ROW_COLUMNS]], theirs[[*ROW_COLUMNS]]))
    return problems or [f"its rows stand in another order than `bench run` writes them in; {_ANEW}"]


def _differing(rows: pd.DataFrame, held: pd.DataFrame) -> dict[str, tuple[int, str]]:
    """By column, in how many rows a table differs from the rows of the cells at the same place, and the first of them."""
    found = {}
    for column in (name for name in ROW_COLUMNS if name not in IDENTITY):
        ours, theirs = rows[column], held[column]
        same = (ours == theirs) | (ours.isna() & theirs.isna())
        if ROW_COLUMNS[column] == "float64":
            same |= np.isclose(ours.astype(float), theirs.astype(float), rtol=1e-12, atol=0, equal_nan=True)
        bad = np.flatnonzero(~same.fillna(False).to_numpy(bool))
        if len(bad):
            first = rows.iloc[bad[0]]
            place = " ".join(str(first[name]) for name in ("dataset", "scene", "view", "model", "mode", "metric"))
            found[column] = len(bad), f"first {place}: {theirs.iloc[bad[0]]} here, {first[column]} in the cell"
    return found


def _said(differences: Mapping[str, tuple[int, str]]) -> list[str]:
    return [f"{column} differs from the cells in {count} rows, {first}" for column, (count, first) in differences.items()]


def _check_rows_only(folder: Path) -> Checked:
    paths = [folder / name for name in ROWS_FILES if (folder / name).is_file()] or [rows_file(folder)]
    remark = "there are no cells here: digests and pictures cannot be checked, nothing can be recomputed"
    problems: list[str] = []
    frames = []
    for path in paths:
        if path.is_symlink():
            problems.append(f"{path} is a link; a results folder holds its own files")
            continue
        try:
            frame = read_table(path)
        except UserError as error:
            problems.append(str(error))
            continue
        if frame.empty:
            raise UserError(f"{path} holds no rows")
        problems += [f"{path}: {each}" for each in validate_rows(frame)]
        frames.append(frame)
    if len(frames) == 2 and not problems:
        first, second = (as_rows(frame).sort_values([*IDENTITY], ignore_index=True) for frame in frames)
        if len(first) != len(second) or not (first[[*IDENTITY]] == second[[*IDENTITY]]).all(axis=None):
            problems.append(f"{paths[1]}: it does not hold the rows that {paths[0].name} holds")
        else:
            problems += [
                f"{paths[1]}: {said.replace('the cells', paths[0].name)}" for said in _said(_differing(first, second))
            ]
    keys = frames[0]["key"].nunique() if frames and "key" in frames[0] else 0
    return Checked(keys, len(frames[0]) if frames else 0, tuple(problems), (remark,))
