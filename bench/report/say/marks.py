"""What numbers must say of themselves, and how rows become the frames that charts draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.core.cells import NOT_APPLICABLE, OVER_DATASETS, WHOLE_CELL
from bench.metrics.catalogue import CATALOGUE, headline
from bench.report.say.cards import RANDOM, dataset_title, datasets_in_order
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import unit_table
from bench.stats.floor import CELL, below_floor

_STARTS = {"true": "point map from ground truth", "simulated": "simulated point map"}
_ROLES = {"oracle": "reads the truth", "control": "control", "floor": "control: the floor"}
#: what each mark says, in the order in which a page explains them
MEANINGS = {
    PUBLISHED: "printed in a paper, not measured here",
    "quick protocol": "a short protocol for small machines: its numbers compare with each other, not with published ones",
    "simulated point map": "the Gaussians start from true depth with simulated errors, not from a reconstruction",
    "point map from ground truth": "the Gaussians start from true depth and cameras, some with noise added",
    "random weights": "the network without its trained weights: the row shows that the code runs, not what the model knows",
    _ROLES["oracle"]: "an oracle that is given the ground truth: what others are held against, not a model",
    _ROLES["control"]: "it knows nothing of the photos' 3D by design: what a model must beat",
    _ROLES["floor"]: "it knows nothing at all: a number below its own is no score",
}


def condition_marks(protocol: str, start: str, quick: bool) -> tuple[str, ...]:
    """What every table and picture of these conditions must say of itself (the columns protocol, start and quick)."""
    if protocol == PUBLISHED:
        return (PUBLISHED,)
    return (*(["quick protocol"] if quick else []), *([_STARTS[start]] if start in _STARTS else []))


def marks_of_conditions(rows: pd.DataFrame) -> tuple[str, ...]:
    """`condition_marks` of rows or means that share one protocol and point map; at least one of them."""
    first = rows.iloc[0]
    return condition_marks(str(first["protocol"]), str(first["start"]), bool(rows["quick"].fillna(False).any()))


def title_of_conditions(track: str, protocol: str, pointmap: str) -> str:
    """What a track, protocol and point map are called together: "Probe: quick-v2, point map simulated"."""
    return f"{track.capitalize()}: {protocol}" + (f", point map {pointmap}" if pointmap != NOT_APPLICABLE else "")


def row_marks(role: str, weights: str) -> tuple[str, ...]:
    """What a row must say of itself (the columns role and weights).

    A marked row takes no part in best, second and ranks: random weights are not the model that the row names, an oracle sees
    what it is asked for, and a control or the floor is there to be beaten.
    """
    return (*(["random weights"] if weights == "random" else []), *([_ROLES[role]] if role in _ROLES else []))


def of_conditions(frame: pd.DataFrame, track: str, protocol: str, pointmap: str) -> pd.DataFrame:
    """The part of rows or means that belongs to one track, protocol and point map."""
    same = (frame["track"] == track) & (frame["protocol"] == protocol) & (frame["pointmap"] == pointmap)
    return frame[same].reset_index(drop=True)


def metrics_of(rows: pd.DataFrame, kind: str) -> list[str]:
    """The metrics of a kind that the rows hold, in the catalogue's order; of those that the papers do not print, only the
    ones that have a value somewhere."""
    held, valued = set(rows["metric"]), set(rows[rows["value"].notna()]["metric"])
    return [m.name for m in CATALOGUE if m.kind == kind and m.name in (held if m.printed_in_papers else valued)]


def random_named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the models of random weights named so."""
    names = frame["model"].astype(str)
    return frame.assign(model=names.where(frame["weights"] != "random", names + RANDOM))


def complete_averages(means: pd.DataFrame) -> pd.DataFrame:
    """The averages over data sets that lack no scene and lie above the floor: charts show no others, since their points
    carry no notes."""
    return means[(means["dataset"] == OVER_DATASETS) & (means["n_ok"] == means["n_total"]) & (means["below"] == "")]


def wide(means: pd.DataFrame, metrics: Sequence[str], dataset: str = OVER_DATASETS, mode: str = "G") -> pd.DataFrame:
    """Models x metrics with a value, on one data set (or their average) in one mode."""
    rows = random_named(means[(means["dataset"] == dataset) & (means["mode"] == mode)])
    table = rows.pivot_table(index="model", columns="metric", values="value", aggfunc="first", sort=False)
    return table.reindex(columns=[metric for metric in metrics if metric in table])


def scenes_by_model(rows: pd.DataFrame, metric: str, mode: str, alignment: str = "-") -> pd.DataFrame:
    """(data set and scene) x (model, weights, role) of one metric, mode and alignment; empty where there is none.

    A cell below the floor has no value there: a difference from it would be one from a probe that failed.
    """
    chosen = above_floor(rows)
    chosen = chosen[(chosen["mode"] == mode) & (chosen["metric"].isin([metric, WHOLE_CELL]))]
    chosen = chosen[(chosen["metric"] == WHOLE_CELL) | (chosen["alignment"] == alignment)]
    if not (chosen["metric"] == metric).any():
        return pd.DataFrame()
    # A failed cell is a scene without a value.
    table = unit_table(chosen.assign(metric=metric, alignment=alignment), columns=("model", "weights", "role"))
    return table.dropna(axis=0, how="all").dropna(
        axis=1, how="all"
    )  # the pivot pairs every model with every kind of weights and role


def cells_below_floor(rows: pd.DataFrame) -> pd.DataFrame:
    """The cells of the probe whose headline metric lies below their scene's floor (bench.stats.floor.below_floor)."""
    metric = headline("probe")
    return below_floor(rows[rows["track"] == metric.track], metric.name, bool(metric.higher_is_better))


def above_floor(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, those of cells below the floor without their values."""
    cells = cells_below_floor(rows)
    if cells.empty:
        return rows
    lost = set(cells[CELL].itertuples(index=False, name=None))
    is_lost = np.array([key in lost for key in rows[CELL].itertuples(index=False, name=None)], dtype=bool)
    return rows.assign(value=rows["value"].mask(is_lost))


def scene_count(rows: pd.DataFrame) -> str:
    """ "dtu: 3 scenes, llff: 5 scenes"."""
    counts = rows.groupby("dataset", observed=True)["scene"].nunique()
    return ", ".join(f"{dataset_title(name)} ({counts[name]})" for name in datasets_in_order(counts.index))
