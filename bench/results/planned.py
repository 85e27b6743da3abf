"""Which keys a folder's rows are of. It may hold several keys of one cell: of older code, other weights, another device.

    DIR/planned/<digest>.json    what one run planned: each cell, its weights, and the key that was asked for

The newest plan that names a cell decides; of cells that no plan names, the newest that is stored. So a run that goes back to
older code gives the older numbers, and a cell that was planned anew but not run yet is missing rather than stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.machine.digests import json_digest
from bench.machine.files import unreadable, write_text
from bench.results.packs import MOST_BYTES
from bench.results.record import MOST_NAME, Head
from bench.results.schema import KEY

PLANS = "planned"  #: the folder's subfolder of plans
Identity = tuple[Cell, str]  #: a cell and its weights: what a folder has one set of rows for


@dataclass(frozen=True)
class Chosen:
    """The cells that a folder's rows are of.

    Attributes:
        heads: One of each identity, sorted by it.
        others: Stored cells of the same identities that the rows are not of.
        awaited: How many planned cells have no rows, though cells of other keys are stored for them.
    """

    heads: tuple[Head, ...]
    others: tuple[Head, ...]
    awaited: int

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the rows should know of the cells that are not among them."""
        said = []
        if self.others:
            labels = list(dict.fromkeys(head.cell.label for head in self.others))
            more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
            said.append(
                f"{len(self.others)} stored cells have another key than the rows are of (older code, other weights, data or "
                f"device): {labels[0]} ({self.others[0].key[:12]}){more}"
            )
        if self.awaited:
            said.append(f"{self.awaited} cells were planned anew and not run yet; the older ones are no rows")
        return tuple(said)


def write_plan(folder: Path, keys: Mapping[Identity, str]) -> None:
    """Take down what a run has planned. The same plan again replaces its older file."""
    entries = sorted([*astuple(cell), weights, key] for (cell, weights), key in keys.items())
    name = json_digest(entries)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    write_text(folder / PLANS / f"{name}.json", f'{{"planned": "{now}", "cells": [\n{lines}\n]}}\n')


def plan_files(folder: Path) -> list[Path]:
    """The plans of a folder."""
    return sorted(path for path in (folder / PLANS).glob("*.json") if not path.name.startswith("."))


def planned_keys(folder: Path) -> dict[Identity, str]:
    """The key that the newest plan asks for, of each identity.

    Raises:
        UserError: Naming a file that is no plan.
    """
    plans = sorted((_read(path) for path in plan_files(folder)), key=lambda plan: plan[0])
    return {identity: key for _, keys in plans for identity, key in keys.items()}


def choose(heads: Iterable[Head], planned: Mapping[Identity, str]) -> Chosen:
    """The cells that the rows are of, among all that a folder holds."""
    stored: dict[Identity, list[Head]] = {}
    for head in heads:
        stored.setdefault(head.identity, []).append(head)
    chosen: dict[Identity, Head] = {}
    others: list[Head] = []
    awaited = 0
    for identity, members in stored.items():
        wanted = planned.get(identity)
        taken = (
            max(members, key=lambda head: (head.finished, head.key))
            if wanted is None
            else next((head for head in members if head.key == wanted), None)
        )
        if taken is None:
            awaited += 1
        else:
            chosen[identity] = taken
        others += [head for head in members if head is not taken]
    return Chosen(tuple(chosen[identity] for identity in sorted(chosen)), tuple(others), awaited)


def _read(path: Path) -> tuple[str, dict[Identity, str]]:
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            raise ValueError("it is a link or too large")
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
        planned = stored["planned"]
        datetime.fromisoformat(planned)
        return planned, dict(_entry(entry) for entry in stored["cells"])
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path} is not a plan of a run ({type(error).__name__}: {error}); remove it and run again"
        ) from error


def _entry(entry: Any) -> tuple[Identity, str]:
    *fields, seed, weights, key = entry
    if not (len(fields) == 7 and all(isinstance(each, str) and len(each) <= MOST_NAME for each in (*fields, weights))):
        raise ValueError("a cell of it is not made of eight fields, weights and a key")
    if isinstance(seed, bool) or not isinstance(seed, int) or not isinstance(key, str) or not KEY.fullmatch(key):
        raise ValueError("the seed or the key of a cell is not as it must be")
    track, dataset, scene, model, mode, pointmap, protocol = fields
    return (Cell(track, dataset, scene, model, mode, pointmap, protocol, seed), weights), key
