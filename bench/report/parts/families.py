"""The figures of families, where one run holds several sizes of a family, or several layers of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.core.families import Family
from bench.core.names import UNTRAINED, Part
from bench.core.registry import features
from bench.metrics.catalogue import headline
from bench.report.figures import families as charts
from bench.report.figures.drawing import Drawer, Figure
from bench.report.say import marks as conditions
from bench.report.say.cards import in_order, is_joined, parts_of, title_of
from bench.report.tables.papers import GTA

HEADLINE = headline("probe")
FEWEST_SIZES = 2  #: below, a family has no curve
FEWEST_LAYERS = 3
_LAYER = "layer"


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
            f"{average} A line a family, each size read at its default layer.{weights}",
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
    """The rows of single networks that belong to a family, with where they stand in it: columns model, mode, value, random,
    curve (the family), network (with its size), point (the size), parameters, plain (read where the size's name alone
    reads it), layer, depth, default."""
    found = []
    for model in in_order((name for name in rows["model"] if name != INSTANTSPLAT and not is_joined(name)), "probe"):
        (written,) = parts_of(model)
        part = features.current(written.without(UNTRAINED))
        if part.variants or part.base not in features:
            continue
        found += [
            {
                "model": row["model"],
                "mode": row["mode"],
                "value": row["value"],
                "random": row["weights"] == "random",
                **place,
            }
            for place in _place(features[part.base], part)
            for row in rows[rows["model"] == model].to_dict("records")
        ]
    return pd.DataFrame(found)


def _place(family: type[Family], part: Part) -> list[dict[str, Any]]:
    """Where a network stands in its family; nothing where it is of none, or set otherwise than in its layer."""
    sized: Any = features[str(Part(part.base, part.size))]
    layers = sized.offers().get(_LAYER)
    others = [key for key, _ in part.parameters if key != _LAYER]
    if others or not (family.sizes or layers):
        return []
    layer = int(dict(part.parameters).get(_LAYER, layers.default if layers else 0))
    return [
        {
            "curve": family.card.name,
            "network": title_of(str(Part(part.base, part.size))),
            "point": part.size or family.default_size,
            "parameters": sized.card.parameters,
            "plain": not part.parameters and bool(family.sizes),
            "layer": layer,
            "depth": max(layers.values) if layers else 0,
            "default": layers is not None and layer == layers.default,
        }
    ]


def _several(table: pd.DataFrame, fewest: int) -> pd.DataFrame:
    """The curves that have so many points with a value of their own place in a mode."""
    places = table.groupby(["curve", "random", "mode"])["x"].transform("nunique")
    return table[places >= fewest]


def _panels(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str], str]:
    """What a chart takes: the table with its metric in the unit that is printed, its modes, and the metric."""
    modes = [mode for mode in GTA if mode in set(table["mode"])]
    return table.assign(value=table["value"] * HEADLINE.factor), modes, HEADLINE.name
