"""`bench status`: how far a results folder is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.core.text import counted, listed
from bench.run.planning.planfile import read_plan_file
from bench.run.planning.progress import progress_of


def status_command(folder: Path, plan: Path | None, console: Console) -> int:
    """Print how far a folder is; returns the exit code: 1 where a cell failed."""
    found = progress_of(folder, None if plan is None else read_plan_file(plan).cells)
    counts = {name: len(getattr(found, name)) for name in ("done", "failed", "running", "missing")}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)
    if found.failed:
        console.print(
            f"failed: {listed([cell.label for cell in found.failed])}", highlight=False, soft_wrap=True, markup=False
        )
    if found.missing and not found.running and (folder / "slurm").is_dir():
        console.print(
            f"what SLURM's tasks printed: {folder / 'slurm'}/*/*.out", highlight=False, soft_wrap=True, markup=False
        )
    if found.expected_seconds and found.taken_seconds:
        share = found.taken_seconds / found.expected_seconds
        console.print(
            f"what is done was expected to take {found.expected_seconds / 3600:.3g} hours and took "
            f"{found.taken_seconds / 3600:.3g} ({share:.2g} times as much)",
            highlight=False,
            soft_wrap=True,
        )
    if found.left_seconds:
        workers = max(1, len(found.running))
        console.print(
            f"about {found.left_seconds / workers / 3600:.2f} hours are left, {counted(workers, 'cell')} at a time",
            highlight=False,
        )
    return 1 if found.failed else 0
