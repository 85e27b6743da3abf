"""What the study's rows say together."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from bench.perf.selectivity.parts import PUBLISHED_UNIT


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


def scale_curves(cells: pd.DataFrame) -> pd.DataFrame:
    """PSNR of `quick-v2`, mode G, against the unit that features reach the readout in.

    Args:
        cells: Rows of `cells.csv`.

    Returns:
        scene, model, weights, deviation, psnr (mean over seeds) and published: whether the deviation is the one that the
        features have under the paper's protocol. Only scenes and networks that were run at several deviations.
    """
    own = cells[cells["protocol"].str.match(r"quick-v2($|\*)") & (cells["mode"] == "G") & (cells["seed"] == 0)]
    who = ["scene", "model", "weights"]
    own = own[own.groupby(who)["deviation"].transform("nunique") > 2]
    own = own.assign(published=own["protocol"] == PUBLISHED_UNIT)
    columns = [*who, "deviation", "published"]
    return own.groupby(columns, sort=True)["psnr"].mean().reset_index()


def order_against_scale(curves: pd.DataFrame) -> pd.DataFrame:
    """How the order of the models changes with the unit.

    Args:
        curves: As `scale_curves` gives them.

    Returns:
        One line a scene and deviation, and one ("published") for every model in its own unit: models (how many have a value
        there), best, turned (how many pairs of models stand the other way round than at a deviation of 1) and pairs (of how
        many).
    """
    lines = []
    for scene, part in curves.groupby("scene", sort=True):
        units = {f"{deviation:g}": rows for deviation, rows in part[~part["published"]].groupby("deviation")}
        if part["published"].any():
            units["published"] = part[part["published"]]
        orders = {unit: rows.set_index(["model", "weights"])["psnr"].dropna() for unit, rows in units.items()}
        at_one = orders["1"]
        for unit, values in orders.items():
            pairs = list(combinations(values.index.intersection(at_one.index), 2))
            turned = sum((values[a] - values[b]) * (at_one[a] - at_one[b]) < 0 for a, b in pairs)
            model, weights = values.index[int(values.to_numpy().argmax())]
            best = f"{model}@untrained" if weights == "random" else model
            lines.append((scene, unit, len(values), best, turned, len(pairs)))
    return pd.DataFrame(lines, columns=["scene", "deviation", "models", "best", "turned", "pairs"])


def variance_ratio(cells: pd.DataFrame, weights: str = "pretrained") -> pd.DataFrame:
    """How far apart models lie, in units of how far apart the seeds of one model do.

    Args:
        cells: Rows of `cells.csv`.
        weights: Of the networks that are compared.

    Returns:
        By protocol and scene (mode G), over the networks that have several seeds in every protocol: networks, seeds,
        between (variance of their means over seeds), within (variance over seeds, pooled), and ratio = between / within.
    """
    own = cells[(cells["mode"] == "G") & (cells["weights"] == weights)].dropna(subset="psnr")
    by = ["protocol", "scene", "model"]
    own = own[own.groupby(by)["seed"].transform("nunique") > 1]
    each = own.groupby(by)["psnr"].agg(["mean", "var", "size"]).reset_index()
    found = each.groupby(["protocol", "scene"]).agg(
        networks=("model", "size"), seeds=("size", "min"), between=("mean", "var"), within=("var", "mean")
    )
    return found[found["networks"] > 1].assign(ratio=found["between"] / found["within"]).reset_index()


def by_scene(cells: pd.DataFrame) -> pd.DataFrame:
    """The table of the study: PSNR in mode G, mean over seeds, one line a protocol, model and kind of weights, one column a
    scene; NaN where a cell has no value (its render is of one colour), seeds: the least number of cells that a value is of.
    """
    own = cells[(cells["mode"] == "G") & cells["protocol"].isin(["quick-v1", "quick-v1*1", "quick-v2"])]
    index = ["protocol", "model", "weights"]
    table = own.pivot_table("psnr", index, "scene", aggfunc="mean", dropna=True)
    seeds = own.groupby([*index, "scene"]).size().groupby(index).min().rename("seeds")
    return table.join(seeds, how="right").reset_index()
