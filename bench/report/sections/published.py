"""The papers' own tables, and the figures that they allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from bench.core.cells import INSTANTSPLAT, OVER_DATASETS
from bench.metrics.catalogue import headline
from bench.report.figures.drawing import Drawer, Figure
from bench.report.figures.forest import FOREST, FOREST_CAPTION, forest_plot
from bench.report.page.page import Part, Section, section
from bench.report.parts.probe import clouds_part, joined_part, supervision_part, variants_part, views_part
from bench.report.parts.profiles import probe_figures, rank_strip_figures
from bench.report.parts.ranks import rank_figures
from bench.report.say import marks as conditions
from bench.report.say.cards import PROBED
from bench.report.say.means import table_means
from bench.report.tables import papers as paper_tables
from bench.report.tables.model import Table
from bench.report.tables.thirds import thirds_table, three_hands
from bench.results.reference.published import published_cards, published_rows
from bench.results.schema import PUBLISHED
from bench.stats.aggregate import over_datasets

MARKS = (PUBLISHED,)
FEATURES = ("feat2gs_gta", "feat2gs_vggt")  #: the tables of features x modes


def published_sections() -> list[Section]:
    """Every table of the two papers from the published rows, each with its source, and the figures that they allow."""
    return [_feat2gs(), _moge()]


def _feat2gs() -> Section:
    anchor = "published-feat2gs"
    draw = Drawer(anchor, MARKS)
    means = {name: table_means(published_rows(f"feat2gs_{name}")) for name in ("dtu", "variants", INSTANTSPLAT)}
    rows = pd.concat([published_rows(name) for name in FEATURES], ignore_index=True)
    means["gta"] = table_means(rows[rows["dataset"] != OVER_DATASETS])
    metrics = conditions.metrics_of(means["gta"], "2d")
    # The paper prints no average over data sets for every feature: formed here, for the figures only.
    averages = over_datasets(means["gta"]).assign(dataset=OVER_DATASETS, below="")  # no cell, no floor
    profiled = pd.concat([means["gta"], averages], ignore_index=True)
    parts = [
        _sourced(views_part(means["gta"], metrics, draw), *FEATURES),
        _sourced(Part("Profiles", figures=tuple(probe_figures(profiled, draw))), *FEATURES),
        _sourced(clouds_part(means["dtu"], draw), "feat2gs_dtu"),
        _sourced(variants_part(means["variants"], metrics, draw), "feat2gs_variants"),
        _sourced(joined_part(means[INSTANTSPLAT], metrics, draw), "feat2gs_instantsplat"),
        _sourced(supervision_part(averages, metrics, draw), *FEATURES),
        _sourced(_rank_part(means["gta"], draw), *FEATURES),
        Part(
            "Models and data sets",
            tables=_cards(
                [
                    (lambda: paper_tables.models_table(PROBED[:-1], "probe"), "models"),
                    (paper_tables.datasets_table, "datasets"),
                ]
            ),
        ),
    ]
    return section(anchor, "Feat2GS, as published", parts, MARKS, ("The paper's numbers, in its own tables.",))


def _moge() -> Section:
    means = {name: table_means(published_rows(f"moge_{name}")) for name in ("points", "depth", "fov", "ablation")}
    ablation = paper_tables.summary_table(means["ablation"], name="ablation", title="Ablation")
    parts = [
        _sourced(Part("Point maps", tables=(paper_tables.points_table(means["points"]),)), "moge_points"),
        _sourced(Part("Depth maps", tables=(paper_tables.depth_table(means["depth"]),)), "moge_depth"),
        _sourced(Part("Ranks", figures=_moge_ranks(means)), "moge_points", "moge_depth"),
        _sourced(Part("Field of view", tables=(paper_tables.field_of_view_table(means["fov"]),)), "moge_fov"),
        _sourced(Part("Ablation", tables=(ablation,)), "moge_ablation"),
        _third_parties(),
        Part("Training data", tables=_cards([(paper_tables.training_data_table, "training_data")])),
    ]
    return section("published-moge", "MoGe, as published", parts, MARKS, ("The paper's numbers, in its own tables.",))


def _moge_ranks(means: dict[str, pd.DataFrame]) -> tuple[Figure, ...]:
    both = pd.concat([means["points"], means["depth"]], ignore_index=True)
    return tuple(rank_strip_figures(both, Drawer("published-moge", MARKS)))


def _third_parties() -> Part:
    """What others found when they measured the same again."""
    found = three_hands()
    drawn = Drawer("published-moge", MARKS)("third-parties", FOREST, FOREST_CAPTION, forest_plot, found)
    return _sourced(Part("Third parties", tables=(thirds_table(found),), figures=(drawn,)), "moge_depth")


def _rank_part(means: pd.DataFrame, draw: Drawer) -> Part:
    """Ranks over data sets: the paper prints no scenes, so the data sets are the units."""
    metric = headline("probe")
    rows = means[(means["metric"] == metric.name) & (means["mode"] == "G")]
    units = rows.pivot_table(index="dataset", columns=["model", "weights", "role"], values="value", sort=False)
    return Part(
        "Ranks", figures=tuple(rank_figures(units, metric.name, f"{metric.label}, geometry mode", draw, "data sets"))
    )


def _sourced(part: Part, *names: str) -> Part:
    """The part with the sources of its published rows under every table and figure."""
    source = "; ".join(source for name in names for source in published_rows(name)["source"].unique())
    return replace(
        part,
        tables=tuple(_captioned(each, source) for each in part.tables),
        figures=tuple(replace(each, caption=f"{each.caption} Source: {source}.".strip()) for each in part.figures),
    )


def _captioned(table: Table, source: str) -> Table:
    return replace(table, caption=f"{table.caption} Source: {source}.".strip())


def _cards(tables: Sequence[tuple[Callable[[], Table], str]]) -> tuple[Table, ...]:
    return tuple(_captioned(make(), str(published_cards(name)["source"].iloc[0])) for make, name in tables)
