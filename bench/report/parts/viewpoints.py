"""The viewpoint gap: how a probe's held-out views fare the farther they lie from the training views."""

from __future__ import annotations

import pandas as pd

from bench.metrics.catalogue import METRICS, headline
from bench.report.figures import viewpoints as charts
from bench.report.figures.drawing import Drawer
from bench.report.page.page import Part
from bench.report.say import marks as conditions
from bench.report.say.cards import in_order, title_of
from bench.stats.binned import bin_edges, binned_means, within_groups

HEADLINE, ANGLE = headline("probe"), METRICS["view_angle"]
MOST_LINES = 10
TITLE = "Viewpoint gap"
_VIEW = ["dataset", "scene", "view"]


def viewpoints_part(rows: pd.DataFrame, draw: Drawer) -> Part:
    """The headline metric of the geometry mode against the angle to the nearest training view, a line a model; nothing where
    the views have too few distinct angles. rows: of one protocol and point map."""
    views = view_scores(rows)
    edges = bin_edges(views.drop_duplicates(_VIEW)[ANGLE.name]) if len(views) else []
    if not edges:
        return Part(TITLE)
    levels = views.groupby("model", sort=False)[HEADLINE.name].mean()
    best = levels.sort_values(ascending=not HEADLINE.higher_is_better).index[:MOST_LINES]
    lines = {}
    for model in in_order(best, "probe"):
        own = views[views["model"] == model]
        lines[title_of(model)] = binned_means(own[ANGLE.name], own[HEADLINE.name], edges)
    count = len(views.drop_duplicates(_VIEW))
    caption = (
        f"Geometry mode, {count} held-out views in {len(edges) - 1} bins of about equally many. Angles are seen from the "
        "scene's middle, between the cameras as the initialiser has them. Scores are less their scene's mean, plus the mean "
        "over scenes: what is left differs within scenes. Whiskers: 95 % bootstrap intervals over views."
    )
    if len(levels) > MOST_LINES:
        caption += f" The best {MOST_LINES} of {len(levels)} models."
    title = f"{HEADLINE.label} against the angle to the nearest training view"
    return Part(TITLE, figures=(draw("viewpoint-gap", title, caption, charts.viewpoint_gap, lines, HEADLINE.name),))


def view_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a model and held-out view of the geometry mode, means over seeds.

    Its columns: model (those of random weights named so), dataset, scene, view, the headline metric less what its scene
    differs by, and the view's angle. Oracles, cells below the floor and views without a score or an angle are left out.
    """
    own = conditions.above_floor(rows)
    own = conditions.random_named(own[(own["mode"] == "G") & (own["role"] != "oracle") & (own["status"] == "ok")])
    own = own[own["metric"].isin([HEADLINE.name, ANGLE.name])]
    keys = ["model", *_VIEW]
    table = own.pivot_table(index=keys, columns="metric", values="value", aggfunc="mean", observed=True)
    if not {HEADLINE.name, ANGLE.name} <= set(table.columns):
        return pd.DataFrame(columns=[*keys, HEADLINE.name, ANGLE.name])
    table = table.dropna().reset_index()
    scenes = table["dataset"].astype(str) + "/" + table["scene"].astype(str)
    parts = [within_groups(part[HEADLINE.name], scenes[part.index]) for _, part in table.groupby("model", observed=True)]
    return table.assign(**{HEADLINE.name: pd.concat(parts)}) if parts else table
