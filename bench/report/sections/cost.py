"""What the models cost: making features, running cells, and what that buys."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench.core.cells import INSTANTSPLAT, NOT_APPLICABLE
from bench.core.names import ModelName
from bench.metrics.catalogue import METRICS, headline
from bench.report.figures import models as charts_models
from bench.report.figures.drawing import Drawer, Figure
from bench.report.page.page import Part, Section, section
from bench.report.say import marks as conditions
from bench.report.say.cards import named, title_of
from bench.report.say.registered import registered_model
from bench.report.tables import runs as run_tables
from bench.report.tables.beside import headline_alignment
from bench.stats.bootstrap import stratified_difference


def cost_section(rows: pd.DataFrame, means: pd.DataFrame, extraction: pd.DataFrame) -> Section:
    """rows: measured rows; means: their means; extraction: what making the features cost, which may be empty."""
    probe = list(_probe_figures(rows, means, extraction))
    geometry = list(_geometry_figures(rows, means))
    parts = []
    if len(extraction):
        parts.append(Part("Cost of the features", tables=(run_tables.extraction_table(extraction),)))
    cells = run_tables.cost_table(rows.drop_duplicates("key"))
    parts.append(Part("Time and memory of the cells", tables=(cells,), figures=(*probe, *geometry)))
    return section("cost", "Cost", parts)


def _probe_figures(rows: pd.DataFrame, means: pd.DataFrame, extraction: pd.DataFrame) -> Iterator[Figure]:
    probe = rows[(rows["track"] == "probe") & (rows["mode"] == "G") & (rows["model"] != INSTANTSPLAT)].drop_duplicates("key")
    for key, own in probe.groupby(["protocol", "pointmap"], sort=True, observed=True):
        protocol, pointmap = map(str, key)
        chosen = conditions.of_conditions(means, "probe", protocol, pointmap)
        quality = chosen[(chosen["mode"] == "G") & (chosen["alignment"] == "-")]
        making = _seconds_of_making(own, extraction[extraction["protocol"] == protocol])
        what = "The seconds include extracting the features." if making is not None else ""
        table = _costs(own if making is None else own.assign(seconds=own["seconds"] + making))
        marks = conditions.marks_of_conditions(own)
        table = table.join(_intervals(own, headline("probe").name, "G", "-"))
        yield from _figure(table, quality, headline("probe").name, f"{protocol}-{pointmap}", "geometry mode", what, marks)


def _geometry_figures(rows: pd.DataFrame, means: pd.DataFrame) -> Iterator[Figure]:
    for name, own in rows[rows["track"] == "geometry"].groupby("protocol", sort=True, observed=True):
        protocol, alignment = str(name), headline_alignment(own)
        if alignment:
            chosen = conditions.of_conditions(means, "geometry", protocol, "-")
            quality = chosen[chosen["alignment"] == alignment]
            marks = conditions.marks_of_conditions(own)
            metric = headline("geometry").name
            costs = _costs(own).join(_intervals(own, metric, NOT_APPLICABLE, alignment))
            yield from _figure(costs, quality, metric, protocol, alignment.replace("_", " "), "", marks)


def _seconds_of_making(rows: pd.DataFrame, extraction: pd.DataFrame) -> pd.Series | None:
    """For every row, the seconds that extracting its model's features took on its scene, all parts of it together; None
    where that is not known of every row: a chart of some with and some without would compare nothing.

    A feature that is per pixel by nature is made within the cell, whose seconds hold it already: it adds none.
    """
    seconds = extraction[(extraction["metric"] == "extraction_seconds") & (extraction["status"] == "ok")]
    known = dict(seconds.groupby(["model", "weights", "dataset", "scene"])["value"].median())

    def made(model: str, weights: str, dataset: str, scene: str) -> float:
        """A part that needs no weights has none, whatever the others have."""
        kinds = (weights, "none")
        return sum(
            next((known[part, kind, dataset, scene] for kind in kinds if (part, kind, dataset, scene) in known), math.nan)
            for part in map(str, ModelName.parse(model).parts)
            if not ((found := registered_model(part)) and found.per_pixel)
        )

    found = [made(*map(str, row)) for row in rows[["model", "weights", "dataset", "scene"]].itertuples(index=False)]
    series = pd.Series(found, index=rows.index, dtype=float)
    return None if series.isna().any() else series


def _costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds and largest peak memory of each model's cells, random weights named so."""
    cells = conditions.random_named(rows.drop_duplicates("key"))
    return cells.groupby("model", sort=True).agg(seconds=("seconds", "mean"), peak_memory_mb=("peak_memory_mb", "max"))


def _intervals(rows: pd.DataFrame, metric: str, mode: str, alignment: str) -> pd.DataFrame:
    """low and high of each model: the 95 % bootstrap interval of its average over data sets, the scenes of each drawn anew;
    NaN for fewer than two scenes."""
    units = conditions.scenes_by_model(rows, metric, mode, alignment)
    found = {}
    for model, weights, role in map(tuple, units.columns):
        values = units[(model, weights, role)]
        interval = stratified_difference(values, values * 0)
        found[named(str(model), str(weights))] = (interval["low"], interval["high"])
    return pd.DataFrame.from_dict(found, orient="index", columns=["low", "high"]) * METRICS[metric].factor


def _figure(
    costs: pd.DataFrame, means: pd.DataFrame, metric: str, name: str, title: str, what: str, marks: tuple[str, ...]
) -> Iterator[Figure]:
    """Seconds and memory against a metric, averaged over data sets; none for fewer than two models or none ranked."""
    chosen = conditions.random_named(conditions.complete_averages(means[means["metric"] == metric]))
    known = chosen.drop_duplicates("model").set_index("model")
    table = costs.join(known[["ranked"]], how="inner").assign(value=known["value"] * METRICS[metric].factor)
    table = table.dropna(subset=["seconds", "peak_memory_mb", "value"]).reset_index(names="model")
    if len(table) < 2 or not table["ranked"].any():
        return
    track = METRICS[metric].track
    caption = (
        f"{name}. Mean seconds and largest peak memory over cells; the metric is the average over data sets, of models that "
        "lack no scene, with the 95 % bootstrap interval over scenes where there are several. The line joins ranked models "
        f"that no cheaper one beats. A triangle at the edge: far outside, as its label says. {what}"
    )
    yield Drawer("cost", marks)(
        f"{metric}-{name}",
        f"Cost against {METRICS[metric].label}, {title}",
        caption.strip(),
        charts_models.cost_against_quality,
        table.assign(label=[title_of(model, track) for model in table["model"]]),
        metric,
    )
