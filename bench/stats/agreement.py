"""How our table agrees with another one (a published one, or another run): value by value, and in the order of the
models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.stats.correlate import coefficient, correlation

#: What identifies a value in both tables, whatever protocol, point map or weights it came from.
MATCH = ("track", "dataset", "model", "mode", "alignment", "metric")
#: A column of a table: what its models are ranked within.
COLUMN = ("track", "dataset", "mode", "alignment", "metric")


def join_tables(ours: pd.DataFrame, reference: pd.DataFrame, on: Sequence[str] = MATCH) -> pd.DataFrame:
    """Both tables' values side by side: the columns `on`, ours, reference, difference (ours - reference), relative
    (difference over |reference|), higher_is_better, and `found`: "both", "ours only" or "reference only".

    ours, reference: data set tables with `value` and `higher_is_better`. Raises ValueError where one of them has two values
    for one place.
    """
    for name, table in (("ours", ours), ("reference", reference)):
        doubled = table.duplicated(list(on))
        if doubled.any():
            raise ValueError(f"{name}: two values for {table.loc[doubled, list(on)].iloc[0].to_dict()}")
    columns = [*on, "value", "higher_is_better"]
    joined = ours[columns].merge(
        reference[columns], on=list(on), how="outer", suffixes=("_ours", "_reference"), indicator=True
    )
    words = {"both": "both", "left_only": "ours only", "right_only": "reference only"}
    difference = joined["value_ours"] - joined["value_reference"]
    return joined[list(on)].assign(
        ours=joined["value_ours"],
        reference=joined["value_reference"],
        difference=difference,
        relative=difference / joined["value_reference"].abs(),
        higher_is_better=joined["higher_is_better_ours"].fillna(joined["higher_is_better_reference"]),
        found=joined["_merge"].astype(str).map(words),
    )


def agreement(joined: pd.DataFrame, by: Sequence[str] = COLUMN) -> pd.DataFrame:
    """Per column of the table: n (models with both values), n_ours and n_reference, mean_difference, mean_absolute, worst
    (largest absolute difference) and the model it belongs to, spearman with its interval, kendall, and whether both
    name the same best.

    The rank correlations are NaN for fewer than 3 models; same_best is missing where no model has both values.
    """
    rows = []
    for key, group in joined.groupby(list(by), sort=False, dropna=False, observed=True):
        both = group.dropna(subset=["ours", "reference"])
        size = both["difference"].abs()
        spearman = correlation(both["ours"], both["reference"], "spearman")
        kendall = coefficient(both["ours"], both["reference"], "kendall")
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "n": len(both),
                "n_ours": int(group["ours"].notna().sum()),
                "n_reference": int(group["reference"].notna().sum()),
                "mean_difference": both["difference"].mean(),
                "mean_absolute": size.mean(),
                "worst": size.max(),
                "worst_model": both["model"].iloc[int(size.to_numpy().argmax())] if len(both) else "",
                "spearman": spearman["r"],
                "spearman_low": spearman["low"],
                "spearman_high": spearman["high"],
                "kendall": kendall,
                "same_best": _same_best(both),
            }
        )
    return pd.DataFrame(rows).astype({"same_best": "boolean"}) if rows else pd.DataFrame()


def _same_best(both: pd.DataFrame) -> bool | None:
    """Whether a model that is best in one column is also best in the other (ties count as best)."""
    if both.empty or both["higher_is_better"].isna().any():
        return None
    sign = np.where(both["higher_is_better"].astype(bool), 1.0, -1.0)
    ours, reference = both["ours"] * sign, both["reference"] * sign
    return bool(((ours == ours.max()) & (reference == reference.max())).any())
