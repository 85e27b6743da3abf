"""Third parties' re-measurements of published values: results/reproduced/*.csv, which travel with the package."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd

from bench.core.errors import UserError

#: What a re-measured value is compared by; the columns that name its place.
PLACE = ("track", "dataset", "model", "mode", "alignment", "metric")
_INSTALLED = Path(__file__).parents[1] / "reproduced_tables"
_CHECKOUT = Path(__file__).parents[2] / "results" / "reproduced"


def _read(name: str) -> pd.DataFrame:
    path = (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: the re-measured values did not come with this installation; install it again")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@functools.cache
def reproduced_values() -> pd.DataFrame:
    """Every re-measured value: by, PLACE, value, quoted (NaN if not said), tolerance (relative), weights, note, source."""
    text = _read("values")
    return text.assign(**{name: pd.to_numeric(text[name]) for name in ("value", "quoted", "tolerance")})


def not_reproducible() -> dict[str, str]:
    """Model -> why one run cannot give its published values."""
    table = _read("not_reproducible")
    return dict(zip(table["model"], table["reason"], strict=True))
