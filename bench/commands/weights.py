"""`bench weights`: what is cached, and fetching the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.errors import Unavailable, UserError
from bench.core.registry import Registry, estimators, features, pointmaps
from bench.machine.weights import WeightState, check, digest, fetch, sources
from bench.run.planning.plan import ALL


def check_command(names: Sequence[str], online: bool, console: Console) -> None:
    """One line a model that needs weights. Raises UserError for an unknown name."""
    models = _models(names)
    table = Table(title="weights", title_justify="left")
    columns = ("model", "used for", "cached", "size", "licence", "agreement", *(["hub"] if online else []), "source")
    for column in columns:
        table.add_column(column, overflow="fold")
    for name, use, cls in models:
        state = check(cls, name, online)
        if state.needed:
            size = f"{state.bytes / 1e9:.2f} GB" if state.bytes else "?"
            gated = {True: "asked for", False: "none", None: "?"}[state.gated]
            asked = [_MOVED[state.moved]] if online else []
            cached = "yes" if state.cached else "no"
            source = escape(f"{state.source}, {_pin(state)}")
            table.add_row(name, use, cached, size, escape(state.license), gated, *asked, source)
    if table.row_count:
        console.print(table)
    else:
        _say_none(names, console)


def _pin(state: WeightState) -> str:
    """What pins the weights, and what lies in the cache where nothing does; the first digits of either."""
    if state.revision:
        return f"pinned to {state.revision[:12]}"
    return f"not pinned; cached {state.held[:12]}" if state.held else "not pinned"


#: What the hub's newest commit is beside what is pinned, else cached.
_MOVED = {None: "?", "newest": "as here", "same files": "moved on, same files", "other files": "moved on, OTHER files"}


def fetch_command(names: Sequence[str], console: Console, errors: Console) -> int:
    """Fetch and print each file with its digest; returns 2 where something could not be had."""
    code = 0
    models = _models(names)
    if not any(sources(cls) for _, _, cls in models):
        _say_none(names, console)
    for name, _, cls in models:
        try:
            for file in fetch(cls, name):
                if file.path is not None:
                    said = f"{name}: {file.source} sha256 {digest(file.path)}"
                    console.print(said, highlight=False, markup=False, soft_wrap=True)
        except Unavailable as error:
            errors.print(f"[red]unavailable[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            code = 2
    return code


def _say_none(names: Sequence[str], console: Console) -> None:
    console.print(f"{', '.join(names)}: there are no weights to fetch", highlight=False, soft_wrap=True)


def _models(names: Sequence[str]) -> list[tuple[str, str, type[Any]]]:
    """Name, use and class of everything of these names that may have weights. Raises UserError for an unknown name."""
    if not names:
        raise UserError("--models: name at least one, or `all`")
    registries: tuple[tuple[str, Registry[Any]], ...] = (
        ("probe", features),
        ("geometry", estimators),
        ("point map", pointmaps),
    )
    if ALL in names:
        return [(name, use, registry[name]) for use, registry in registries for name in registry]
    found = [(name, use, registry[name]) for name in names for use, registry in registries if name in registry]
    for name in names:
        if all(name != known for known, _, _ in found):
            features[name]
    return found
