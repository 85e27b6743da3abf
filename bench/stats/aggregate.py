"""From rows to tables: views to scenes, scenes to data sets, data sets to one number; with what is missing counted.

Every aggregated value stands beside `n_ok` and `n_total`: how many measurements it rests on and how many there should be. A
cell that failed, or that was never run where its siblings were, counts against every metric that they have. Nothing is
imputed and nothing is left out unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bench.core.cells import NOT_APPLICABLE, WHOLE_CELL, shared_note
from bench.core.text import listed

#: What a row of the data set table is about; everything else is averaged over.
SETTING = ("track", "dataset", "model", "mode", "pointmap", "alignment", "protocol", "weights", "metric")
#: The same, averaged over data sets.
SETTING_OVER_DATASETS = ("track", "model", "mode", "pointmap", "alignment", "protocol", "weights", "metric")
#: What models and modes are compared under: whatever scene one of them has there, the others should have too.
CONDITIONS = ("track", "dataset", "pointmap", "protocol")
#: What stands beside a value and is the same throughout its group; those of a frame's columns that it has.
CARRIED = ("unit", "higher_is_better", "role", "start", "quick")


def expand_failures(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every failed cell's one row replaced by one row for each metric that it should have had.

    Those are the metrics of the same model and mode elsewhere in the track, or, where there are none, of all models of that
    track and protocol; less those that no model has on the cell's data set (3D metrics where there is no ground truth).
    Where nothing at all succeeded the row stays as it is.
    """
    failed = rows[rows["metric"] == WHOLE_CELL]
    if failed.empty:
        return rows
    measured = rows[rows["metric"] != WHOLE_CELL]
    described = ["metric", "alignment", "unit", "higher_is_better"]
    siblings = ["track", "protocol", "model", "mode"]
    own = measured[[*siblings, *described]].drop_duplicates([*siblings, "metric", "alignment"])
    known = failed[siblings].apply(tuple, axis=1).isin(set(own[siblings].itertuples(index=False, name=None)))
    general = measured[[*siblings[:2], *described]].drop_duplicates([*siblings[:2], "metric", "alignment"])
    bare = failed.drop(columns=described)
    parts = [bare[known].merge(own, on=siblings), bare[~known].merge(general, on=siblings[:2], how="left")]
    filled = pd.concat(parts, ignore_index=True)
    filled["metric"] = filled["metric"].fillna(WHOLE_CELL)
    filled["alignment"] = filled["alignment"].fillna(NOT_APPLICABLE)
    place = ["track", "protocol", "pointmap", "dataset"]
    here = set(measured[[*place, "metric", "alignment"]].drop_duplicates().itertuples(index=False, name=None))
    asked = filled[[*place, "metric", "alignment"]].itertuples(index=False, name=None)
    possible = pd.Series([names in here for names in asked], index=filled.index, dtype=bool)
    cell = [filled[name] for name in (*place, "scene", "model", "mode", "seed", "weights")]
    some = possible.groupby(cell, dropna=False).transform("any")
    return pd.concat([measured, filled.loc[possible | ~some, list(rows.columns)]], ignore_index=True)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its categories as text: rows by the million hold repeated text once, tables of means need not."""
    kinds = {name: dtype.categories.dtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}
    return frame.astype(kinds)


def per_scene(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over the views of each scene and seed.

    rows: tidy rows. Gives the columns SETTING, scene, seed, unit, higher_is_better, value (NaN where no view is ok), n_ok
    and n_total (views), status ("ok", "partial", or what went wrong) and note (one of the reasons).
    """
    return plain(_per_scene(expand_failures(rows)))


def scene_means(rows: pd.DataFrame) -> pd.Series:
    """The values of `per_scene`, averaged over seeds: a series over SETTING and scene, sorted, without what is missing."""
    rows = expand_failures(rows)
    views = rows["value"].where(rows["status"] == "ok")
    place = [*SETTING, "scene"]
    seeds = views.groupby([rows[name] for name in (*place, "seed")], observed=True, dropna=False).mean()
    values = seeds.groupby(level=place, observed=True).mean().dropna()
    return values.set_axis(pd.MultiIndex.from_frame(plain(values.index.to_frame(index=False))))


def _per_scene(rows: pd.DataFrame) -> pd.DataFrame:
    """`per_scene` of rows whose failures are expanded; categories stay."""
    ok = (rows["status"] == "ok") & rows["value"].notna()
    status = rows["status"].mask((rows["status"] == "ok") & ~ok, "invalid")
    work = rows.assign(value=rows["value"].where(ok), status=status, n_ok=ok.astype("int64"), n_total=1)
    return _reduce(work, [*SETTING, "scene", "seed"], ok)


def per_dataset(
    rows: pd.DataFrame, statistic: Literal["mean", "median"] = "mean", beside: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One value a setting and data set, from tidy rows.

    mean: over seeds within a scene, then over scenes. median: over all views (the field of view's table asks for it). Gives
    SETTING, value, spread (standard deviation over scenes, NaN for one scene), n_ok and n_total (scenes and seeds, those
    with a missing view are not ok), unit, higher_is_better, status and note.

    n_total counts what there should be (`absent_scenes`): every scene that any model has under the same CONDITIONS. beside:
    further rows that this table will stand beside, whose scenes count as well.
    """
    rows = expand_failures(rows)
    scenes = _per_scene(rows)
    absent = absent_scenes(rows, scenes, beside)
    complete = (scenes["n_ok"] == scenes["n_total"]) & scenes["value"].notna()
    work = scenes.assign(n_ok=complete.astype("int64"), n_total=1)
    if len(absent):
        # "absent" is the lowest of the statuses: what went wrong elsewhere is said first.
        gaps = absent.assign(value=np.nan, n_ok=0, n_total=1, status="absent", note="")
        work = pd.concat([work, gaps.reindex(columns=work.columns).astype(work.dtypes)], ignore_index=True)
        complete = work["n_ok"] == 1
    table = _with_absent_named(_reduce(work, list(SETTING), complete), absent)
    by_scene = scenes.groupby([*SETTING, "scene"], sort=False, dropna=False, observed=True)["value"].mean()
    over_scenes = by_scene.groupby(level=list(SETTING), sort=False, dropna=False, observed=True)
    summary = over_scenes.agg(["mean", "std"]).reset_index()
    table["value"], table["spread"] = summary["mean"], summary["std"]
    if statistic == "median":
        views = rows.assign(value=rows["value"].where(rows["status"] == "ok"))
        medians = views.groupby(list(SETTING), sort=False, dropna=False, observed=True)["value"].median().rename("median")
        table["value"] = table.merge(medians.reset_index(), on=list(SETTING), how="left")["median"]
    return plain(table)


def absent_scenes(rows: pd.DataFrame, scenes: pd.DataFrame, beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """What was never run: SETTING, scene and seed that a setting lacks though its siblings have the scene.

    Under the same CONDITIONS every model should have, in each of its modes, every scene that one of them (here or in
    `beside`) has in any: as often as it has seeds. Fewer seeds on a scene are not counted: they make a mean less sure, not
    one of something else. A metric is missing only where it was measured on that scene, or where nothing was, and only of
    models that have it on the data set at all.

    rows: tidy rows, failures expanded. scenes: `per_scene` of them.
    """
    place, who = [*CONDITIONS, "scene"], ["model", "mode", "weights"]
    every = rows if beside is None else pd.concat([rows, expand_failures(beside)], ignore_index=True)
    ran = rows[[*place, *who]].drop_duplicates()
    seeds = rows[[*CONDITIONS, *who, "seed"]].drop_duplicates()
    should = ran[[*CONDITIONS, *who]].drop_duplicates().merge(every[place].drop_duplicates(), on=list(CONDITIONS))
    found = should.merge(ran, on=[*place, *who], how="left", indicator="_ran")
    lacking = found[found["_ran"] == "left_only"].merge(seeds, on=[*CONDITIONS, *who]).drop(columns="_ran")
    if lacking.empty:
        return pd.DataFrame(columns=[*SETTING, "scene", "seed"])
    went = ~every["status"].isin(["failed", "unavailable"])
    finished = went.groupby([every[name] for name in (*place, *who, "seed")], dropna=False, observed=True).transform("any")
    some = finished.groupby([every[name] for name in place], observed=True).transform("any")
    measured = every.loc[finished | ~some, [*place, "metric", "alignment"]].drop_duplicates()
    return (
        scenes[list(SETTING)]
        .drop_duplicates()
        .merge(lacking, on=[*CONDITIONS, *who])
        .merge(measured, on=[*place, "metric", "alignment"])[[*SETTING, "scene", "seed"]]
    )


def _with_absent_named(table: pd.DataFrame, absent: pd.DataFrame) -> pd.DataFrame:
    """The table of `per_dataset` whose notes also name the scenes that were never run."""
    if absent.empty:
        return table
    by_setting = absent.groupby(list(SETTING), sort=False, dropna=False, observed=True)["scene"]
    named = by_setting.agg(lambda names: f"not run: {listed(sorted(set(names)))}").rename("_absent").reset_index()
    said = table[list(SETTING)].merge(named, on=list(SETTING), how="left")["_absent"].fillna("").to_numpy()
    notes = ["; ".join(part for part in parts if part) for parts in zip(table["note"].fillna(""), said, strict=True)]
    return table.assign(note=notes)


def over_datasets(table: pd.DataFrame, by: Sequence[str] = SETTING_OVER_DATASETS) -> pd.DataFrame:
    """Mean over data sets of the values of `per_dataset`, one row for each combination of the columns `by`.

    n_ok counts the data sets whose value is complete (all their scenes); n_total is how many of them any model of the same
    track, protocol, point map, alignment and metric has. Where n_ok is less the status is "partial" and `note` names the
    data sets and how many of their scenes there are. A mean over fewer data sets would be of something else: where one is
    missing or has no value, the value is NaN. Raises ValueError where a combination has two values for one data set.
    """
    doubled = table.duplicated([*by, "dataset"])
    if doubled.any():
        raise ValueError(f"two values for one data set: {table.loc[doubled, [*by, 'dataset']].iloc[0].to_dict()}")
    scope = [column for column in ("track", "protocol", "pointmap", "alignment", "metric") if column in by]
    expected = table.groupby(scope, sort=False, observed=True)["dataset"].agg(lambda names: sorted(set(names)))
    has_value = table["value"].notna()
    complete = has_value & (table["n_ok"] == table["n_total"])
    lacking = table["dataset"] + ": " + table["n_ok"].astype(str) + " of " + table["n_total"].astype(str) + " scenes"
    work = table.assign(n_ok=complete.astype("int64"), _valued=has_value, _lacking=lacking.mask(complete, ""))
    grouped = work.groupby(list(by), sort=False, dropna=False, observed=True)
    result = grouped.agg(
        value=("value", "mean"),
        n_ok=("n_ok", "sum"),
        **_carried(table),
        _valued=("_valued", "sum"),
        _held=("dataset", set),
        _lacking=("_lacking", lambda texts: [text for text in texts if text]),
    ).reset_index()
    result = result.merge(expected.rename("_expected").reset_index(), on=scope, how="left")
    result["n_total"] = result["_expected"].map(len)
    result["value"] = result["value"].where(result["_valued"] == result["n_total"])
    result["status"] = np.where(result["n_ok"] == result["n_total"], "ok", "partial")
    result["note"] = [
        "; ".join(sorted([*lacking, *(f"{name}: missing" for name in names if name not in held)]))
        for lacking, names, held in zip(result["_lacking"], result["_expected"], result["_held"], strict=True)
    ]
    return result.drop(columns=["_valued", "_held", "_lacking", "_expected"])


def unit_table(
    rows: pd.DataFrame, columns: Sequence[str] = ("model",), units: Sequence[str] = ("dataset", "scene")
) -> pd.DataFrame:
    """The paired table that tests and intervals need: one row a unit, one column a model (or a combination of `columns`).

    rows: tidy rows of one metric. units: what varies independently; seeds of one scene are averaged unless named here. NaN
    where a unit has no value. Raises ValueError where the rows hold several metrics or alignments.
    """
    scenes = per_scene(rows)
    kinds = scenes[["track", "metric", "alignment"]].drop_duplicates()
    if len(kinds) != 1:
        raise ValueError(f"one metric at a time, not {kinds.to_dict('records')}")
    return scenes.pivot_table(
        index=list(units), columns=list(columns), values="value", aggfunc="mean", dropna=False, sort=False
    )


def _carried(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """How a group's aggregation takes along what all its members share."""
    return {name: (name, "first") for name in CARRIED if name in frame}


def _reduce(work: pd.DataFrame, keys: list[str], ok: pd.Series) -> pd.DataFrame:
    """Group by `keys`: mean value, sums of the counts, the first unit and direction, and how the group fared."""
    work = work.assign(_status=work["status"].where(~ok, ""), _note=work["note"].where(~ok, "").map(shared_note))
    grouped = work.groupby(keys, sort=False, dropna=False, observed=True)
    table = grouped.agg(
        value=("value", "mean"),
        n_ok=("n_ok", "sum"),
        n_total=("n_total", "sum"),
        **_carried(work),
        worst=("_status", "max"),
        note=("_note", "max"),
    ).reset_index()
    fared = np.select(
        [table["n_ok"] == table["n_total"], table["value"].notna()],
        ["ok", "partial"],
        default=table["worst"].astype(object),
    )
    return table.drop(columns="worst").assign(status=fared)
