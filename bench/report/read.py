"""Reading results folders for reports: rows, and the cells behind them where they are there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.cells import EXTRACTION, PERF, Cell
from bench.core.errors import UserError
from bench.report.figures.gallery import Stored
from bench.results.schema import IDENTITY, PUBLISHED, ROW_COLUMNS
from bench.results.store import Store, read_rows
from bench.results.tables import arrow_schema, to_frame, with_text_once
from bench.stats.aggregate import plain


@dataclass(frozen=True)
class Results:
    """What the folders hold: rows, the cells behind them where they are there, whether the papers' tables were asked for.

    extraction: rows of the track "perf" that say what making features cost. machines: what the cells ran on, where that is
    known. remarks: what else the folders hold.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    stored: tuple[Stored, ...]
    published: bool = False
    extraction: pd.DataFrame = field(default_factory=functools.partial(pd.DataFrame, columns=list(ROW_COLUMNS)))
    machines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def is_published(folder: Path) -> bool:
    """True where `published` names the papers' tables: always, unless a results folder of that name lies here."""
    return folder == Path(PUBLISHED) and not (folder / "cells").is_dir()


def load_results(folders: Sequence[Path]) -> Results:
    """Read results folders; a measurement that stands in several is taken from the first. What `bench perf` measured is
    passed over: it is about a machine, not about models. Repeated text is held as categories
    (bench.results.tables.to_frame). Raises UserError for a folder without results."""
    import pyarrow as pa

    measured = [folder for folder in folders if not is_published(folder)]
    stored: list[Stored] = []
    tables = []
    machines: set[str] = set()
    remarks: list[str] = []
    for folder in measured:
        if (folder / "cells").is_dir():
            held = Store(folder, create=False).held()
            remarks += [f"{folder.resolve().name}: {remark}" for remark in held.remarks]
            machines |= {*held.machines}
            stored += _stored(held.rows, folder)
            tables.append(held.rows)
        else:
            rows = pa.Table.from_pandas(read_rows(folder), schema=arrow_schema(), preserve_index=False)
            tables.append(with_text_once(rows))
        if set(tables[-1].column("track").unique().to_pylist()) <= {PERF}:
            raise UserError(f"{folder} holds no finished cell yet; run `bench run --out {folder}` first")
    rows = to_frame(tables)
    tables.clear()
    names = tuple(folder.resolve().name if folder in measured else PUBLISHED for folder in folders)
    rows = rows[~rows.duplicated(list(IDENTITY))]
    perf = rows["track"] == PERF
    extraction = rows[perf & (rows["mode"] == EXTRACTION)]
    return Results(
        names,
        rows[~perf].reset_index(drop=True),
        tuple(stored),
        len(measured) < len(folders),
        plain(extraction).reset_index(drop=True),
        tuple(sorted(machines)),
        tuple(remarks),
    )


def _stored(rows: Any, folder: Path) -> list[Stored]:
    """The cells that an Arrow table of a folder's rows is of, in its order."""
    names = list(Cell.__dataclass_fields__)
    first = to_frame([rows]).drop_duplicates("key")
    cells = plain(first.loc[first["track"] != PERF, [*names, "weights", "key"]])
    return [Stored(folder, row[-1], Cell(*row[:-2]), row[-2]) for row in cells.itertuples(index=False, name=None)]
