"""A plan as a file: the cells of a run with what each is expected to cost, split into shards without a coordinator.

The file is JSON: {"plan": 1, "made_by": …, "weights": …, "device": …, "plugins": […], "cells": [{…cell…, "seconds": …,
"memory_mb": …, "basis": …}]}. Where data, caches and local weights lie is said where a shard is run, not in the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.core.version import VERSION
from bench.machine.files import write_text
from bench.machine.text import read_json
from bench.run.limits import cell_seconds
from bench.run.tracks import track_of

if TYPE_CHECKING:
    import pandas as pd

PLAN_VERSION = 1
GUESSED = "the protocol's time limit"
#: A cell's time limit is about twenty times what it takes (bench.run.limits).
_LIMIT_OVER_COST = 20
#: From the closest likeness to the loosest: the columns that a stored cell shares with the one that is estimated.
_LIKE = (
    ("track", "protocol", "model", "mode", "dataset", "scene"),
    ("track", "protocol", "model", "mode", "dataset"),
    ("track", "protocol", "model", "mode"),
    ("track", "protocol", "mode"),
    ("track", "protocol"),
)
#: The columns of rows that estimates are made from.
ESTIMATED_FROM = [*_LIKE[0], "status", "device", "key", "seconds", "peak_memory_mb"]


@dataclass(frozen=True)
class Estimate:
    """What a cell is expected to cost.

    Attributes:
        seconds: The median over like cells, or a twentieth of the protocol's time limit.
        memory_mb: The largest peak among like cells; NaN where none is known.
        basis: What it was taken from: "12 stored cells of the same track, protocol, mode", or GUESSED.
    """

    seconds: float
    memory_mb: float
    basis: str

    @property
    def guessed(self) -> bool:
        """True where no stored cell is like it."""
        return self.basis == GUESSED


@dataclass(frozen=True)
class PlanFile:
    """A plan: cells with estimates, and what every shard of it must share."""

    cells: tuple[tuple[Cell, Estimate], ...]
    weights: str
    device: str
    plugins: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(estimate.seconds for _, estimate in self.cells)


def estimated(cells: Sequence[Cell], device: str, rows: pd.DataFrame | None = None) -> list[tuple[Cell, Estimate]]:
    """The cells, each with what it is expected to cost.

    Args:
        cells: Of a plan.
        device: "cpu" or "cuda": only cells that were run on the same kind of device are alike.
        rows: Tidy rows of earlier runs, at least ESTIMATED_FROM.
    """
    tables: list[dict[Hashable, tuple[float, float, int]]] = []
    if rows is not None and len(rows):
        stored = rows[(rows["status"] == "ok") & (rows["device"] == device)].drop_duplicates("key")
        for columns in _LIKE:
            groups = stored.groupby(list(columns), sort=False)
            summary = groups.agg(seconds=("seconds", "median"), memory=("peak_memory_mb", "max"), n=("key", "size"))
            tables.append({key: tuple(values) for key, values in zip(summary.index, summary.to_numpy(), strict=True)})
    return [(cell, _estimate(cell, device, tables)) for cell in cells]


def _estimate(cell: Cell, device: str, tables: Sequence[Mapping[Hashable, tuple[float, float, int]]]) -> Estimate:
    for columns, table in zip(_LIKE, tables, strict=False):
        found = table.get(tuple(getattr(cell, column) for column in columns))
        if found is not None and math.isfinite(found[0]):
            return Estimate(
                round(found[0], 3), float(found[1]), f"{found[2]:.0f} stored cells of the same {', '.join(columns)}"
            )
    return Estimate(round(cell_seconds(cell, device) / _LIMIT_OVER_COST, 3), math.nan, GUESSED)


def shard(cells: Sequence[tuple[Cell, Estimate]], number: int, count: int) -> list[Cell]:
    """One of the parts that `shards` gives.

    Args:
        number: From 1 to count.

    Raises:
        UserError: For a number outside the range.
    """
    if not 1 <= number <= count:
        raise UserError(f"--shard {number}/{count}: the first number is from 1 to {max(count, 1)}")
    return shards(cells, count)[number - 1]


def shards(cells: Sequence[tuple[Cell, Estimate]], count: int) -> list[list[Cell]]:
    """`count` parts of a plan, of about equal cost.

    Cells that a process runs together (one model on one scene) stay together, unless they would be more than a part. The
    parts are disjoint, cover the plan and depend on nothing but it: any of them may be run anywhere, in any order.
    """
    mean = sum(estimate.seconds for _, estimate in cells) / count
    pieces = [piece for members in grouped(cells) for piece in _pieces(members, mean)]
    pieces.sort(key=lambda piece: (-piece[1], piece[0][0]))  # the longest first, to the least loaded
    loads = [0.0] * count
    parts: list[list[Cell]] = [[] for _ in loads]
    for members, seconds in pieces:
        place = loads.index(min(loads))
        loads[place] += seconds
        parts[place] += members
    return [sorted(part) for part in parts]


def grouped(cells: Sequence[tuple[Cell, Estimate]]) -> list[list[tuple[Cell, Estimate]]]:
    """The cells by the process that runs them together, in the order of cells."""
    groups: dict[tuple[Hashable, ...], list[tuple[Cell, Estimate]]] = {}
    for cell, estimate in sorted(cells, key=lambda pair: pair[0]):
        groups.setdefault(track_of(cell).group(cell), []).append((cell, estimate))
    return list(groups.values())


def _pieces(group: Sequence[tuple[Cell, Estimate]], most: float) -> list[tuple[list[Cell], float]]:
    """A group as it is where it takes no more than so many seconds, else cut into pieces that do, or have one cell."""
    pieces: list[tuple[list[Cell], float]] = [([], 0.0)]
    whole = sum(estimate.seconds for _, estimate in group) <= most * (1 + 1e-9)
    for cell, estimate in group:
        members, seconds = pieces[-1]
        if members and not whole and seconds + estimate.seconds > most:
            pieces.append(([cell], estimate.seconds))
        else:
            members.append(cell)
            pieces[-1] = members, seconds + estimate.seconds
    return pieces


def write_plan_file(path: Path, plan: PlanFile) -> None:
    """Write a plan, one cell a line. Raises UserError where the file cannot be written."""
    head = {"plan": PLAN_VERSION, "made_by": f"vfm3d-bench {VERSION}", **asdict(plan)}
    head.pop("cells")
    lines = ",\n".join(json.dumps({**asdict(cell), **_finite(asdict(estimate))}) for cell, estimate in plan.cells)
    write_text(path, f'{json.dumps(head)[:-1]}, "cells": [\n{lines}\n]}}\n')


def read_plan_file(path: Path) -> PlanFile:
    """Read a plan.

    Raises:
        UserError: Naming the file and what is wrong with it.
    """
    try:
        stored = read_json(path, "plan")
        if stored["plan"] != PLAN_VERSION:
            raise ValueError(f"it is a plan of version {stored['plan']!r}, this suite reads version {PLAN_VERSION}")
        texts = [stored["weights"], stored["device"], *stored["plugins"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("weights, device and plugins must be texts")
        cells = tuple(_entry(entry, place) for place, entry in enumerate(stored["cells"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a plan ({type(error).__name__}: {error}); `bench plan` writes one") from error
    return PlanFile(cells, texts[0], texts[1], tuple(texts[2:]))


def _entry(entry: Mapping[str, Any], place: int) -> tuple[Cell, Estimate]:
    values = {each.name: entry[each.name] for each in fields(Cell)}
    seed = values.pop("seed")
    if not all(isinstance(value, str) and value for value in values.values()):
        raise ValueError(f"cell {place} has a field that is no text")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"cell {place}: the seed {seed!r} is no whole number")
    memory = entry["memory_mb"]
    estimate = Estimate(float(entry["seconds"]), math.nan if memory is None else float(memory), str(entry["basis"]))
    if not (math.isfinite(estimate.seconds) and estimate.seconds >= 0):
        raise ValueError(f"cell {place}: {entry['seconds']!r} seconds")
    return Cell(**values, seed=seed), estimate


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


def totals(cells: Iterable[tuple[Cell, Estimate]]) -> dict[tuple[str, ...], tuple[int, float, float]]:
    """(track, data set, protocol, mode) -> number of cells, seconds, and the largest memory in MB (NaN where unknown)."""
    found: dict[tuple[str, ...], tuple[int, float, float]] = {}
    for cell, estimate in cells:
        key = (cell.track, cell.dataset, cell.protocol, cell.mode)
        count, seconds, memory = found.get(key, (0, 0.0, math.nan))
        largest = estimate.memory_mb if math.isnan(memory) else max(memory, estimate.memory_mb)
        found[key] = count + 1, seconds + estimate.seconds, largest
    return found
