"""Reading results folders for reports: rows, and the cells behind them where they are there."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.cells import EXTRACTION, PERF, Cell
from bench.core.errors import UserError
from bench.report.figures.gallery import Stored
from bench.report.say.cards import read_cards_of
from bench.results.confirmed import confirmed_keys
from bench.results.packs import holds_cells
from bench.results.schema import IDENTITY, PUBLISHED, ROW_COLUMNS
from bench.results.store import Held, Store, read_rows
from bench.results.tables import arrow_schema, to_frame, with_text_once
from bench.stats.aggregate import plain


@dataclass(frozen=True)
class Results:
    """What the folders hold: rows, the cells behind them where they are there, whether the papers' tables were asked for.

    extraction: rows of the track "perf" that say what making features cost. machines: what the cells ran on, where that is
    known. remarks: what else the folders hold. confirmed: the keys of cells that another machine gave alike.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    stored: tuple[Stored, ...]
    published: bool = False
    extraction: pd.DataFrame = field(default_factory=functools.partial(pd.DataFrame, columns=list(ROW_COLUMNS)))
    machines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    confirmed: frozenset[str] = frozenset()


def is_published(folder: Path) -> bool:
    """True where `published` names the papers' tables: always, unless a results folder of that name lies here."""
    return folder == Path(PUBLISHED) and not holds_cells(folder)


def load_results(folders: Sequence[Path]) -> Results:
    """Read results folders; a measurement that stands in several is taken from the first. What `bench perf` measured is
    passed over: it is about a machine, not about models. Repeated text is held as categories
    (bench.results.tables.to_frame). Raises UserError for a folder without results."""
    measured = [folder for folder in folders if not is_published(folder)]
    lengths: list[int] = []
    machines: set[str] = set()
    remarks: list[str] = []
    confirmed = frozenset[str]().union(*map(confirmed_keys, measured))

    def tables() -> Iterator[Any]:
        for folder in measured:
            held = _held(folder)
            if set(held.rows.column("track").unique().to_pylist()) <= {PERF}:
                raise UserError(f"{folder} holds no finished cell yet; run `bench run --out {folder}` first")
            remarks.extend(f"{folder.resolve().name}: {remark}" for remark in held.remarks)
            machines.update(held.machines)
            lengths.append(len(held.rows))
            yield held.rows

    rows = to_frame(tables())
    stored = tuple(_stored(rows, measured, lengths))
    read_cards_of(rows["model"].unique(), rows["dataset"].unique(), rows["pointmap"].unique())
    names = tuple(folder.resolve().name if folder in measured else PUBLISHED for folder in folders)
    if len(measured) > 1:
        rows = rows[~rows.duplicated(list(IDENTITY))]
    perf = rows["track"] == PERF
    extraction = rows[perf & (rows["mode"] == EXTRACTION)]
    return Results(
        names,
        rows[~perf].reset_index(drop=True) if perf.any() else rows.reset_index(drop=True),
        stored,
        len(measured) < len(folders),
        plain(extraction).reset_index(drop=True),
        tuple(sorted(machines)),
        tuple(remarks),
        confirmed,
    )


def _held(folder: Path) -> Held:
    """What a folder holds; one without cells has its rows alone."""
    import pyarrow as pa

    if holds_cells(folder):
        return Store(folder, create=False).held()
    rows = pa.Table.from_pandas(read_rows(folder), schema=arrow_schema(), preserve_index=False)
    return Held(with_text_once(rows), (), ())


def _stored(rows: pd.DataFrame, folders: Sequence[Path], lengths: Sequence[int]) -> Iterator[Stored]:
    """The cells that rows are of. folders, lengths: whose rows stand below each other, and how many each has."""
    names = list(Cell.__dataclass_fields__)
    start = 0
    for folder, length in zip(folders, lengths, strict=True):
        part = rows.iloc[start : start + length]
        start += length
        if holds_cells(folder):
            first = part[~part["key"].duplicated() & (part["track"] != PERF)]
            cells = plain(first[[*names, "weights", "key"]]).itertuples(index=False, name=None)
            yield from (Stored(folder, row[-1], Cell(*row[:-2]), row[-2]) for row in cells)
