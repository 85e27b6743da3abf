"""`bench verify`: prints what is wrong with a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench.commands.checkpoints import checkpoints
from bench.core.errors import UserError
from bench.core.registry import find_datasets
from bench.machine.locations import cache_root, data_root
from bench.results.confirmed import FILE, add_confirmations
from bench.run.verify import ABSOLUTE, RELATIVE, Verdict, verify

MOST = 50  #: problems printed


def verify_command(
    folder: Path,
    recompute: int,
    data: Path | None,
    console: Console,
    local_weights: Sequence[str] = (),
    confirm: bool = False,
) -> int:
    """Verify and print; 0 where nothing is wrong, 1 else. local_weights: as --checkpoint has them. confirm: write down in
    the folder which cells came out alike, where this is another machine than theirs.

    Raises UserError where the folder holds no results.
    """
    settings = None
    if confirm and not recompute:
        raise UserError("--confirm is for cells that are computed anew: say how many by --recompute")
    if local_weights and not recompute:
        raise UserError("--checkpoint is for cells that are computed anew: say how many by --recompute")
    if recompute:
        from bench.core.track import Settings

        find_datasets(data_root(data))
        settings = Settings(data_root(data), cache_root(), "cpu", "none", checkpoints(local_weights))
    verdict = verify(folder, recompute, settings)
    print_verdict(folder, verdict, recompute, console)
    if confirm:
        add_confirmations(folder, verdict.confirmed)
        why = "" if verdict.confirmed else "; cells that were run on a machine like this one are not confirmed by it"
        confirmed = f"{len(verdict.confirmed)} cells confirmed in {folder / FILE}{why}"
        console.print(confirmed, highlight=False, markup=False, soft_wrap=True)
    return 1 if verdict.problems else 0


def print_verdict(folder: Path, verdict: Verdict, asked: int, console: Console) -> None:
    """Problems in red, remarks in yellow, then one line that sums up."""
    for problem in verdict.problems[:MOST]:
        console.print(f"[red]wrong[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if len(verdict.problems) > MOST:
        console.print(f"and {len(verdict.problems) - MOST} more", highlight=False)
    for remark in verdict.remarks:
        console.print(f"[yellow]note[/] {escape(remark)}", highlight=False, soft_wrap=True)
    checked = f"{folder}: {verdict.cells} cells, {verdict.rows} rows"
    if asked:
        checked += f"; {verdict.recomputed} of {asked} cells computed anew, compared within {RELATIVE:.0%} or {ABSOLUTE:g}"
    said = "[green]nothing is wrong[/]" if not verdict.problems else f"[red]{len(verdict.problems)} problems[/]"
    console.print(f"{escape(checked)}: {said}", highlight=False, soft_wrap=True)
