"""The parts that the probe's sections are made of, from measured means or from published ones."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.metrics.catalogue import CATALOGUE, headline
from bench.report.figures import probe as charts
from bench.report.figures.drawing import Drawer, Figure
from bench.report.page.page import Part
from bench.report.say import marks as conditions
from bench.report.say.cards import dataset_title, datasets_in_order, domains, without_upsampling
from bench.report.tables import papers as paper_tables
from bench.report.tables import runs as run_tables
from bench.report.tables.model import Table
from bench.stats.correlate import correlation_matrix, correlations, oriented

HEADLINE = headline("probe")  #: the metric that bars are drawn for
MODES_IN_WORDS = (
    "Held-out views, rendered from Gaussians that a small readout predicts from frozen features. Geometry: the readout "
    "predicts position, opacity and shape, and colour is optimised freely. Texture: the other way round. All: it predicts "
    "everything."
)
COMPLETE = "Averages over data sets, of what lacks no scene"  #: what charts of averages show
PANELS = 3  #: so many metrics a figure, the papers' first
FEWEST_MODELS = 3  #: below, a correlation or a ranking says nothing


def views_part(means: pd.DataFrame, metrics: Sequence[str], draw: Drawer) -> Part:
    """The probe table and, a panel a data set, the headline metric by mode."""
    shown = conditions.random_named(means[means["mode"].isin([*paper_tables.GTA, INSTANTSPLAT])])
    valued = shown[(shown["metric"] == HEADLINE.name) & shown["value"].notna()]
    compared = [
        dataset
        for dataset in datasets_in_order(valued["dataset"])
        if valued[valued["dataset"] == dataset]["mode"].nunique() > 1
    ]
    drawn = []
    if compared:
        title = f"{HEADLINE.label} of held-out views by mode"
        caption = (
            "Whiskers: standard deviation over scenes, where there are several." if valued["spread"].notna().any() else ""
        )
        drawn.append(draw("modes", title, caption, charts.mode_bars, shown, compared, HEADLINE.name))
    return Part(
        "Novel views", (MODES_IN_WORDS,), tables=tuple(paper_tables.gta_tables(means, metrics)), figures=tuple(drawn)
    )


def clouds_part(means: pd.DataFrame, draw: Drawer) -> Part:
    """2D metrics against 3D metrics: the numbers, their correlation, and what single models do to it."""
    first, second = conditions.metrics_of(means, "2d"), conditions.metrics_of(means, "3d")
    tables: list[Table] = list(paper_tables.cloud_tables(means, first, second))
    drawn: list[Figure] = []
    for dataset in datasets_in_order(means[means["metric"].isin(second)]["dataset"]):
        table = conditions.wide(means, [*first, *second], dataset).dropna(how="all")
        flat, deep = [m for m in first if m in table], [m for m in second if m in table]
        if len(table) < FEWEST_MODELS or not flat or not deep:
            continue
        together = oriented(table[[*flat, *deep]], {metric.name: bool(metric.higher_is_better) for metric in CATALOGUE})
        tables.append(run_tables.leverage_table(together, dataset))
        pearson = correlations(together, flat, deep, ("pearson",))
        odd = {(row["x"], row["y"]): row["most_influential"] for row in pearson.to_dict("records")}
        name = dataset_title(dataset)
        caption = f"Over {len(table)} features, geometry mode, metrics oriented so that higher is better."
        drawn += [
            draw(
                f"correlation-{dataset}",
                f"Correlation of 2D and 3D metrics: {name}",
                caption,
                charts.correlation_heat_maps,
                {"Spearman ρ": correlation_matrix(together, "spearman"), "Pearson r": correlation_matrix(together)},
                len(flat),
            ),
            draw(
                f"scatter-{dataset}",
                f"2D metrics against 3D metrics: {name}",
                f"{caption} Solid: fit over all; dashed: without the feature that moves r most (red).",
                charts.scatter_2d_3d,
                table,
                flat[:PANELS],
                deep,
                odd,
            ),
        ]
    return Part("Do 2D metrics follow 3D metrics?", tables=tuple(tables), figures=tuple(drawn))


def variants_part(means: pd.DataFrame, metrics: Sequence[str], draw: Drawer) -> Part:
    """Upsampled and fine-tuned features: the table and the curves."""
    averages = conditions.complete_averages(means)
    rows = conditions.random_named(averages[averages["metric"].isin(metrics) & averages["value"].notna()])
    plain = rows["model"].map(without_upsampling)
    tuned = rows["mode"].isin(list(paper_tables.FINE_TUNED))
    values = rows.assign(
        variant="frozen",
        mode=rows["mode"].replace(paper_tables.FINE_TUNED),
        model=plain,
    )
    values["variant"] = values["variant"].mask(plain != rows["model"], "upsampled").mask(tuned, "fine-tuned")
    varied = set(values[values["variant"] != "frozen"]["model"])
    values = values[values["model"].isin(varied) & values["mode"].isin(list(paper_tables.GTA))]
    several = values.groupby("mode")["variant"].nunique()
    values = values[values["mode"].isin(several[several > 1].index)]
    drawn = []
    if len(values):
        valued = [metric for metric in metrics if metric in set(values["metric"])][:PANELS]
        title = "From frozen to upsampled and fine-tuned features"
        caption = f"{COMPLETE}."
        drawn.append(draw("variants", title, caption, charts.variant_curves, values, valued))
    table = paper_tables.variants_table(means, metrics)
    return Part("Upsampled and fine-tuned features", tables=(table,), figures=tuple(drawn))


def joined_part(means: pd.DataFrame, metrics: Sequence[str], draw: Drawer) -> Part:
    """InstantSplat, and features that are joined."""
    table = paper_tables.instantsplat_table(means, metrics)
    averages = conditions.complete_averages(means[means["weights"] != "random"])
    values = conditions.wide(averages, metrics).dropna(axis=1, how="all").reset_index()
    drawn = []
    if (
        len(values)
        and values["model"].str.contains("+", regex=False).any()
        and not values["model"].str.contains("+", regex=False).all()
    ):
        valued = [metric for metric in metrics if metric in values][:PANELS]
        title = "Joined features"
        caption = f"{COMPLETE}, geometry mode; dashed: the best single feature."
        drawn.append(draw("joined", title, caption, charts.concatenation_curves, values, valued))
    return Part("InstantSplat and joined features", tables=(table,), figures=tuple(drawn))


def supervision_part(means: pd.DataFrame, metrics: Sequence[str], draw: Drawer) -> Part:
    """The geometry mode by what the models were supervised with."""
    known = conditions.complete_averages(means[(means["weights"] != "random") & (means["model"] != INSTANTSPLAT)])
    values = conditions.wide(known, metrics).dropna(axis=1, how="all").reset_index()
    if values.empty:
        return Part("Supervision")
    values = values.merge(domains(values["model"]), on="model")
    values = values[~values["supervision"].isin(["-", "None"])]
    if values["supervision"].nunique() < 2:
        return Part("Supervision")
    valued = [metric for metric in metrics if metric in values][:PANELS]
    caption = (
        f"{COMPLETE}, geometry mode; a tick is the mean of a kind. Models without supervision or with random weights are "
        "left out."
    )
    figure = draw("supervision", "Metrics by kind of supervision", caption, charts.supervision_dots, values, valued)
    return Part("Supervision", figures=(figure,))
