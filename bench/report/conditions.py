"""What numbers must say of themselves, and how rows become the frames that charts draw."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.metrics.catalogue import CATALOGUE
from bench.protocols import GEOMETRY_PROTOCOLS, PROBE_PROTOCOLS
from bench.published import ALL
from bench.report.cards import dataset_title, datasets_in_order
from bench.schema import PUBLISHED
from bench.stats.aggregate import unit_table

_POINTMAPS = {"ground-truth": "point map from ground truth", "simulated": "simulated point map"}
RANDOM = "@random weights"  #: appended to a model's name in charts, where a row carries no mark


def condition_marks(protocol: str, pointmap: str) -> tuple[str, ...]:
    """What every table and picture of these conditions must say of itself."""
    if protocol == PUBLISHED:
        return (PUBLISHED,)
    named = PROBE_PROTOCOLS.get(protocol) or GEOMETRY_PROTOCOLS.get(protocol)
    marks = ["quick protocol"] if named is not None and named.quick else []
    return (*marks, *(_POINTMAPS[pointmap] for _ in range(pointmap in _POINTMAPS)))


def metrics_of(rows: pd.DataFrame, kind: str) -> list[str]:
    """The metrics of a kind that the rows hold, in the catalogue's order."""
    held = set(rows["metric"])
    return [metric.name for metric in CATALOGUE if metric.kind == kind and metric.name in held]


def random_named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the models of random weights named so."""
    return frame.assign(model=frame["model"].where(frame["weights"] != "random", frame["model"] + RANDOM))


def wide(means: pd.DataFrame, metrics: Sequence[str], dataset: str = ALL, mode: str = "G") -> pd.DataFrame:
    """Models x metrics with a value, on one data set (or their average) in one mode."""
    rows = random_named(means[(means["dataset"] == dataset) & (means["mode"] == mode)])
    table = rows.pivot_table(index="model", columns="metric", values="value", aggfunc="first", sort=False)
    return table.reindex(columns=[metric for metric in metrics if metric in table])


def scenes_by_model(rows: pd.DataFrame, metric: str, mode: str, alignment: str = "-") -> pd.DataFrame:
    """(data set and scene) x (model, weights) of one metric, mode and alignment; empty where there is none."""
    chosen = rows[(rows["mode"] == mode) & (rows["metric"].isin([metric, "cell"]))]
    chosen = chosen[(chosen["metric"] == "cell") | (chosen["alignment"] == alignment)]
    if not (chosen["metric"] == metric).any():
        return pd.DataFrame()
    # A failed cell is a scene without a value.
    table = unit_table(chosen.assign(metric=metric, alignment=alignment), columns=("model", "weights"))
    return table.dropna(axis=0, how="all").dropna(
        axis=1, how="all"
    )  # the pivot pairs every model with every kind of weights


def scene_count(rows: pd.DataFrame) -> str:
    """ "dtu: 3 scenes, llff: 5 scenes"."""
    counts = rows.groupby("dataset")["scene"].nunique()
    return ", ".join(f"{dataset_title(name)} ({counts[name]})" for name in datasets_in_order(counts.index))
