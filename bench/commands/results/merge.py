"""`bench merge`: joins results folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.results.merge import merge


def merge_command(folders: Sequence[Path], out: Path, console: Console) -> None:
    """Merge and print. Raises UserError as `bench.results.merge.merge` does."""
    merged = merge(folders, out)
    known = f", {merged.known} stood in several" if merged.known else ""
    console.print(
        f"{out}: {merged.taken} cells taken from {len(folders)} folders{known}; {merged.rows} rows",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
