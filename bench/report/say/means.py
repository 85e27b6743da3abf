"""From tidy rows to what tables print: one value a setting and data set, with averages over data sets and mean ranks.

Published rows are means already; what a paper prints as its average or rank is kept as printed, never recomputed.
"""

from __future__ import annotations

import pandas as pd

from bench.core.cells import OVER_DATASETS
from bench.core.text import listed
from bench.metrics.catalogue import CATALOGUE, METRICS, RANK
from bench.report.say.marks import cells_below_floor, row_marks
from bench.report.say.overlap import with_overlap
from bench.results.reference.published import published_unranked
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import SETTING_OVER_DATASETS, expand_failures, over_datasets, per_dataset
from bench.stats.rank import mean_ranks

RANKED = {metric.name: bool(metric.higher_is_better) for metric in CATALOGUE if metric.ranked}
MEDIANS = {metric.name: metric.median_of for metric in CATALOGUE if metric.median_of}


def table_means(rows: pd.DataFrame, beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """Means of tidy rows: the columns of bench.stats.aggregate.per_dataset, and three that say what a mean is.

    ranked: False where a paper prints a value but does not rank it, and in rows that take no part
    (bench.report.say.marks.row_marks). below: which of its cells score below the floor (bench.stats.floor), "" where none
    does; such a mean is not ranked, whatever the metric. overlap: what is known of a model that was trained on the data set
    it is scored on (bench.report.say.overlap), "" for nothing.

    Data set "all" holds averages over data sets; in the geometry track the metric "rank" there is the mean rank over data
    sets and metrics, ties sharing the average rank, and a median of the catalogue is one over views. A value
    that lacks a scene (n_ok < n_total) is not ranked. beside: rows of another run that these will be compared with; what
    it has there should be here too.
    """
    if rows.empty:
        return pd.DataFrame(columns=[*rows.columns, "spread", "n_ok", "n_total", "ranked", "below", "overlap"])
    measured = rows[rows["protocol"] != PUBLISHED]
    means = pd.concat([per_dataset(rows, beside=beside), *_medians(measured, beside)], ignore_index=True)
    own = means[means["protocol"] != PUBLISHED]
    ranked = own[(own["track"] == "geometry") & own["metric"].isin(list(RANKED)) & _takes_part(own)]
    tables = [part for _, part in ranked.groupby(["protocol", "alignment"], sort=False) if part["value"].notna().any()]
    parts = [means, _averages(own), *map(_ranks, tables)]
    together = pd.concat([part for part in parts if len(part)], ignore_index=True)
    below = _below(together, measured)
    takes_part = _is_ranked(together) & _takes_part(together) & _is_complete(together) & (below == "")
    return with_overlap(together.assign(note=together["note"].fillna(""), ranked=takes_part, below=below))


def _below(means: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """For each mean, which of the cells that it is of score below the floor; "" where none does."""
    cells = cells_below_floor(rows)
    if cells.empty:
        return pd.Series("", means.index)
    setting = ["track", "dataset", "model", "mode", "pointmap", "protocol", "weights"]
    everywhere = pd.concat([cells, cells.assign(dataset=OVER_DATASETS)])
    said = everywhere.groupby(setting)["scene"].agg(_said_below).rename("_below").reset_index()
    return means[setting].merge(said, on=setting, how="left")["_below"].fillna("").set_axis(means.index)


def _said_below(scenes: pd.Series) -> str:
    return f"below the floor, which knows nothing, on {listed(sorted(set(scenes)))}: no score"


def _averages(means: pd.DataFrame) -> pd.DataFrame:
    """Averages over data sets; one that lacks a data set because nothing could be measured there says why."""
    averages = over_datasets(means).assign(dataset=OVER_DATASETS)
    failed = means[means["value"].isna()].drop_duplicates(list(SETTING_OVER_DATASETS))
    reasons = averages[list(SETTING_OVER_DATASETS)].merge(
        failed[[*SETTING_OVER_DATASETS, "status", "note"]], on=list(SETTING_OVER_DATASETS), how="left"
    )
    known = reasons["status"].notna().to_numpy() & averages["value"].isna().to_numpy()
    status = averages["status"].mask(known, pd.Series(reasons["status"].to_numpy(), averages.index))
    note = averages["note"].mask(known, pd.Series(reasons["note"].to_numpy(), averages.index))
    return averages.assign(status=status, note=note)


def _medians(rows: pd.DataFrame, beside: pd.DataFrame | None) -> list[pd.DataFrame]:
    """The medians over views that the catalogue asks for. The field of view's is over crops, as in the paper's table."""
    found = []
    for name, source in MEDIANS.items():
        views, others = _views_of(rows, source), None if beside is None else _views_of(beside, source)
        found += [per_dataset(views, "median", others).assign(metric=name)] if len(views) else []
    return found


def _views_of(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    views = expand_failures(rows[rows["track"] == METRICS[metric].track])
    return views[(views["metric"] == metric) & (views["alignment"] == "fov_crops")]


def _ranks(means: pd.DataFrame) -> pd.DataFrame:
    """The mean rank of each model under one alignment, from the means of the metrics that are ranked; NaN for a model that
    lacks a value or has one of some scenes only."""
    complete = means["n_ok"] == means["n_total"]
    wide = means.assign(value=means["value"].where(complete)).pivot_table(
        index=["model", "weights"], columns=["dataset", "metric"], values="value", aggfunc="first", dropna=False, sort=False
    )
    measured = means.loc[means["value"].notna(), ["dataset", "metric"]].drop_duplicates()
    first = means.drop_duplicates(["model", "weights"]).set_index(["model", "weights"])
    # The pivot pairs every model with every kind of weights.
    wide = wide.reindex(index=first.index, columns=pd.MultiIndex.from_frame(measured))
    ranks = mean_ranks(wide, [RANKED[metric] for metric in wide.columns.get_level_values("metric")])
    whole = ranks["n"] == wide.shape[1]
    shared = first[["track", "mode", "pointmap", "alignment", "protocol", "role", "start", "quick"]].reindex(wide.index)
    return shared.assign(
        dataset=OVER_DATASETS,
        metric=RANK.name,
        value=ranks["rank"].where(whole),
        n_ok=ranks["n"],
        n_total=wide.shape[1],
        unit="",
        higher_is_better=False,
        status=whole.map({True: "ok", False: "partial"}),
        note=_incomplete(wide),
    ).reset_index()


def _incomplete(wide: pd.DataFrame) -> pd.Series:
    """For each row of (model, weights) x (data set, metric), the data sets that lack a complete value."""
    names = wide.columns.get_level_values("dataset")
    texts = [", ".join(sorted(set(names[lacks]))) for lacks in wide.isna().to_numpy()]
    return pd.Series([f"lacks {text}" if text else "" for text in texts], index=wide.index)


def _takes_part(means: pd.DataFrame) -> pd.Series:
    kinds = zip(means["role"], means["weights"], strict=True)
    return pd.Series([not row_marks(role, weights) for role, weights in kinds], index=means.index, dtype=bool)


def _is_complete(means: pd.DataFrame) -> pd.Series:
    """False for measured values that lack a scene or a data set: to fail where it is hard is no merit."""
    return (means["protocol"] == PUBLISHED) | (means["n_ok"] == means["n_total"])


def _is_ranked(means: pd.DataFrame) -> pd.Series:
    """False for the published values that their paper prints without ranking them, and for averages over such values."""
    gaps = published_unranked()
    places = {(row["alignment"], row["model"], row["dataset"]) for row in gaps.to_dict("records")}
    places |= {(alignment, model, OVER_DATASETS) for alignment, model, _ in places}
    keys = list(zip(means["alignment"], means["model"], means["dataset"], strict=True))
    left_out = pd.Series([key in places for key in keys], index=means.index)
    return ~(left_out & (means["protocol"] == PUBLISHED) & (means["metric"] != RANK.name))
