"""`bench list` and `bench show`: what is registered, as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.core.errors import Unavailable, UserError
from bench.core.interfaces import Model
from bench.core.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS
from bench.core.registry import Registry, datasets, estimators, features, pointmaps
from bench.machine.requirements import check_packages
from bench.machine.weights import check

_SPARED = ("domain", "weights")  #: columns that a terminal too narrow for all of them goes without
_WIDEST = 300  #: characters of a line in a file or a pipe, which has no width of its own

REGISTRIES: dict[str, Registry[Any]] = {
    "models": features,
    "estimators": estimators,
    "datasets": datasets,
    "pointmaps": pointmaps,
}


def print_listing(kind: str, console: Console) -> None:
    """Print one table. Raises UserError for an unknown kind."""
    tables: dict[str, Callable[[], Table]] = {
        "models": lambda: _cards(
            features, ("arch", "channels", "stride", "supervision", "domain", "data", "license", "weights")
        ),
        "estimators": lambda: _cards(estimators, ("arch", "supervision", "data", "license", "weights")),
        "datasets": lambda: _cards(datasets, ("scene_type", "complexity", "view_range", "train_views", "license", "note")),
        "pointmaps": lambda: _cards(pointmaps, ("license", "weights", "note")),
        "protocols": _protocols,
        "metrics": _metrics,
    }
    if kind not in tables:
        raise UserError(f"bench list {kind}: there are {', '.join(tables)}")
    table = tables[kind]()
    unfolded = table.__rich_measure__(console, console.options.update(max_width=_WIDEST)).maximum
    if not console.is_terminal:
        console.width = max(console.width, unfolded)
    elif unfolded > console.width:
        for column in [column for column in table.columns if column.header in _SPARED]:
            table.columns.remove(column)
            table.caption = "`bench show NAME` tells the rest"
    console.print(table)


def print_one(name: str, console: Console) -> None:
    """Print everything that is known of one name, wherever it is listed. Raises UserError where it is nowhere."""
    from bench.metrics.catalogue import METRICS

    found = name in METRICS
    if found:
        _print_fields(f"metric {name}", asdict(METRICS[name]), console)
    for kind, registry in REGISTRIES.items():
        if name in registry:
            found = True
            _print_fields(f"{kind[:-1]} {name}", asdict(registry[name].card), console)
    for protocols in (PROBE_PROTOCOLS, GEOMETRY_PROTOCOLS):
        if name in protocols:
            found = True
            _print_fields(f"protocol {name}", asdict(protocols[name]), console)
    if not found:
        kinds = "|".join((*REGISTRIES, "protocols", "metrics"))
        raise UserError(f"nothing is named {name!r}; `bench list {kinds}` shows what there is")


def _print_fields(title: str, values: dict[str, Any], console: Console) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for field, value in values.items():
        if value not in ("", "-", None):
            table.add_row(field, str(value))
    console.print(table)


def _cards(registry: Registry[Any], columns: tuple[str, ...]) -> Table:
    table = Table(title=f"{len(registry)} {registry.kind}s", title_justify="left")
    stateful = registry is not datasets
    for column in ("name", *columns, *(["state"] if stateful else [])):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name in registry:
        card = registry[name].card
        state = [_state(name, registry[name])] if stateful else []
        table.add_row(name, *(str(getattr(card, column)) for column in columns), *state)
    return table


def _state(name: str, model: type[Model]) -> str:
    """Whether a model's packages and weights are on this machine, in a word or two."""
    try:
        check_packages(name, model)
    except Unavailable:
        return "package absent"
    weights = check(model, name)
    return "-" if not weights.needed else "cached" if weights.cached else "to be fetched"


def _protocols() -> Table:
    table = Table(title="protocols", title_justify="left")
    for column in ("name", "track", "settings"):
        table.add_column(column, overflow="fold")
    for track, protocols in (("probe", PROBE_PROTOCOLS), ("geometry", GEOMETRY_PROTOCOLS)):
        first = next(iter(protocols.values()))
        for name, protocol in protocols.items():
            values = {f.name: getattr(protocol, f.name) for f in fields(protocol) if f.name != "name"}
            told = {key: value for key, value in values.items() if protocol is first or value != getattr(first, key)}
            settings = ", ".join(f"{key}={value}" for key, value in told.items())
            table.add_row(name, track, settings if protocol is first else f"as {next(iter(protocols))}, but {settings}")
    return table


def _metrics() -> Table:
    from bench.metrics.catalogue import CATALOGUE

    table = Table(title="metrics", title_justify="left")
    for column in ("name", "track", "unit", "better", "what it is"):
        table.add_column(column, overflow="fold")
    for metric in CATALOGUE:
        better = {True: "higher", False: "lower", None: "-"}[metric.higher_is_better]
        table.add_row(metric.name, metric.track, metric.unit, better, metric.description)
    return table
