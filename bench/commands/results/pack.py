"""`bench pack`: few files instead of many."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.core.text import counted
from bench.results.packs import PACKS
from bench.results.store import Store


def pack_command(folder: Path, console: Console) -> None:
    """Pack and print. Raises UserError where the folder holds no results, is in use or cannot be written to."""
    done = Store(folder, create=False).pack()
    own = [
        f"{counted(number, 'cell')} that {why}"
        for number, why in (
            (done.unfinished, "did not end well"),
            (done.differing, "a pack holds otherwise or cannot give: `bench verify` tells"),
        )
        if number
    ]
    rest = f"; with files of their own: {', '.join(own)}" if own else ""
    said = f"{folder}: {counted(done.packed, 'cell')} in {folder / PACKS}, {counted(done.written, 'pack')} of them new{rest}"
    console.print(said, highlight=False, soft_wrap=True, markup=False)
