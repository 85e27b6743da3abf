"""What cells are expected to take before any of them has ended: told at the start of a run, and by a dry one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.cells import Cell
from bench.results.reference.reproduced import measured_costs
from bench.run.planning.planfile import GUESSED, Estimate

_STORED = "cells that are stored here or named by the plan"
_ELSEWHERE = "the suite's own run on another machine"
_GUESS = f"a twentieth of {GUESSED}"


@dataclass(frozen=True)
class Expected:
    """What cells are expected to take together.

    Attributes:
        seconds: One after the other, once their features are made.
        stored_mb: In the results folder; NaN where some cells are unlike all that was measured.
        basis: What the seconds were taken from.
    """

    seconds: float
    stored_mb: float
    basis: str


def expected(cells: Sequence[tuple[Cell, Estimate]], device: str) -> Expected:
    """What the cells are expected to take.

    Where no stored cell is like one of them, the suite's own run says what one of its track, protocol and mode takes
    (bench.results.reference.reproduced.measured_costs). That is of another machine and of small networks: a first idea,
    which goes into no plan, since a scheduler ends what takes longer than the plan says.

    Args:
        cells: With their estimates (bench.run.planning.planfile.estimated).
        device: "cpu" or "cuda".
    """
    costs = measured_costs(device)
    seconds, stored, bases = 0.0, 0.0, set()
    for cell, estimate in cells:
        like = costs.get((cell.track, cell.protocol, cell.mode)) or costs.get((cell.track, cell.protocol, ""))
        stored += math.nan if like is None else like[1]
        if estimate.guessed and like is not None:
            seconds += like[0]
            bases.add(_ELSEWHERE)
        else:
            seconds += estimate.seconds
            bases.add(_GUESS if estimate.guessed else _STORED)
    return Expected(seconds, stored, " and ".join(sorted(bases)))
