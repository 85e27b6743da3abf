"""Results folders joined into one: cells, pictures, plans and confirmations.

What two folders say differently is named, not chosen.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.core.errors import UserError
from bench.machine.files import write_atomically, write_text
from bench.results.confirmed import add_confirmations, read_confirmations
from bench.results.packs import CellFile, bytes_of, cell_files, cell_path, holds_cells
from bench.results.pictures import checked_picture, picture_path
from bench.results.planned import PLANS, plan_files, planned_keys
from bench.results.record import CellRecord, from_file
from bench.results.store import Store

_MOST = 8  #: conflicts that a message names one by one


@dataclass(frozen=True)
class Merged:
    """What a merge has done: how many cells it took over, how many were there already, how many rows the folder has now."""

    taken: int
    known: int
    rows: int


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Join results folders.

    A cell that several folders hold is taken once if they say the same of it; one that ended well replaces one that did not.
    What a machine measured of itself (seconds, memory, time) may differ. What other machines confirmed goes with the cells,
    and holds of those whose content is what was confirmed.

    Args:
        folders: Results folders with cells.
        out: The folder that takes them; it may hold cells already, and be one of the folders.

    Raises:
        UserError: For a folder without cells, a file that is no cell or no list of confirmations, or cells of the same key
            whose content differs: all of them are named before anything is written.
    """
    stores = [Store(folder, create=False) for folder in folders]
    confirmed = [each for folder in folders for each in read_confirmations(folder)]
    there = {path.stem: path for path in cell_files(out)} if holds_cells(out) else {}
    chosen: dict[str, tuple[CellFile, Path]] = {key: (path, out) for key, path in there.items()}
    conflicts: list[str] = []
    known = 0
    for store in stores:
        planned_keys(store.folder)
        for path in cell_files(store.folder):
            record = from_file(path)
            if record.key != path.stem:
                raise UserError(f"{path} holds the key {record.key}; a cell's file is named after its key")
            held = chosen.get(record.key)
            if held is None:
                chosen[record.key] = path, store.folder
                continue
            other = from_file(held[0])
            known += 1
            if record.status == "ok" and other.status != "ok":
                chosen[record.key] = path, store.folder
            elif record.status == other.status == "ok" and (difference := _difference(other, record)):
                conflicts.append(f"{record.cell.label} ({record.key[:12]}): {difference} in {held[1]} and in {store.folder}")
    if conflicts:
        more = [f"and {len(conflicts) - _MOST} more"] if len(conflicts) > _MOST else []
        raise UserError("\n".join(["the same cells with other numbers:", *conflicts[:_MOST], *more]))
    taken = 0
    for key, (path, folder) in sorted(chosen.items()):
        if folder != out:
            _take(key, path, folder, out)
            taken += 1
    for folder in folders:
        for plan in plan_files(folder):
            write_text(out / PLANS / plan.name, plan.read_text(encoding="utf-8"))
    if confirmed:
        add_confirmations(out, confirmed)
    return Merged(taken, known, Store(out).compact())


def _take(key: str, path: CellFile, folder: Path, out: Path) -> None:
    """Copy a cell, its pictures first. Pictures may have been left out of a submission."""
    for name in from_file(path).pictures if (folder / "pictures").is_dir() else ():
        source, _ = checked_picture(folder, key, name)
        write_atomically(picture_path(out, key, name), partial(shutil.copyfile, source))
    write_text(cell_path(out, key), bytes_of(path).decode())


def _difference(one: CellRecord, other: CellRecord) -> str:
    """What two records of one key say differently of the cell; "" where they agree."""
    if one.cell != other.cell:
        return "another cell"
    if one.weights != other.weights:
        return f"weights {one.weights} and {other.weights}"
    first, second = ({(m.metric, m.view, m.alignment): m for m in record.measurements} for record in (one, other))
    for place in (*first, *second):
        a, b = first.get(place), second.get(place)
        name = " ".join(part for part in place if part != "-")
        if a is None or b is None:
            return f"{name} stands in one only"
        if repr(a) != repr(b):
            return f"{name} is {a.value:.6g} and {b.value:.6g}" if a.value != b.value else f"{name} is described otherwise"
    return ""
