"""`bench list` and `bench show`: what is registered, as tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.core.errors import Unavailable, UserError
from bench.core.families import told
from bench.core.interfaces import Model
from bench.core.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS
from bench.core.registry import Registry, datasets, estimators, features, pointmaps
from bench.machine.requirements import check_packages
from bench.machine.weights import check

#: Columns that a terminal too narrow for all of them goes without, the first ones first.
_SPARED = (
    "weights",
    "domain",
    "data",
    "paper",
    "view_range",
    "train_views",
    "supervision",
    "stride",
    "channels",
    "license",
    "note",
    "arch",
    "sizes",
    "complexity",
)

REGISTRIES: dict[str, Registry[Any]] = {
    "models": features,
    "estimators": estimators,
    "datasets": datasets,
    "pointmaps": pointmaps,
}


def list_command(kind: str, console: Console) -> None:
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

    def width() -> int:
        return table.__rich_measure__(console, console.options.update(max_width=10 * console.width)).maximum

    for spared in _SPARED:
        if width() > console.width and (column := next((each for each in table.columns if each.header == spared), None)):
            table.columns.remove(column)
            table.caption = "`bench show NAME` tells the rest"
    console.print(table)


def listing_json(kind: str) -> str:
    """One list as JSON: a card for each name, with its sizes' cards and settings, and whether it can run here.

    Raises:
        UserError: For a kind that is not one of models, estimators, datasets, pointmaps.
    """
    if kind not in REGISTRIES:
        raise UserError(f"bench list {kind} --json: there are {', '.join(REGISTRIES)}")
    registry = REGISTRIES[kind]
    found = {}
    for name in registry:
        cls = registry[name]
        entry = asdict(cls.card)
        if registry is not datasets:
            entry["sizes"] = {size: asdict(registry[f"{name}:{size}"].card) for size in cls.sizes}
            entry["settings"] = {key: list(setting.values) for key, setting in cls.offers().items()}
            entry["state"] = _state(name, cls)
        found[name] = entry
    return json.dumps(found, indent=2, ensure_ascii=False)


def show_command(name: str, console: Console) -> None:
    """Print everything that is known of one name, wherever it is listed. Raises UserError where it is nowhere."""
    from bench.metrics.catalogue import METRICS

    found = name in METRICS
    if found:
        _print_fields(f"metric {name}", asdict(METRICS[name]), console)
    for kind, registry in REGISTRIES.items():
        if name in registry:
            found = True
            values = asdict(registry[name].card)
            if registry is not datasets:
                values["sizes"] = " ".join(registry[name].sizes)
                values["settings"] = ", ".join(
                    f"{key}: {told(each.values)}" for key, each in registry[name].offers().items()
                )
            _print_fields(f"{kind[:-1]} {name}", values, console)
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
        if value not in ("", "-", None, 0.0, ()):
            table.add_row(field, _said(value))
    console.print(table)


def _said(value: object) -> str:
    """A field of a card as text, whose brackets are no markup; names one after the other."""
    return escape(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _cards(registry: Registry[Any], columns: tuple[str, ...]) -> Table:
    """A line for each name, those of one module together under what it says of itself."""
    stateful = registry is not datasets
    table = Table(title=f"{len(registry)} {registry.kind}s", title_justify="left")
    sized = stateful and any(registry[name].sizes for name in registry)
    headers = ("name", *(["sizes"] if sized else []), *columns, *(["state"] if stateful else []))
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header == "name")
    modules: dict[str, list[str]] = {}
    for name in registry:
        modules.setdefault(registry[name].__module__, []).append(name)
    for names in modules.values():
        table.add_section()
        for name in names:
            cls = registry[name]
            sizes = [" ".join(cls.sizes)] if sized else []
            state = [_state(name, cls)] if stateful else []
            table.add_row(name, *sizes, *(_said(getattr(cls.card, column)) for column in columns), *state)
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
        table.add_row(metric.name, metric.track, metric.unit, better, escape(metric.description))
    return table
