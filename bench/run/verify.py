"""Whether a results folder can be trusted: files, digests, keys, duplicates, rows; and a sample of cells computed anew.

A digest catches accidents and careless edits. Whoever edits a file on purpose can form its digest anew; that is what the
recomputation is for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.core.cells import PERF, Measurement
from bench.core.errors import UserError
from bench.results.migration import migrated
from bench.results.schema import IDENTITY, ROW_COLUMNS, as_rows, validate_rows
from bench.results.store import ROWS_FILES, CellRecord, Store, content_digest, read_table, rows_file, rows_of

if TYPE_CHECKING:
    from bench.run.tracks import Settings

#: A recomputed value may differ by this share of the stored one, or by ABSOLUTE. The same machine gives the same numbers;
#: other processors round otherwise, and hundreds of optimisation steps carry that on.
RELATIVE = 0.01
ABSOLUTE = 1e-4
_MOST = 5  #: problems of one kind that are named one by one


@dataclass(frozen=True)
class Verdict:
    """What a verification found. problems: why the results cannot be trusted; remarks: what could not be checked."""

    cells: int
    rows: int
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    recomputed: int = 0


def verify(folder: Path, recompute: int = 0, settings: Settings | None = None) -> Verdict:
    """Check a results folder: every file of a cell (readable, of this row format, its digest, its name, its pictures), keys
    that stand twice, the rows (bench.results.schema.validate_rows), rows.csv and rows.parquet against the cells.

    recompute: so many finished cells, spread evenly over the keys, are run anew with `settings` and compared. A folder with
    rows only is checked as far as rows go. Raises UserError where the folder holds no results.
    """
    if not (folder / "cells").is_dir():
        return _verify_rows_only(folder)
    store = Store(folder, create=False)
    paths = sorted((folder / "cells").glob("*.json"))
    problems: list[str] = []
    remarks: list[str] = []
    records: list[tuple[str, CellRecord]] = []
    undigested = 0
    pictured = (folder / "pictures").is_dir()
    for path in paths:
        try:
            record = store.read(path.stem)
        except UserError as error:
            problems.append(str(error))
            continue
        if record is None:
            continue
        records.append((path.name, record))
        stored = json.loads(path.read_text(encoding="utf-8"))
        undigested += "digest" not in stored
        if "digest" in stored and stored["digest"] != content_digest(stored):
            problems.append(f"{path}: its content does not fit its digest; a value was changed after it was stored")
        if record.key != path.stem:
            problems.append(f"{path}: it holds the key {record.key}; a cell's file is named after its key")
        problems += _lost_pictures(folder, record) if pictured else []
    if not pictured and any(record.pictures for _, record in records):
        remarks.append(f"{folder}: the pictures were left out")
    if undigested:
        remarks.append(f"{undigested} of {len(records)} cells carry no digest; an older version stored them")
    versions = {str(record.provenance.get("code_version", "")) for _, record in records} - {""}
    if len(versions) > 1:
        remarks.append(f"{folder} mixes cells of {len(versions)} versions of the code: {', '.join(sorted(versions))}")
    problems += _twice(records)
    if not records and not problems:
        raise UserError(f"{folder} holds no finished cell yet")
    rows = rows_of(_newest(record for _, record in records))
    problems += [f"{folder}: {problem}" for problem in validate_rows(rows)]
    problems += _compacted(folder, rows, remarks)
    done = 0
    if recompute and settings is not None:
        found = _recompute([record for _, record in records], recompute, settings)
        problems, remarks, done = [*problems, *found.problems], [*remarks, *found.remarks], found.recomputed
    return Verdict(len(records), len(rows), tuple(problems), tuple(remarks), done)


def _verify_rows_only(folder: Path) -> Verdict:
    path = rows_file(folder)
    remark = "there are no cells here: digests and pictures cannot be checked, nothing can be recomputed"
    try:
        frame = migrated(read_table(path))
    except UserError as error:
        return Verdict(0, 0, (str(error),), (remark,))
    if frame.empty:
        raise UserError(f"{path} holds no rows")
    problems = tuple(f"{path}: {each}" for each in validate_rows(frame))
    return Verdict(frame["key"].nunique() if "key" in frame else 0, len(frame), problems, (remark,))


def _lost_pictures(folder: Path, record: CellRecord) -> list[str]:
    missing = [name for name in record.pictures if not (folder / "pictures" / record.key / f"{name}.png").is_file()]
    if not missing:
        return []
    lost = f"{len(missing)} of {len(record.pictures)} pictures are missing, first {missing[0]}"
    return [f"{folder / 'pictures' / record.key}: {lost}"]


def _twice(records: Sequence[tuple[str, CellRecord]]) -> list[str]:
    """Keys that several files claim."""
    files: dict[str, list[str]] = {}
    for name, record in records:
        files.setdefault(record.key, []).append(name)
    return [
        f"the key {key} stands in {len(names)} files: {', '.join(names)}" for key, names in files.items() if len(names) > 1
    ]


def _newest(records: Iterable[CellRecord]) -> list[CellRecord]:
    """As bench.results.store.Store.records chooses: the newest of each identity."""
    newest: dict[Any, CellRecord] = {}
    for record in records:
        held = newest.get((record.cell, record.weights))
        if held is None or record.finished >= held.finished:
            newest[record.cell, record.weights] = record
    return [newest[identity] for identity in sorted(newest)]


def _compacted(folder: Path, rows: pd.DataFrame, remarks: list[str]) -> list[str]:
    """rows.csv and rows.parquet must say what the cells say."""
    problems = []
    for path in (folder / name for name in ROWS_FILES):
        if not path.is_file():
            remarks.append(f"{path} is not there; `bench run` writes it at its end")
            continue
        try:
            frame = migrated(read_table(path))
        except UserError as error:
            problems.append(str(error))
            continue
        try:
            held = as_rows(frame)
        except UserError as error:
            problems.append(f"{path}: {error}")
            continue
        problems += [f"{path}: {difference}" for difference in _differences(rows, held)]
    return problems


def _differences(rows: pd.DataFrame, held: pd.DataFrame) -> list[str]:
    """How `held` differs from `rows`, in words."""
    both = rows.merge(held, on=list(IDENTITY), how="outer", suffixes=("", "_held"), indicator="where")
    counts = both["where"].value_counts()
    found = []
    if counts["left_only"] or counts["right_only"]:
        found.append(
            f"{counts['left_only']} rows of the cells are not in it and {counts['right_only']} of its rows are in no cell; "
            "run the same `bench run` again to write it anew"
        )
    shared = both[both["where"] == "both"]
    for column in (name for name in ROW_COLUMNS if name not in IDENTITY):
        ours, theirs = shared[column], shared[f"{column}_held"]
        same = (ours == theirs) | (ours.isna() & theirs.isna())
        if ROW_COLUMNS[column] == "float64":
            same |= np.isclose(ours.astype(float), theirs.astype(float), rtol=1e-12, atol=0, equal_nan=True)
        bad = shared[~same.fillna(False).astype(bool)]
        if len(bad):
            first = bad.iloc[0]
            place = " ".join(str(first[name]) for name in ("dataset", "scene", "view", "model", "mode", "metric"))
            found.append(
                f"{column} differs from the cells in {len(bad)} rows, first {place}: "
                f"{first[f'{column}_held']} here, {first[column]} in the cell"
            )
    return found


# -------------------------------------------------------------------------------------------------------- recomputation


def _recompute(records: Sequence[CellRecord], count: int, settings: Settings) -> Verdict:
    """Run `count` finished cells anew, each with the weights and the device that it names, and compare every value."""
    from bench.run import tracks

    finished = sorted(
        (record for record in records if record.status == "ok" and record.cell.track != PERF), key=lambda record: record.key
    )
    chosen = [finished[round(place)] for place in np.linspace(0, len(finished) - 1, min(count, len(finished)))]
    problems, remarks, done = [], [], 0
    for record in chosen:
        own = replace(settings, weights=record.weights, device=record.device)
        try:
            if lack := other_weights(record, own):
                remarks.append(f"{record.cell.label} could not be computed anew: {lack}")
                continue
            if tracks.cell_key(record.cell, own) != record.key:
                remarks.append(f"{record.cell.label}: another version of the code, model or data (the key differs)")
            outcome = tracks.run(record.cell, own)
        except Exception as error:  # a model may raise anything
            remarks.append(f"{record.cell.label} could not be computed anew: {type(error).__name__}: {error}")
            continue
        done += 1
        problems += [
            f"{record.cell.label} ({record.key[:12]}): {text}" for text in _off(record.measurements, outcome.measurements)
        ]
    return Verdict(len(records), 0, tuple(problems), tuple(remarks), done)


def other_weights(record: CellRecord, settings: Settings) -> str:
    """Which weights a cell was run with that `settings` does not give, and what to do; "" where they are the same ones.

    Weights are known by their content (bench.machine.weights.identity), wherever they lie: a cell says no path. Those of the
    publisher are fetched where they are not here. A cell of an older version that says nothing of its weights has "".
    """
    from bench.machine.weights import fetch
    from bench.run import tracks
    from bench.run.plan import model_classes

    stored = record.provenance.get("weights", {})
    for name, cls in model_classes(record.cell):
        absent = ""
        if settings.weights == "pretrained" and settings.checkpoint(name) is None:
            try:
                fetch(cls, name)
            except UserError as error:
                absent = f" ({error})"
        here = tracks.weights_identities(record.cell, settings)[name]
        if stored.get(name, here) != here:
            return (
                f"it was run with other weights of {name} than are here: {stored[name]}, not {here}{absent}; "
                f"give the file or folder that it was run with by --checkpoint {name}=PATH"
            )
    return ""


def _off(stored: Sequence[Measurement], anew: Sequence[Measurement]) -> list[str]:
    """The stored values that a recomputation does not give."""
    old, new = (_by_place(measurements) for measurements in (stored, anew))
    found = []
    for place, measurement in old.items():
        again = new.get(place)
        name = " ".join(part for part in place if part != "-")
        if again is None:
            found.append(f"{name} is stored but is not measured any more")
        elif again.status != measurement.status:
            found.append(f"{name} is stored as {measurement.status} but is {again.status} now")
        elif measurement.status == "ok" and not _close(measurement.value, again.value):
            found.append(f"{name} is stored as {measurement.value:.6g} but is {again.value:.6g} now")
    return [*found[:_MOST], *([f"and {len(found) - _MOST} more values"] if len(found) > _MOST else [])]


def _by_place(measurements: Iterable[Measurement]) -> Mapping[tuple[str, str, str], Measurement]:
    return {(each.metric, each.view, each.alignment): each for each in measurements}


def _close(stored: float, anew: float) -> bool:
    return math.isclose(stored, anew, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
