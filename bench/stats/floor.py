"""What scores below the control that has no information: a number that is no score.

Optimisation can end anywhere, also at a picture that is worse than what a readout gives which knows nothing of the photos.
Such a number says that the probe failed, and ranks nobody.
"""

from __future__ import annotations

import pandas as pd

from bench.core.cells import value_in_note

PLACE = ["track", "dataset", "scene", "mode", "pointmap", "protocol"]  #: what a cell and its floor share
CELL = [*PLACE, "model", "weights", "seed"]


def below_floor(rows: pd.DataFrame, metric: str, higher_is_better: bool) -> pd.DataFrame:
    """The cells that score below the floor of their scene.

    Args:
        rows: Tidy rows.
        metric: The one that is compared, as a mean over a cell's views.
        higher_is_better: Of it.

    Returns:
        One line a cell: CELL, value and floor. The floor is the mean over the views and seeds of the
        model whose role is "floor"; where its render is of one colour, the value that the note tells counts. A cell with a
        view that has no value is not compared, nor is one without a floor.
    """
    own = rows[rows["metric"] == metric]
    is_floor = own["role"] == "floor"
    told = own["value"].where(own["status"] != "collapsed", own["note"].map(value_in_note))
    floors = _whole_means(own.assign(value=told)[is_floor], PLACE).rename("floor")
    cells = _whole_means(own[~is_floor], CELL)
    found = cells.reset_index().merge(floors.reset_index(), on=PLACE)
    below = found["value"] < found["floor"] if higher_is_better else found["value"] > found["floor"]
    return found[below].reset_index(drop=True)


def _whole_means(rows: pd.DataFrame, keys: list[str]) -> pd.Series:
    """The mean value of each group; NaN where one is missing."""
    groups = rows.groupby(keys, sort=False, observed=True)["value"]
    return groups.mean().where(groups.count() == groups.size())
