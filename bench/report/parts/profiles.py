"""The figures of models' profiles, each only where it says something: enough models, modes, data sets or alignments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.metrics.catalogue import RANK, headline
from bench.report.figures import profiles as charts
from bench.report.figures.drawing import Drawer, Figure
from bench.report.say import marks as conditions
from bench.report.say.cards import datasets_in_order, domains, in_order, title_of
from bench.report.tables.beside import BLOCKS

HEADLINE = headline("probe")
FEWEST_MODELS = 3  #: below, a profile says nothing
FEWEST_DATASETS = 3  #: below, a radar has no area
MOST_PANELS = 16  #: models of a radar


def probe_figures(means: pd.DataFrame, draw: Drawer) -> Iterator[Figure]:
    """Texture against geometry, and the data sets of the geometry mode. means: of one protocol and point map."""
    rows = means[(means["metric"] == HEADLINE.name) & (means["model"] != INSTANTSPLAT) & means["value"].notna()]
    yield from _texture_against_geometry(conditions.complete_averages(rows), draw)
    yield from _radar(rows, draw)


def _texture_against_geometry(averages: pd.DataFrame, draw: Drawer) -> Iterator[Figure]:
    if averages.empty:
        return
    both = averages.pivot_table(
        index=["model", "weights", "role"], columns="mode", values="value", aggfunc="first", observed=True
    )
    if not {"G", "T"} <= set(both.columns):
        return
    both = both[["G", "T"]].dropna().reset_index()
    models = conditions.random_named(_unmarked(both, but_random=True))
    if len(models) < FEWEST_MODELS:
        return
    bounds = []
    for role, label, floor in (("control", "best control", True), ("oracle", "best oracle", False)):
        own = both[both["role"].isin([role, "floor"] if floor else [role])]
        if len(own):
            best = own[["G", "T"]].max() if HEADLINE.higher_is_better else own[["G", "T"]].min()
            bounds.append({"label": f"{label}, mode by mode", "floor": floor, "G": best["G"], "T": best["T"]})
    caption = "Averages over data sets, of what lacks no scene."
    if bounds:
        caption += " Lines: what the best control (dashed) and the best oracle (dotted) reach in each mode."
    models = models.assign(label=[title_of(model) for model in models["model"]])
    table = pd.DataFrame(bounds, columns=["label", "floor", "G", "T"])
    title = f"Texture against geometry: {HEADLINE.label}"
    yield draw("texture-geometry", title, caption, charts.texture_against_geometry, models, table, HEADLINE.name)


def _radar(rows: pd.DataFrame, draw: Drawer) -> Iterator[Figure]:
    own = _unmarked(rows[(rows["mode"] == "G") & (rows["n_ok"] == rows["n_total"])])
    known = domains(own["model"].unique())
    own = own[own["model"].isin(known[~known["supervision"].isin(["-", "None"])]["model"])]
    datasets = datasets_in_order(own["dataset"].unique())
    if len(datasets) < FEWEST_DATASETS:
        return
    table = own.pivot_table(index="model", columns="dataset", values="value", aggfunc="first", observed=True)
    table = table.reindex(columns=datasets).dropna()
    table = table.loc[in_order(table.index, "probe")][:MOST_PANELS]
    if len(table) < FEWEST_MODELS:
        return
    caption = (
        f"{HEADLINE.label}, geometry mode, from the worst of these models (middle) to the best (rim) on each data set; "
        "dashed: the median model. Models that lack a data set, join features or learnt without supervision are left out."
    )
    yield draw("radar", "Model by model over the data sets", caption, charts.dataset_radar, table, HEADLINE.name)


def rank_strip_figures(means: pd.DataFrame, draw: Drawer) -> Iterator[Figure]:
    """Mean ranks under each alignment, for models that are ranked under two or more. means: of one protocol."""
    rows = _unmarked(means[(means["metric"] == RANK.name) & means["value"].notna()])
    if rows["model"].nunique() < FEWEST_MODELS:
        return
    table = rows.pivot_table(index="model", columns="alignment", values="value", aggfunc="first", observed=True)
    table = table[[name for name in BLOCKS if name in table]]
    table = table[table.notna().sum(axis=1) > 1].dropna(axis=1, how="all")
    if len(table) < FEWEST_MODELS or table.shape[1] < 2:
        return
    table = table.loc[in_order(table.index, "geometry")]
    labels = [title_of(str(model), "geometry") for model in table.index]
    names = [BLOCKS[str(name)] for name in table.columns]
    caption = "Over data sets and metrics, among the models that each alignment ranks; models with one rank are left out."
    yield draw("rank-strip", "Ranks under each alignment", caption, charts.rank_strip, table, names, labels)


def _unmarked(rows: pd.DataFrame, but_random: bool = False) -> pd.DataFrame:
    """The rows that take part in comparisons: neither oracle nor control nor, but for `but_random`, random weights."""
    kinds = zip(rows["role"], ["none"] * len(rows) if but_random else rows["weights"], strict=True)
    takes_part = [not conditions.row_marks(role, weights) for role, weights in kinds]
    return rows.iloc[np.flatnonzero(takes_part)]
