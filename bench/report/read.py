"""Reading results folders for reports: rows, and the cells behind them where they are there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.core.cells import EXTRACTION, PERF
from bench.core.errors import UserError
from bench.report.figures.gallery import Stored
from bench.results.schema import IDENTITY, PUBLISHED, ROW_COLUMNS
from bench.results.store import Store, read_rows, rows_of


@dataclass(frozen=True)
class Results:
    """What the folders hold: rows, the cells behind them where they are there, whether the papers' tables were asked for.

    extraction: rows of the track "perf" that say what making features cost. remarks: what else the folders hold.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    stored: tuple[Stored, ...]
    published: bool = False
    extraction: pd.DataFrame = field(default_factory=functools.partial(pd.DataFrame, columns=list(ROW_COLUMNS)))
    remarks: tuple[str, ...] = ()


def is_published(folder: Path) -> bool:
    """True where `published` names the papers' tables: always, unless a results folder of that name lies here."""
    return folder == Path(PUBLISHED) and not (folder / "cells").is_dir()


def load_results(folders: Sequence[Path]) -> Results:
    """Read results folders; a measurement that stands in several is taken from the first. What `bench perf` measured is
    passed over: it is about a machine, not about models. Raises UserError for a folder without results."""
    measured = [folder for folder in folders if not is_published(folder)]
    stored: list[Stored] = []
    frames = []
    remarks: list[str] = []
    for folder in measured:
        if (folder / "cells").is_dir():
            store = Store(folder, create=False)
            chosen = store.chosen()
            remarks += [f"{folder.resolve().name}: {remark}" for remark in chosen.remarks]
            records = list(store.records_of(chosen.heads))
            stored += [(record, folder) for record in records if record.cell.track != PERF]
            frames.append(rows_of(records))
        else:
            frames.append(read_rows(folder))
        if (frames[-1]["track"] == PERF).all():
            raise UserError(f"{folder} holds no finished cell yet; run `bench run --out {folder}` first")
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(ROW_COLUMNS))
    names = tuple(folder.resolve().name if folder in measured else PUBLISHED for folder in folders)
    rows = rows.drop_duplicates(list(IDENTITY))
    perf = rows["track"] == PERF
    extraction = rows[perf & (rows["mode"] == EXTRACTION)]
    return Results(
        names,
        rows[~perf].reset_index(drop=True),
        tuple(stored),
        len(measured) < len(folders),
        extraction.reset_index(drop=True),
        tuple(remarks),
    )
