"""What the study's rows say together."""

from __future__ import annotations

import pandas as pd


def differences(cells: pd.DataFrame, value: str = "psnr") -> pd.DataFrame:
    """What training adds, by protocol, mode and network.

    Args:
        cells: Rows of `cells.csv`.
        value: The column that is compared.

    Returns:
        trained, untrained: means over the scenes and seeds that both have; difference; seed_deviation: standard deviation
        over the seeds of one scene and one network, pooled (NaN where there is one seed); selectivity: difference over
        seed_deviation; cells: how many pairs.
    """
    wide = cells.pivot_table(value, ["protocol", "mode", "model", "scene", "seed"], "weights")
    pairs = wide.reindex(columns=["pretrained", "random"]).dropna()
    by = ["protocol", "mode", "model"]
    variance = pairs.groupby([*by, "scene"]).var(ddof=1).mean(axis=1).groupby(by).mean()
    means = pairs.groupby(by).mean()
    difference = means["pretrained"] - means["random"]
    deviation = variance**0.5
    return pd.DataFrame(
        {
            "trained": means["pretrained"],
            "untrained": means["random"],
            "difference": difference,
            "seed_deviation": deviation,
            "selectivity": difference / deviation,
            "cells": pairs.groupby(by).size(),
        }
    ).reset_index()
