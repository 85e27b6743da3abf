"""Third parties' re-measurements of published values: results/reproduced/*.csv, which travel with the package."""

from __future__ import annotations

import functools

import pandas as pd

from bench.results.reference.shipped import REPRODUCED, shipped_table

#: What a re-measured value is compared by; the columns that name its place.
PLACE = ("track", "dataset", "model", "mode", "alignment", "metric")


@functools.cache
def reproduced_values() -> pd.DataFrame:
    """Every re-measured value: by, PLACE, value, quoted (NaN if not said), tolerance (relative), weights, note, source."""
    text = shipped_table(REPRODUCED, "values")
    return text.assign(**{name: pd.to_numeric(text[name]) for name in ("value", "quoted", "tolerance")})


def not_reproducible() -> dict[str, str]:
    """Model -> why one run cannot give its published values."""
    table = shipped_table(REPRODUCED, "not_reproducible")
    return dict(zip(table["model"], table["reason"], strict=True))


def expected_values(name: str) -> pd.DataFrame:
    """What a run of our own must give: PLACE and value, as results/reproduced/<name>.csv has them."""
    text = shipped_table(REPRODUCED, name)
    return text.assign(value=pd.to_numeric(text["value"]))


@functools.cache
def measured_costs(device: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """What a cell of the suite's own run took (results/reproduced/costs.csv), by track, protocol and mode.

    Args:
        device: "cpu" or "cuda".

    Returns:
        Median seconds, and MB in the results folder with its pictures.
    """
    text = shipped_table(REPRODUCED, "costs")
    costs = text[text["device"] == device].astype({"seconds": float, "stored_mb": float})
    rows = costs[["track", "protocol", "mode", "seconds", "stored_mb"]].itertuples(index=False, name=None)
    return {(track, protocol, mode): (seconds, stored) for track, protocol, mode, seconds, stored in rows}
