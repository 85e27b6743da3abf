"""The geometry track's sections, one a protocol: MoGe's tables run over data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.core.cells import WHOLE_CELL
from bench.metrics.catalogue import headline, of_kind
from bench.report.figures import models as charts_models
from bench.report.figures.drawing import Drawer
from bench.report.figures.gallery import Stored, galleries
from bench.report.page.page import Part, Section, section
from bench.report.parts.profiles import rank_strip_figures
from bench.report.parts.ranks import rank_figures
from bench.report.say import marks as conditions
from bench.report.say.cards import title_of
from bench.report.tables import papers as paper_tables
from bench.report.tables.aggregations import aggregation_table
from bench.report.tables.beside import BLOCKS, beside_tables, headline_alignment, joined
from bench.report.tables.runs import no_test, significance_table
from bench.report.tables.scenes import among_published

HEADLINE = headline("geometry")


def geometry_sections(
    rows: pd.DataFrame, all_means: pd.DataFrame, stored: Sequence[Stored], published: pd.DataFrame
) -> Iterator[Section]:
    """rows: measured rows; all_means: their means. published: means of the published rows, to be set beside ours."""
    for protocol, part in rows[rows["track"] == "geometry"].groupby("protocol", sort=True, observed=True):
        anchor = f"geometry-{protocol}"
        marks = conditions.marks_of_conditions(part)
        draw = Drawer(anchor, marks)
        means = conditions.of_conditions(all_means, "geometry", str(protocol), "-")
        members = [m for m in stored if m.cell.protocol == protocol]
        beside = beside_tables(joined(means, published), "beside", "published", marks)
        yield section(
            anchor,
            f"Geometry: {protocol}",
            [
                Part("Point maps", tables=(paper_tables.points_table(means),)),
                Part("Depth maps", tables=(paper_tables.depth_table(means),)),
                _field_of_view_part(part, means, draw),
                Part("Boundaries", tables=(paper_tables.boundary_table(means),)),
                Part("Surface normals", tables=(paper_tables.normals_table(means),)),
                Part("Averages", (), (paper_tables.summary_table(means),), tuple(rank_strip_figures(means, draw))),
                _ranking_part(part, draw),
                Part("Beside the published numbers", (), tuple(beside)),
                Part(
                    "Among the published rows",
                    tables=tuple(among_published(part, means, published, of_kind("depth", "fov"))),
                ),
                Part("Pictures", galleries=tuple(galleries(members, marks))),
            ],
            marks,
            (f"Protocol {protocol}. Samples: {conditions.scene_count(part)}.",),
        )


def _field_of_view_part(rows: pd.DataFrame, means: pd.DataFrame, draw: Drawer) -> Part:
    table = paper_tables.field_of_view_table(means)
    crops = rows[(rows["metric"] == "fov_x_error") & (rows["alignment"] == "fov_crops") & (rows["status"] == "ok")]
    if crops.empty:
        return Part("Field of view", tables=(table,))
    named = conditions.random_named(crops)
    labels = {model: title_of(model, "geometry") for model in named["model"].unique()}
    errors = named.assign(label=named["model"].map(labels))
    views = errors.groupby("label").size()
    figure = draw(
        "fov-errors",
        "Field-of-view errors",
        f"Over {views.min()}{f' to {views.max()}' if views.max() > views.min() else ''} crops a model.",
        charts_models.error_distribution,
        errors,
    )
    return Part("Field of view", tables=(table,), figures=(figure,))


def _ranking_part(rows: pd.DataFrame, draw: Drawer) -> Part:
    """Ranks over samples and significant differences, under the alignment that most models share."""
    alignment = headline_alignment(rows)
    if alignment is None:
        return Part("Ranks and significance")
    own = rows[(rows["alignment"] == alignment) | (rows["metric"] == WHOLE_CELL)]
    members = set(own[own["metric"] == HEADLINE.name]["model"])  # a failed cell of another kind of model is no gap here
    units = conditions.scenes_by_model(own[own["model"].isin(members)], HEADLINE.name, "-", alignment)
    title = f"{HEADLINE.label}, {BLOCKS[alignment].lower()}"
    table = significance_table(units, HEADLINE.name, "significance", f"Significance: {title}")
    return Part(
        "Ranks and significance",
        no_test(units, title),
        tables=(table, aggregation_table(units, HEADLINE.name, "aggregations", f"Other aggregations: {title}", "geometry")),
        figures=tuple(rank_figures(units, HEADLINE.name, title, draw, "samples", "geometry")),
    )
