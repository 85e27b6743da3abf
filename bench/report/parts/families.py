"""The figures of families, where one run holds several sizes of a family, or several layers of a network."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.core.names import UNTRAINED
from bench.metrics.catalogue import headline
from bench.report.figures import families as charts
from bench.report.figures.drawing import Drawer, Figure
from bench.report.say import marks as conditions
from bench.report.say.cards import in_order, is_joined, network, parts_of
from bench.report.say.registered import registered_model
from bench.report.tables.papers import GTA

HEADLINE = headline("probe")
FEWEST_SIZES = 2  #: below, a family has no curve
FEWEST_LAYERS = 3


def family_figures(means: pd.DataFrame, draw: Drawer) -> Iterator[Figure]:
    """Score against parameters and score against depth of layer. means: of one protocol and point map."""
    rows = conditions.complete_averages(means)
    rows = rows[(rows["metric"] == HEADLINE.name) & (rows["role"] == "model") & rows["mode"].isin(list(GTA))]
    table = _located(rows)
    if table.empty:
        return
    weights = " Dashed: the same networks with random weights." if table["random"].any() else ""
    average = "The average over data sets, of models that lack no scene."
    if len(sizes := _several(table[table["plain"]].assign(x=lambda frame: frame["parameters"]), FEWEST_SIZES)):
        yield draw(
            "sizes",
            f"{HEADLINE.label} against parameters, by family",
            f"{average} A line a family, each size read at its default layer; of sizes with equal parameters the line "
            f"joins the first.{weights}",
            charts.size_curves,
            *_panels(sizes),
        )
    layers = table[table["depth"] > 0].assign(curve=table["network"], x=table["layer"] / table["depth"].clip(lower=1))
    if len(layers := _several(layers, FEWEST_LAYERS)):
        yield draw(
            "layers",
            f"{HEADLINE.label} against depth of the layer",
            f"{average} A line a network, from its first layer to its last; a ring around the layer that its plain name "
            f"means. In convolutional networks resolution falls with depth.{weights}",
            charts.layer_curves,
            *_panels(layers),
        )


def _located(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of single networks that belong to a family, with where they stand in it: columns mode, value, random,
    curve (the family), network (with its size), point (the size), parameters, plain (read where the size's name alone
    reads it), layer, depth, default."""
    found = []
    for model in in_order((name for name in rows["model"] if name != INSTANTSPLAT and not is_joined(name)), "probe"):
        (part,) = parts_of(model)
        registered = None if part.without(UNTRAINED).variants else registered_model(network(part))
        if registered is None or registered.place is None:
            continue
        place = registered.place
        own = rows[rows["model"] == model]
        found.append(
            pd.DataFrame(
                {
                    "mode": own["mode"],
                    "value": own["value"],
                    "random": own["weights"] == "random",
                    "curve": place.family,
                    "network": place.network,
                    "point": place.size,
                    "parameters": registered.card.parameters,
                    "plain": place.plain and bool(place.size),
                    "layer": place.layer,
                    "depth": place.depth,
                    "default": place.depth > 0 and place.layer == place.default_layer,
                }
            )
        )
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _several(table: pd.DataFrame, fewest: int) -> pd.DataFrame:
    """The curves that have so many points with a value of their own place in a mode."""
    places = table.groupby(["curve", "random", "mode"])["x"].transform("nunique")
    return table[places >= fewest]


def _panels(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str], str]:
    """What a chart takes: the table with its metric in the unit that is printed, its modes, and the metric."""
    modes = [mode for mode in GTA if mode in set(table["mode"])]
    return table.assign(value=table["value"] * HEADLINE.factor), modes, HEADLINE.name
