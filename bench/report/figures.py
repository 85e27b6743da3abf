"""Figures as Matplotlib objects, drawn from frames; writing them to files is `save`'s business."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from bench.files import write_atomically
from bench.metrics.catalogue import METRICS

matplotlib.use("Agg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "vfm3d-bench",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)
#: file type -> the metadata that would make two equal figures differ
FORMATS: dict[str, dict[str, None]] = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}


def correlation_heat_map(matrix: pd.DataFrame, split: int, title: str) -> Any:
    """The metrics' correlation matrix (a square frame indexed by metric name); the first `split` metrics are the 2D ones."""
    import matplotlib.pyplot as plt
    import seaborn

    labels = [METRICS[str(name)].label for name in matrix]
    figure, axes = plt.subplots(figsize=(1.6 + 0.62 * len(labels), 1.2 + 0.55 * len(labels)), layout="constrained")
    seaborn.heatmap(
        matrix.set_axis(labels).set_axis(labels, axis=1),
        vmin=-1,
        vmax=1,
        cmap="RdBu_r",
        annot=True,
        fmt=".2f",
        annot_kws={"size": 8},
        square=True,
        linewidths=0.5,
        cbar_kws={"shrink": 0.8},
        ax=axes,
    )
    axes.axhline(split, color="black", linewidth=1.5)
    axes.axvline(split, color="black", linewidth=1.5)
    axes.tick_params(axis="y", rotation=0)
    axes.set_title(title)
    return figure


def mode_bars(means: pd.DataFrame, modes: Sequence[str], metric: str, title: str) -> Any:
    """One group of bars a model, one bar a mode, with the spread over scenes as whiskers."""
    import matplotlib.pyplot as plt
    import seaborn

    rows = means[(means["metric"] == metric) & means["mode"].isin([*modes, "instantsplat"]) & means["value"].notna()]
    baseline = rows[rows["mode"] == "instantsplat"]["value"]
    rows = rows[rows["mode"].isin(modes)]
    models = list(rows.groupby("model")["value"].max().sort_values(ascending=not METRICS[metric].higher_is_better).index)
    figure, axes = plt.subplots(figsize=(1.5 + 0.9 * max(3, len(models)), 3), layout="constrained")
    colours = seaborn.color_palette("colorblind", len(modes))
    width = 0.8 / len(modes)
    for position, (mode, colour) in enumerate(zip(modes, colours, strict=True)):
        chosen = rows[rows["mode"] == mode].drop_duplicates("model").set_index("model").reindex(models)
        places = np.arange(len(models)) + (position - (len(modes) - 1) / 2) * width
        axes.bar(
            places, chosen["value"], width, yerr=chosen["spread"].fillna(0), color=colour, label=mode, error_kw={"lw": 0.8}
        )
    if len(baseline):
        axes.axhline(baseline.iloc[0], color="0.3", linestyle="--", linewidth=1, label="InstantSplat")
    axes.set_xticks(np.arange(len(models)), models, rotation=30, ha="right")
    axes.set_ylabel(f"{METRICS[metric].label} {METRICS[metric].unit}".strip())
    finite = rows["value"].dropna()
    if len(finite) and METRICS[metric].unit == "dB":
        axes.set_ylim(bottom=max(0.0, float(finite.min()) - 3))
    axes.legend(frameon=False, ncols=len(modes) + 1, loc="upper center", bbox_to_anchor=(0.5, 1.2))
    axes.set_title(title, pad=24)
    return figure


def scatter_2d_3d(table: pd.DataFrame, metric_2d: str, metric_3d: str, title: str) -> Any:
    """One dot a model, with the least-squares line. table: models x metrics."""
    import matplotlib.pyplot as plt
    import seaborn

    pairs = table[[metric_2d, metric_3d]].dropna()
    figure, axes = plt.subplots(figsize=(4, 3), layout="constrained")
    seaborn.regplot(x=pairs[metric_3d], y=pairs[metric_2d], ci=None, ax=axes, scatter_kws={"s": 18}, line_kws={"lw": 1})
    for name, row in pairs.iterrows():
        axes.annotate(str(name), (row[metric_3d], row[metric_2d]), textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xlabel(METRICS[metric_3d].label)
    axes.set_ylabel(METRICS[metric_2d].label)
    axes.set_title(title)
    return figure


def cost_against_quality(table: pd.DataFrame, quality: str, title: str) -> Any:
    """One dot a model: seconds against a metric. table: columns model, seconds, value."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3), layout="constrained")
    axes.scatter(table["seconds"], table["value"], s=18)
    for _, row in table.iterrows():
        axes.annotate(row["model"], (row["seconds"], row["value"]), textcoords="offset points", xytext=(4, 3), fontsize=7)
    axes.set_xlabel("seconds a cell")
    axes.set_ylabel(METRICS[quality].label)
    axes.set_title(title)
    return figure


def save(figure: Any, folder: Path, name: str) -> str:
    """Write the figure as SVG, PNG and PDF without dates; returns the SVG's text, for inlining."""
    import matplotlib.pyplot as plt

    for kind, undated in FORMATS.items():
        write = functools.partial(figure.savefig, dpi=150, metadata=undated)
        write_atomically(folder / f"{name}.{kind}", write)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
