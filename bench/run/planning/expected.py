"""What cells are expected to take before any of them has ended: told at the start of a run, and by a dry one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.core.cells import INSTANTSPLAT, Cell
from bench.results.reference.reproduced import measured_costs
from bench.run.planning.planfile import GUESSED, Estimate, grouped
from bench.run.tracks import track_of

_STORED = "cells that are stored here or named by the plan"
_ELSEWHERE = "the suite's own run on another machine"
_GUESS = f"a twentieth of {GUESSED}"

Costs = Mapping[tuple[str, str, str], tuple[float, float]]  #: bench.results.reference.reproduced.measured_costs


@dataclass(frozen=True)
class Expected:
    """What cells are expected to take together.

    Attributes:
        group_seconds: Of the cells that one process runs one after the other (a model's modes on a scene, an estimator's
            photos), once their features are made; group by group, in the order in which they are begun.
        stored_mb: In the results folder, of the cells that are like one that was measured.
        unsized: How many cells are like none.
        prepared: Whether features are made before.
        basis: What the seconds were taken from.
    """

    group_seconds: tuple[float, ...]
    stored_mb: float
    unsized: int
    prepared: bool
    basis: str

    @property
    def seconds(self) -> float:
        """Of all cells, one after the other."""
        return math.fsum(self.group_seconds)

    def workers(self, jobs: int) -> int:
        """How many of so many processes have something to do; 0 for 0, which is as many as a cluster has room for."""
        return min(jobs, len(self.group_seconds))

    def wall_seconds(self, workers: int) -> float:
        """Until the last cell has ended, where each of so many processes (at least one) begins the next group once it is
        free."""
        free_at = [0.0] * workers
        for seconds in self.group_seconds:
            heapq.heapreplace(free_at, free_at[0] + seconds)
        return max(free_at)


def expected(cells: Sequence[tuple[Cell, Estimate]], device: str) -> Expected:
    """What the cells are expected to take.

    Where no stored cell is like one of them, the suite's own run says what one of its track, protocol and mode takes
    (bench.results.reference.reproduced.measured_costs). That is of another machine and of small networks: a first idea,
    which goes into no plan, since a scheduler ends what takes longer than the plan says. What a cell stores depends on no
    device.

    Args:
        cells: With their estimates (bench.run.planning.planfile.estimated).
        device: "cpu" or "cuda".
    """
    costs = measured_costs(device)
    sizes = {**measured_costs("cuda"), **measured_costs("cpu")}
    groups: list[float] = []
    stored, unsized, bases = 0.0, 0, set()
    for members in grouped(cells):
        seconds = 0.0
        for cell, estimate in members:
            cost, size = _like(cell, costs), _like(cell, sizes)
            if size is None:
                unsized += 1
            else:
                stored += size[1]
            if estimate.guessed and cost is not None:
                seconds += cost[0]
                bases.add(_ELSEWHERE)
            else:
                seconds += estimate.seconds
                bases.add(_GUESS if estimate.guessed else _STORED)
        groups.append(seconds)
    prepared = any(True for cell, _ in cells for _ in track_of(cell).preparations(cell))
    return Expected(tuple(groups), stored, unsized, prepared, " and ".join(sorted(bases)))


def _like(cell: Cell, costs: Costs) -> tuple[float, float] | None:
    """Seconds and MB of a cell of the same track, protocol and mode, else the mean over the other modes without the
    baseline."""
    if own := costs.get((cell.track, cell.protocol, cell.mode)):
        return own
    others = [
        cost
        for (track, protocol, mode), cost in costs.items()
        if (track, protocol) == (cell.track, cell.protocol) and mode != INSTANTSPLAT
    ]
    if not others:
        return None
    seconds, stored = (math.fsum(values) / len(others) for values in zip(*others, strict=True))
    return seconds, stored
