"""What the leaderboard shows, as data: measured rows beside the papers' own, each with what must be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.core.cells import MODES, NOT_APPLICABLE, OVER_DATASETS, WHOLE_CELL
from bench.core.facts.training import parts, sources
from bench.core.interfaces import Card
from bench.metrics.catalogue import CATALOGUE, METRICS, RANK, Metric, metric_named
from bench.report.figures.gallery import MODE_TITLES, Stored
from bench.report.leaderboard.pictures import embedded_pictures
from bench.report.say.cards import (
    ABLATION,
    card_of,
    dataset_title,
    datasets_in_order,
    in_order,
    network,
    parts_of,
    registered_card,
    title_of,
)
from bench.report.say.marks import condition_marks, row_marks
from bench.report.say.overlap import is_initialiser_known, is_known
from bench.report.tables.beside import BLOCKS, published_means
from bench.results.reference.published import published_rows
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import SETTING, plain, scene_means
from bench.stats.bootstrap import resampled_means
from bench.stats.rank import best_and_second

_RESAMPLES = 1000
_TAIL = 0.025  #: at either side: intervals of 95 %
_COLUMNS_AT_ONCE = 400  #: settings resampled together, to bound memory
_PLAIN_ALIGNMENTS = {"-", "similarity"}  #: of the probe's metrics; the others are part of the metric's name
_ROW = ["track", "dataset", "model", "block", "pointmap", "protocol", "weights"]
_CELLS_OF = ["track", "dataset", "model", "mode", "pointmap", "protocol", "weights"]  #: what a row's cells are told by
_BLOCK_TITLES = {**BLOCKS, "fov": "Field of view, uncropped", "-": "whole cell"}
_WHOLE_CELLS = [f"{track}/{WHOLE_CELL}" for track in ("probe", "geometry")]  #: what stands for a cell without numbers
#: What a row of the page's data holds, and a cell of it, in this order: arrays are half the size of objects. The names
#: travel with the data, so that the script knows no places by number.
ROW_FIELDS = (
    *("track", "dataset", "model", "block", "condition", "source", "cells"),
    *("overlap", "verified", "seconds", "memory"),
)
CELL_FIELDS = ("metric", "value", "text", "low", "high", "ok", "total", "status", "note", "unit", "best", "unranked")


def leaderboard_data(
    stored: Sequence[Stored], rows: pd.DataFrame, means: pd.DataFrame, confirmed: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Everything that the page shows, as JSON knows it. confirmed: the keys of cells that another machine gave alike."""
    entries = _entries(rows, means)
    tracks = [_track(name, entries[entries["track"] == name]) for name in ("probe", "geometry")]
    texts: dict[str, int] = {}
    conditions = entries.drop_duplicates(["protocol", "pointmap", "weights", "ablation"]).reset_index(drop=True)
    named = conditions[["protocol", "pointmap", "weights", "ablation"]]
    index = {key: place for place, key in enumerate(named.itertuples(index=False, name=None))}
    metrics = [*(metric["id"] for track in tracks for metric in track["metrics"]), *_WHOLE_CELLS]
    places = {name: place for place, name in enumerate(metrics)}
    packed = ROW_FIELDS.index("cells")
    costs, verified = _costs(rows), _verified(rows, confirmed)
    lines: dict[tuple[str, ...], list[Any]] = {}
    for row in entries.to_dict("records"):
        key = tuple(str(row[name]) for name in _ROW)
        if key not in lines:
            track, dataset, model, block, pointmap, protocol, weights = key
            mode = block if track == "probe" else "-"
            setting = (track, dataset, model, mode, pointmap, protocol, weights)
            known = costs.get(setting, ())
            source = texts.setdefault(row["source"], len(texts))
            seen = texts.setdefault(row["overlap"], len(texts)) if row["overlap"] else None
            condition = index[protocol, pointmap, weights, model in ABLATION]
            more = [seen, verified.get(setting), *known]
            lines[key] = [track, dataset, model, block, condition, source, [], *more]
        lines[key][packed].append([places[f"{row['track']}/{row['column']}"], *_cell(row, texts)])
    singles = sorted({part for model in set(entries["model"]) for part in _parts(model)})
    return {
        "tracks": [track for track in tracks if track["models"]],
        "cards": {model: _card(model) for model in singles},
        "conditions": [_condition(row) for row in conditions.to_dict("records")],
        "allMetrics": metrics,
        "texts": list(texts),
        "datasetOrder": [OVER_DATASETS, *datasets_in_order(entries["dataset"])],
        "rowFields": ROW_FIELDS,
        "cellFields": CELL_FIELDS,
        "rows": list(lines.values()),
        "pictures": embedded_pictures(stored),
        "measured": len(rows),
        "published": len(published_rows()),
    }


def _condition(row: dict[Any, Any]) -> dict[str, Any]:
    """A protocol, point map and kind of weights, with its marks and the place of the group that it belongs to.

    Rows of one protocol and point map are comparable: they are numbered together, apart from all others; the variants of a
    network that a paper compares with each other are a group of their own. Full protocols stand before quick ones, estimated
    point maps before those from the truth, what was measured before what a paper printed.
    """
    protocol, pointmap = row["protocol"], row["pointmap"]
    marks = condition_marks(protocol, row["start"], bool(row["quick"]))
    order = (protocol == PUBLISHED, len(marks))
    about = "as published" if protocol == PUBLISHED else f"protocol {protocol}"
    title = about + (f", point map {pointmap}" if pointmap != NOT_APPLICABLE else "")
    title += ", ablation" if row["ablation"] else ""
    return {
        **{name: row[name] for name in ("protocol", "pointmap", "weights")},
        "group": f"{order[0]:d}{order[1]} {protocol} {pointmap}" + (" ablation" if row["ablation"] else ""),
        "groupTitle": title[0].upper() + title[1:],
        "groupMarks": [*marks],
        "marks": [*marks, *row_marks("model", row["weights"])],
        "disclosed": is_initialiser_known(pointmap),
    }


# -------------------------------------------------------------------------------------------------------------- the numbers


def _entries(rows: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Means of measured and published rows: one line a value that the table can show, with its column, block, interval,
    source, printed text and emphasis."""
    papers = published_rows()
    own = _without_mixed_units(measured).assign(source="")
    sources = papers.groupby(list(SETTING), sort=False)["source"].agg(lambda texts: "; ".join(sorted(set(texts))))
    printed_means = published_means().merge(sources.reset_index(), on=list(SETTING), how="left")
    means = pd.concat([part for part in (own, printed_means) if len(part)], ignore_index=True)
    intervals = scene_intervals(rows)
    means = means.merge(intervals, on=list(SETTING), how="left")
    known = means["metric"].isin([*METRICS, RANK.name, WHOLE_CELL])
    means = means[known].reset_index(drop=True)
    probe = means["track"] == "probe"
    plain = ~probe | means["alignment"].isin(_PLAIN_ALIGNMENTS)
    means["column"] = means["metric"].where(plain, means["metric"] + "@" + means["alignment"])
    means["block"] = means["mode"].where(probe, means["alignment"])
    means["text"] = [
        metric_named(name).printed(value) if name != WHOLE_CELL and math.isfinite(value) else ""
        for value, name in zip(means["value"], means["metric"], strict=True)
    ]
    means["ablation"] = means["model"].isin(list(ABLATION))
    return means.assign(best=_emphasis(means))


def _without_mixed_units(means: pd.DataFrame) -> pd.DataFrame:
    """A mean over data sets that measure in different units (metres, millimetres) is none: its value is taken out."""
    keys = [name for name in SETTING if name != "dataset"]
    if means.empty:
        return means
    mixed = means.groupby(keys, sort=False)["unit"].transform("nunique").gt(1) & (means["dataset"] == OVER_DATASETS)
    note = means["note"].mask(mixed, "the data sets measure in different units")
    return means.assign(value=means["value"].mask(mixed), status=means["status"].mask(mixed, "invalid"), note=note)


def scene_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Percentile bootstrap intervals (95 %) over scenes of the data set means of tidy rows: SETTING, low and high.

    Only settings with at least two scenes have one. Settings with the same number of scenes are resampled together: the
    numbers are those of bench.stats.bootstrap.mean_intervals, which takes them one by one.
    """
    empty = pd.DataFrame(columns=[*SETTING, "low", "high"])
    if rows.empty:
        return empty
    scenes = scene_means(rows)
    values, sizes = scenes.to_numpy(float), scenes.groupby(level=list(SETTING), sort=True).size()
    starts = sizes.cumsum() - sizes  # each setting's scenes stand together
    found = [empty]
    for count in sorted(set(sizes) - {1}):
        chosen = starts[sizes == count]
        matrix = values[chosen.to_numpy() + np.arange(count)[:, None]]
        bounds = [
            np.quantile(resampled_means(part, _RESAMPLES, seed=0), [_TAIL, 1 - _TAIL], axis=0)
            for part in np.array_split(matrix, -(-matrix.shape[1] // _COLUMNS_AT_ONCE), axis=1)
        ]
        low, high = np.concatenate(bounds, axis=1)
        found.append(chosen.index.to_frame(index=False).assign(low=low, high=high))
    return pd.concat(found[1:] or found, ignore_index=True)


def _emphasis(means: pd.DataFrame) -> pd.Series:
    """1 for the best and 2 for the second best printed value of each column within a group of the page, whose rows may be
    of several papers' tables; else 0."""
    higher = means["metric"].map(lambda name: metric_named(name).higher_is_better if name != WHOLE_CELL else None)
    sign = higher.map({True: -1.0, False: 1.0}).astype(float)
    numbers = pd.to_numeric(means["text"], errors="coerce") * sign
    numbers = numbers.where(means["ranked"])
    groups = ("track", "dataset", "block", "column", "protocol", "pointmap", "ablation")
    return best_and_second(numbers, [means[name] for name in groups])


def _costs(rows: pd.DataFrame) -> dict[tuple[Any, ...], tuple[float, float]]:
    """Mean seconds and largest peak memory of a setting's cells, per data set and over all of them."""
    cells = plain(rows.drop_duplicates("key"))
    cells = pd.concat([cells, cells.assign(dataset=OVER_DATASETS)]) if len(cells) else cells
    costs = cells.groupby(_CELLS_OF).agg(seconds=("seconds", "mean"), memory=("peak_memory_mb", "max")).dropna()
    return {key: (_rounded(seconds), _rounded(memory, 4)) for key, seconds, memory in costs.itertuples(name=None)}  # type: ignore[misc]


def _verified(rows: pd.DataFrame, confirmed: frozenset[str]) -> dict[tuple[Any, ...], str]:
    """Of settings with cells that another machine confirmed, how many: "all" or "2 of 3"."""
    cells = plain(rows.drop_duplicates("key"))
    if not confirmed or cells.empty:
        return {}
    told = pd.concat([cells, cells.assign(dataset=OVER_DATASETS)]).assign(confirmed=lambda all_: all_["key"].isin(confirmed))
    found = told.groupby(_CELLS_OF)["confirmed"].agg(["sum", "size"])
    return {key: "all" if ok == total else f"{ok} of {total}" for key, ok, total in found.itertuples(name=None) if ok}


def _cell(row: dict[Any, Any], texts: dict[str, int]) -> list[Any]:
    """The fields of CELL_FIELDS after the metric; what is empty at the end is cut off."""
    published = row["protocol"] == PUBLISHED
    kept_out = "not ranked in the paper" if published and not row["ranked"] else ""
    note = "; ".join(filter(None, [row["note"] or kept_out, row["below"]]))
    own_unit = row["metric"] in METRICS and METRICS[row["metric"]].unit == "scene"
    unit = row["unit"] if own_unit and isinstance(row["unit"], str) else ""
    cell = [
        _rounded(row["value"]),
        row["text"] or None,
        _rounded(row["low"]),
        _rounded(row["high"]),
        None if published else int(row["n_ok"]),
        None if published else int(row["n_total"]),
        None if row["status"] == "ok" else row["status"],
        texts.setdefault(note, len(texts)) if note else None,
        texts.setdefault(unit, len(texts)) if unit else None,
        row["best"] or None,
        None if row["ranked"] else 1,
    ]
    while cell and cell[-1] is None:
        cell.pop()
    return cell


def _rounded(value: float, digits: int = 6) -> float | None:
    """JSON has no NaN; more digits than anyone reads would double the file."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


# --------------------------------------------------------------------------------------------------- what there is to choose


def _track(name: str, entries: pd.DataFrame) -> dict[str, Any]:
    """A track's data sets, blocks, metrics and models, and what it opens with."""
    measured = entries[entries["protocol"] != PUBLISHED]
    present = set(entries["block"])
    order = MODES if name == "probe" else [*BLOCKS, *sorted(present - {*BLOCKS, "-"})]
    blocks = [block for block in order if block in present] or ["-"]
    datasets = datasets_in_order(entries["dataset"])
    own = datasets_in_order((measured if len(measured) else entries)["dataset"])
    titles = {block: MODE_TITLES.get(block, block) if name == "probe" else _block_title(block) for block in blocks}
    held = set(entries["column"])
    roles = dict(entries.drop_duplicates("model").set_index("model")["role"])
    columns = [(metric, column) for metric in (*CATALOGUE, RANK) for column in sorted(held) if _is_of(column, metric)]
    return {
        "id": name,
        "title": {"probe": "Probe", "geometry": "Geometry"}[name],
        "about": {
            "probe": "Feat2GS: what frozen features know of 3D, read out as Gaussians and rendered from unseen views",
            "geometry": "MoGe: point maps, depth and field of view predicted from one photo",
        }[name],
        "block": {"probe": "Mode", "geometry": "Alignment"}[name],
        "blocks": [[block, titles[block][0].upper() + titles[block][1:]] for block in blocks],
        "datasets": [[OVER_DATASETS, "Mean over data sets"], *([dataset, dataset_title(dataset)] for dataset in datasets)],
        "metrics": [_metric(name, metric, column) for metric, column in columns],
        "models": {model: _model(model, name, str(roles[model])) for model in in_order(entries["model"], name)},
        "start": {"dataset": own[0] if len(own) == 1 else OVER_DATASETS, "block": blocks[0]},
    }


def _is_of(column: str, metric: Metric) -> bool:
    return column.partition("@")[0] == metric.name


def _block_title(block: str) -> str:
    return _BLOCK_TITLES.get(block, block.replace("_", " "))


def _metric(track: str, metric: Metric, column: str) -> dict[str, Any]:
    stage = column.partition("@")[2]
    return {
        "id": f"{track}/{column}",
        "label": metric.title + (f" ({stage})" if stage else ""),
        "about": metric.description + (f", {stage}" if stage else ""),
        "higher": metric.higher_is_better,
        "unit": metric.printed_unit,
        "factor": metric.factor,
        "shown": metric.shown_first,
    }


def _model(model: str, track: str, role: str) -> dict[str, Any]:
    networks = _parts(model)
    supervision = card_of(networks[0]).supervision if len(networks) == 1 else "several" if networks else "-"
    title = title_of(model, track)
    return {
        "title": f"MoGe ablation: {title}" if model in ABLATION else title,
        "supervision": supervision,
        "parts": networks,
        "marks": list(row_marks(role, "none")),
        "disclosed": is_known(model),
    }


def _parts(model: str) -> list[str]:
    """The networks that a name joins, without their variants."""
    return [network(part) for part in parts_of(model)]


def _card(model: str) -> dict[str, Any]:
    """A model's card: its registered class's; what that leaves open, or where there is none, as the papers' tables say."""
    paper = card_of(model)
    own = registered_card(model)
    empty = Card("")
    fields = {
        name: value if value != getattr(empty, name) else getattr(paper, name)
        for name, value in vars(own or paper).items()
        if name != "stride"
    }
    data = fields["data"]
    return {**fields, "parts": parts(data), "dataSources": sources(data), "registered": own is not None}
