"""The charts of families: how a score goes with a network's size, and with the depth of the layer that is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas, label_points
from bench.report.tables.model import arrow
from bench.report.tables.papers import GTA


def size_curves(table: pd.DataFrame, modes: Sequence[str], metric: str) -> Any:
    """A metric against parameters (log scale): a panel a mode, a line a family from its smallest size to its largest.

    Args:
        table: One row a size and mode; columns curve (the family's name), random (whether weights are; dashed), x
            (parameters in millions), point (the size's name), mode, value.
        modes: The panels, from left to right.
        metric: The metric's name.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure, panels = _curves(table, modes, metric, "parameters, millions (log scale)")
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    for axes, mode in zip(panels, modes, strict=True):
        # Trained and random weights of one size lie above each other: its name stands once.
        own = table[table["mode"] == mode].sort_values("random", kind="stable").drop_duplicates(["curve", "point"])
        label_points(axes, list(own["x"]), list(own["value"]), list(own["point"]))
    return figure


def layer_curves(table: pd.DataFrame, modes: Sequence[str], metric: str) -> Any:
    """A metric against the depth of the layer that is read: a panel a mode, a line a network, a ring around its default.

    Args:
        table: One row a layer and mode; columns curve (the network's name), random (whether weights are; dashed), x (the
            layer's number over the number of layers), default (whether the plain name means this layer), mode, value.
        modes: The panels, from left to right.
        metric: The metric's name.

    Returns:
        The Matplotlib figure.
    """
    figure, panels = _curves(table, modes, metric, "depth of the layer (1: the last)")
    for axes, mode in zip(panels, modes, strict=True):
        plain = table[(table["mode"] == mode) & table["default"]]
        axes.scatter(plain["x"], plain["value"], s=70, facecolors="none", edgecolors="0.3", linewidths=0.9, zorder=4)
        axes.set_xlim(0, 1.04)
    return figure


def _curves(table: pd.DataFrame, modes: Sequence[str], metric: str, along: str) -> tuple[Any, list[Any]]:
    """The figure and its panels, a line a curve; trained and random weights of one curve share its colour. Of several points
    at one place the line goes through the first, the others stand aside."""
    names = list(dict.fromkeys(table["curve"]))
    figure, (panels,) = canvas(3.2 * len(modes) + 1.8, 3.3, 1, len(modes))
    for axes, mode in zip(panels, modes, strict=True):
        for (name, random), own in table[table["mode"] == mode].groupby(["curve", "random"], sort=False):
            place, line = names.index(name), own.drop_duplicates("x").sort_values("x")
            aside = own.drop(line.index)
            looks = {"color": COLOURS[place % len(COLOURS)], "marker": "os^Dv"[place // len(COLOURS) % 5], "markersize": 4}
            label = f"{name} (random weights)" if random else name
            axes.plot(line["x"], line["value"], linestyle="--" if random else "-", linewidth=1.2, label=label, **looks)
            axes.plot(aside["x"], aside["value"], linestyle="none", label=f"_{label}, aside", **looks)
        axes.margins(x=0.14, y=0.14)
        axes.grid(linewidth=0.4, color="0.92")
        axes.set_title(GTA[mode])
        axes.set_xlabel(along)
    panels[0].set_ylabel(arrow(METRICS[metric]) + (f", {METRICS[metric].unit}" if METRICS[metric].unit == "dB" else ""))
    drawn = [line for axes in panels for line in axes.get_lines()]
    lines = {line.get_label(): line for line in drawn if not line.get_label().startswith("_")}
    figure.legend(list(lines.values()), list(lines), loc="outside right upper", fontsize=7.5)
    return figure, list(panels)
