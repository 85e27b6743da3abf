"""Ranks of models over units, drawn: what both tracks and the papers' tables share."""

from __future__ import annotations

import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures import models as charts_models
from bench.report.figures.drawing import Drawer, Figure
from bench.report.say import marks as conditions
from bench.report.say.cards import named, title_of
from bench.stats.bootstrap import complete_units
from bench.stats.rank import critical_difference

FEWEST_MODELS = 3  #: below, a ranking says nothing


def rank_figures(
    units: pd.DataFrame, metric: str, title: str, draw: Drawer, unit: str = "scenes", track: str = "probe"
) -> list[Figure]:
    """Rank intervals of (units x (model, weights, role)) and, where it can tell any two apart, the critical difference; none
    below three models or two units, or where fewer than two models are more than controls, oracles or random weights."""
    complete, left_out = complete_units(units)
    contenders = [role == "model" and weights != "random" for _, weights, role in map(tuple, complete.columns)]
    if complete.shape[1] < FEWEST_MODELS or len(complete) < 2 or sum(contenders) < 2:
        return []
    higher = bool(METRICS[metric].higher_is_better)
    names = [
        title_of(named(model, weights), track) + "".join(f" ({mark})" for mark in conditions.row_marks(role, ""))
        for model, weights, role in map(tuple, complete.columns)
    ]
    caption = f"Over {len(complete)} {unit}" + (f"; {left_out} that lack a model are left out." if left_out else ".")
    intervals = draw(
        f"ranks-{metric}", f"Rank intervals: {title}", caption, charts_models.rank_interval_plot, complete, higher, names
    )
    if critical_difference(complete.shape[1], len(complete)) >= complete.shape[1] - 1:  # no ranks can be so far apart
        return [intervals]
    return [
        intervals,
        draw(
            f"critical-difference-{metric}",
            f"Critical difference: {title}",
            f"{caption} A bar joins what Nemenyi's test does not tell apart.",
            charts_models.critical_difference_plot,
            complete,
            higher,
            names,
        ),
    ]
