"""Why the numbers of a report differ from printed ones: the known causes that concern its models and data sets."""

from __future__ import annotations

import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.core.facts.causes import concerning
from bench.core.names import ModelName
from bench.report.page.page import Part, Section, section
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of
from bench.report.tables.model import Table, words_table

_INTRODUCTION = (
    "What is known to move these numbers away from those that others print. Sizes are what was measured, where anybody has "
    "measured them; nothing here is subtracted from a number."
)


def differences_section(rows: pd.DataFrame) -> Section:
    """rows: measured rows; the section names no cause that moves none of them."""
    parts = []
    for track, title in (("probe", "Probe"), ("geometry", "Geometry")):
        own = rows[rows["track"] == track]
        if own.empty:
            continue
        models, datasets = set(own["model"]), set(own["dataset"])
        causes, deviations = concerning(track, models, datasets)
        lines = [
            (c.what, [c.effect, c.size or "not measured", _whose(c.models, c.datasets, models, datasets, track), c.source])
            for c in causes
        ]
        ours = [(d.what, [d.ours, d.official, d.size or "not measured", d.reason]) for d in deviations]
        tables = (
            _causes(track, f"{title}: between evaluations", lines),
            _deviations(track, f"{title}: between this suite and the authors' code", ours),
        )
        parts += [Part(table.title, tables=(table,)) for table in tables]
    return section("differences", "Why numbers differ", parts, text=(_INTRODUCTION,))


def _causes(track: str, title: str, lines: list[tuple[str, list[str]]]) -> Table:
    header = ("Effect", "Size", "Whose numbers", "Source")
    return words_table(f"causes-{track}", title, header, lines, corner="what")


def _deviations(track: str, title: str, lines: list[tuple[str, list[str]]]) -> Table:
    header = ("Ours", "Official", "Size", "Why")
    return words_table(f"deviations-{track}", title, header, lines, corner="what")


def _whose(models: tuple[str, ...], datasets: tuple[str, ...], mine: set[str], here: set[str], track: str) -> str:
    """Those of the report's models and data sets that a cause moves; "all" where it says no names."""
    named = {m for m in mine - {INSTANTSPLAT} if m in models or not set(models).isdisjoint(ModelName.parse(m).bases)}
    said = [title_of(model, track) for model in in_order(named, track)]
    places = [dataset_title(name) for name in datasets_in_order(here & set(datasets))]
    return " on ".join(filter(None, [", ".join(said), ", ".join(places)])) or "all"
