"""`bench perf`: how long the inner loops take on this machine, against the plain way to do the same."""

from __future__ import annotations

import math
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import native
from bench.perf import suite
from bench.perf.timing import Result
from bench.results.store import Store


def perf_command(out: Path, full: bool, console: Console) -> None:
    """Measure, print and store under `out`. Raises UserError where the folder cannot be written to."""
    store = Store(out)
    results = []
    with console.status("measuring") as status:
        for result in suite.measure(suite.FULL if full else suite.QUICK):
            store.save(suite.cell_record(result), {})
            results.append(result)
            status.update(escape(f"measured {result.part}: {result.case}, {result.path}"))
    store.compact()
    print_results(results, console)
    for kernel in ("raster", "readout", "align"):
        if why := native.missing(kernel):
            console.print(f"[yellow]the C++ kernel {kernel} was not measured[/]: {escape(why)}", soft_wrap=True)
    console.print(f"rows: {out / 'rows.csv'}", highlight=False, markup=False, soft_wrap=True)


def print_results(results: list[Result], console: Console) -> None:
    """One table a part."""
    for part in dict.fromkeys(result.part for result in results):
        console.print(_table(part, [result for result in results if result.part == part]))


def _table(part: str, results: list[Result]) -> Table:
    table = Table(title=part, title_justify="left", caption_justify="left", box=box.SIMPLE, pad_edge=False)
    table.caption = "Medians in milliseconds; × : CPU time of a case's first way over this way's; Δ: deviation from it."
    table.add_column("", overflow="fold")
    for column in ("CPU", "10-90 %", "wall", "×", "MiB", "Δ"):
        table.add_column(column, justify="right", no_wrap=True)
    before = ""
    for result in results:
        if result.case != before:
            table.add_row(f"[bold]{escape(result.case)}[/]")
        spread = f"{_number(result.low_ms)}-{_number(result.high_ms)}" if math.isfinite(result.low_ms) else "–"
        table.add_row(
            f"  {escape(result.path)}",
            _number(result.cpu_ms),
            spread,
            _number(result.wall_ms),
            _number(result.ratio),
            _number(result.peak_mb),
            f"{result.deviation:.0e}" if math.isfinite(result.deviation) else "–",
        )
        if result.note:
            table.add_row(f"    [dim]{escape(result.note)}[/]")
        before = result.case
    return table


def _number(value: float) -> str:
    """About three digits; "–" for what was not measured."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
