"""`bench pack`: few files instead of many."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.results.packs import PACKS, packed_files
from bench.results.store import Store


def pack_command(folder: Path, console: Console) -> None:
    """Pack and print. Raises UserError where the folder holds no results or cannot be written to."""
    written, loose = Store(folder, create=False).pack()
    rest = f"; {loose} cells that did not end well keep files of their own" if loose else ""
    said = f"{folder}: {len(packed_files(folder))} cells in {folder / PACKS}, {written} packs of them new{rest}"
    console.print(said, highlight=False, soft_wrap=True, markup=False)
