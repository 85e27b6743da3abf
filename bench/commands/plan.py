"""`bench plan`: what a run will cost."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.commands.run import print_left_out
from bench.core.cells import Cell, Weights
from bench.core.errors import UserError
from bench.core.text import counted
from bench.results.store import read_rows
from bench.run.planning.needs import by_need
from bench.run.planning.planfile import Estimate, PlanFile, estimated, read_plan_file, shard, totals, write_plan_file
from bench.run.request import AUTO, Request
from bench.run.session import plan_of


def plan_command(request: Request, like: list[Path], to: Path, console: Console) -> None:
    """Write a plan file and print what it will cost. like: results folders whose cells the estimates are taken from."""
    elsewhere = request.device != AUTO
    plugins = request.plugins
    request = request.for_other_machines() if elsewhere else request.on_this_machine()
    plan = plan_of(request, fetching=False, elsewhere=elsewhere)
    rows = pd.concat([read_rows(folder) for folder in like], ignore_index=True) if like else None
    found = PlanFile(tuple(estimated(plan.cells, request.device, rows)), request.weights, request.device, plugins)
    write_plan_file(to, found)
    table = Table("track", "data set", "protocol", "mode", "cells", "hours", "MB", title=f"{len(found.cells)} cells")
    for key, (count, seconds, memory) in totals(found.cells).items():
        table.add_row(*key, str(count), f"{seconds / 3600:.2f}", "" if math.isnan(memory) else f"{memory:.0f}")
    console.print(table)
    for need, cells in by_need(found.cells, found.device).items():
        hours = sum(estimate.seconds for _, estimate in cells) / 3600
        said = f"{counted(len(cells), 'cell')} on {need}: about {hours:.2f} hours"
        console.print(said, highlight=False, soft_wrap=True)
    print_left_out(plan.left_out, console)
    guessed = sum(estimate.guessed for _, estimate in found.cells)
    if guessed:
        console.print(
            f"{guessed} estimates are a twentieth of the time limit: no stored cell is like them; --like RESULTS gives some",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"{found.seconds / 3600:.2f} hours on one {found.device.upper()} worker; run it with: bench run --plan {to}, or a "
        "part of it with --shard 1/N",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def cells_of(path: Path, part: str | None, request: Request) -> tuple[Request, list[tuple[Cell, Estimate]]]:
    """The cells of a plan file, or of one part of it ("2/8"), with their estimates, and the request with what all its parts
    must share.

    Raises:
        UserError: For a file that is no plan, or a part that is not written I/N.
    """
    plan = read_plan_file(path)
    request = replace(request, weights=cast(Weights, plan.weights), device=plan.device, plugins=plan.plugins)
    if part is None:
        return request, list(plan.cells)
    number, _, count = part.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise UserError(f"--shard {part}: write I/N, for example 1/8")
    mine = set(shard(plan.cells, int(number), int(count)))
    return request, [(cell, estimate) for cell, estimate in plan.cells if cell in mine]
