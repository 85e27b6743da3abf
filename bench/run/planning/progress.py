"""How far a results folder is, against what was planned for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.cells import Cell
from bench.results.claims import Claims
from bench.results.planned import planned_keys
from bench.results.store import Store
from bench.run.planning.planfile import Estimate


@dataclass(frozen=True)
class Progress:
    """Planned cells by how they stand.

    Attributes:
        done: Stored and well.
        failed: Stored as failed or unavailable; the next run tries them again.
        running: Claimed by a process that lives, as far as can be told from here.
        missing: Neither stored nor claimed.
        left_seconds: What the cells that are not done are expected to take one after the other; None without a plan file.
        expected_seconds, taken_seconds: What the done cells were expected to take, and took; cells without a time of their
            own (they shared a GPU) are in neither. None without a plan file.
    """

    done: tuple[Cell, ...]
    failed: tuple[Cell, ...]
    running: tuple[Cell, ...]
    missing: tuple[Cell, ...]
    left_seconds: float | None
    expected_seconds: float | None = None
    taken_seconds: float | None = None


def progress_of(folder: Path, plan: Sequence[tuple[Cell, Estimate]] | None = None) -> Progress:
    """How far a folder is.

    Args:
        folder: The results folder.
        plan: The cells of a plan file; None for what runs have planned in the folder.

    Raises:
        UserError: Where the folder holds no results, or a file in it is at fault.
    """
    keys: Mapping[Cell, str] = {cell: key for (cell, _), key in planned_keys(folder).items()}
    store = Store(folder, create=False)
    heads = {head.cell: head for head in store.chosen().heads}
    stored = {cell: head.status for cell, head in heads.items()}
    cells = [cell for cell, _ in plan] if plan is not None else list(keys)
    held = Claims(folder).held()
    groups: dict[str, list[Cell]] = {"done": [], "failed": [], "running": [], "missing": []}
    for cell in cells:
        status = stored.get(cell)
        if cell in keys and status != "ok" and keys[cell] in held:
            groups["running"].append(cell)
        elif status is None:
            groups["missing"].append(cell)
        else:
            groups["done" if status == "ok" else "failed"].append(cell)
    left = expected = taken = None
    if plan is not None:
        open_cells = {*groups["running"], *groups["missing"], *groups["failed"]}
        left = sum(estimate.seconds for cell, estimate in plan if cell in open_cells)
        seconds = {record.cell: record.seconds for record in store.records_of(heads[cell] for cell in groups["done"])}
        timed = {cell for cell, each in seconds.items() if math.isfinite(each)}
        expected = sum(estimate.seconds for cell, estimate in plan if cell in timed)
        taken = sum(seconds[cell] for cell in timed)
    done, failed, running, missing = (tuple(sorted(groups[name])) for name in ("done", "failed", "running", "missing"))
    return Progress(done, failed, running, missing, left, expected, taken)
