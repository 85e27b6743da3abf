"""The probe's sections: one a protocol and point map, since numbers of different conditions never share a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.metrics.catalogue import headline, of_kind
from bench.report.figures import models as charts_models
from bench.report.figures.drawing import Drawer
from bench.report.figures.gallery import Stored, galleries
from bench.report.page.page import Part, Section, section
from bench.report.parts.families import family_figures
from bench.report.parts.probe import clouds_part, joined_part, supervision_part, variants_part, views_part
from bench.report.parts.profiles import probe_figures
from bench.report.parts.ranks import rank_figures
from bench.report.parts.viewpoints import viewpoints_part
from bench.report.say import marks as conditions
from bench.report.say.verdict import training_gains
from bench.report.tables import papers as paper_tables
from bench.report.tables import runs as run_tables
from bench.report.tables.aggregations import aggregation_table
from bench.report.tables.beside import beside_tables, joined
from bench.report.tables.scenes import among_published, scene_tables

BESIDE = "Published numbers have their own protocol."
HEADLINE = headline("probe")  #: the metric that ranks are drawn for


def probe_sections(
    rows: pd.DataFrame, all_means: pd.DataFrame, stored: Sequence[Stored], published: pd.DataFrame
) -> Iterator[Section]:
    """rows: measured rows; all_means: their means. published: means of the published rows, to be set beside ours."""
    for key, part in rows[rows["track"] == "probe"].groupby(["protocol", "pointmap"], sort=True, observed=True):
        protocol, pointmap = map(str, key)
        anchor = f"probe-{protocol}-{pointmap}"
        marks = conditions.marks_of_conditions(part)
        draw = Drawer(anchor, marks)
        means = conditions.of_conditions(all_means, "probe", protocol, pointmap)
        metrics = conditions.metrics_of(means, "2d")
        members = [m for m in stored if m.cell.protocol == protocol and m.cell.pointmap == pointmap]
        beside = beside_tables(joined(means, published), "beside", "published", marks)
        yield section(
            anchor,
            conditions.title_of_conditions("probe", protocol, pointmap),
            [
                views_part(means, metrics, draw),
                Part("Profiles", figures=tuple(probe_figures(means, draw))),
                Part("Sizes and layers", figures=tuple(family_figures(means, draw))),
                viewpoints_part(part, draw),
                clouds_part(means, draw),
                variants_part(means, metrics, draw),
                joined_part(means, metrics, draw),
                supervision_part(means, metrics, draw),
                _training_part(part, draw),
                _ranking_part(part, draw),
                Part("Training poses", tables=(run_tables.pose_table(means),)),
                Part("Scene by scene", tables=tuple(scene_tables(part, metrics))),
                Part("Beside the published numbers", (BESIDE,) if beside else (), tuple(beside)),
                Part("Among the published rows", tables=tuple(among_published(part, means, published, of_kind("2d", "3d")))),
                Part("Pictures", galleries=tuple(galleries(members, marks))),
            ],
            marks,
            (f"Protocol {protocol}, point map {pointmap}. Scenes: {conditions.scene_count(part)}.",),
        )


def _training_part(rows: pd.DataFrame, draw: Drawer) -> Part:
    """What training adds to each architecture, where untrained twins were run."""
    gains = training_gains(rows, paper_tables.GTA)
    if not gains:
        return Part("Trained minus untrained")
    title = f"{HEADLINE.label}: trained minus untrained"
    figure = draw("training", title, "95 % bootstrap intervals over scenes.", charts_models.training_gains_plot, gains)
    return Part("Trained minus untrained", tables=(run_tables.training_table(gains),), figures=(figure,))


def _ranking_part(rows: pd.DataFrame, draw: Drawer) -> Part:
    """Ranks of the features over scenes, and which differences are significant, mode by mode."""
    tables, drawn = [], []
    said: list[str] = []
    for mode, name in paper_tables.GTA.items():
        units = conditions.scenes_by_model(rows, HEADLINE.name, mode)
        if units.empty:
            continue
        title = f"{HEADLINE.label}, mode {mode} ({name.lower()})"
        tables.append(
            run_tables.significance_table(units, HEADLINE.name, f"significance-{mode.lower()}", f"Significance: {title}")
        )
        tables.append(
            aggregation_table(units, HEADLINE.name, f"aggregations-{mode.lower()}", f"Other aggregations: {title}")
        )
        said += run_tables.no_test(units, title)
        if mode == "G":
            drawn = rank_figures(units, HEADLINE.name, title, draw)
    return Part("Ranks and significance", tuple(said), tuple(tables), tuple(drawn))
