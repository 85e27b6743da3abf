"""`bench data where`: where data sets lie, and where their publishers offer them."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.errors import Unavailable, UserError
from bench.core.registry import datasets, find_datasets
from bench.machine.locations import data_root


def where_command(root: Path | None, console: Console) -> None:
    """One line a data set: found or not, where, and where its publisher offers it."""
    folder = data_root(root)
    find_datasets(folder)
    table = Table(title=f"data root: {escape(str(folder))}", title_justify="left")
    for column in ("dataset", "found", "download", "size"):
        table.add_column(column, overflow="fold")
    for name in datasets:
        dataset = datasets[name]()
        found = []
        for track in dataset.tracks:
            try:
                scenes = dataset.scenes(folder, track)
                found.append(f"{len(scenes)} {'scenes' if track == 'probe' else 'samples'}")
            except UserError as error:
                found.append("-" if isinstance(error, Unavailable) else f"[red]{escape(str(error))}[/]")
        card = dataset.card
        where = "embedded" if not card.folder and not card.url else card.url or "yours to bring"
        table.add_row(name, ", ".join(dict.fromkeys(found)), where, f"{card.size_gb:g} GB" if card.size_gb else "")
    console.print(table)
    console.print(
        "The data root is --data-root, else the environment variable BENCH_DATA, else the per-user folder.", highlight=False
    )
