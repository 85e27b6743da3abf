"""The charts of the probe: functions from frames to Matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.core.cells import INSTANTSPLAT
from bench.metrics.catalogue import METRICS
from bench.report.figures.drawing import COLOURS, canvas, label_points
from bench.report.say.cards import dataset_title, in_order, parts_of, title_of
from bench.report.tables.model import arrow
from bench.report.tables.papers import GTA
from bench.stats.correlate import coefficient

MODE_COLOURS = {"G": "#0173b2", "T": "#de8f05", "A": "#029e73"}
DOMAIN_COLOURS = {"3D": "#0173b2", "2.5D": "#029e73", "2D": "#de8f05", "-": "#949494"}
_GREY, _RED = "0.35", "#c1272d"


def correlation_heat_maps(matrices: Mapping[str, pd.DataFrame], split: int) -> Any:
    """Correlation matrices of the metrics side by side, each with its title.

    Args:
        matrices: Title -> square frame indexed by metric name, of oriented metrics.
        split: So many metrics come first that are 2D ones.

    Returns:
        The Matplotlib figure.
    """
    import seaborn

    first = next(iter(matrices.values()))
    labels = [METRICS[str(name)].label for name in first]
    size = 1.3 + 0.5 * len(labels)
    figure, grid = canvas(len(matrices) * size + 0.6, size, 1, len(matrices))
    for place, (axes, (title, matrix)) in enumerate(zip(grid[0], matrices.items(), strict=True)):
        last = place == len(matrices) - 1
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
            cbar=last,
            cbar_kws={"shrink": 0.75},
            yticklabels=labels if place == 0 else False,
            ax=axes,
        )
        axes.set_title(title)
        axes.axhline(split, color="black", linewidth=1.5)
        axes.axvline(split, color="black", linewidth=1.5)
        axes.set(xlabel="", ylabel="")
        axes.tick_params(axis="y", rotation=0, length=0)
        axes.tick_params(axis="x", rotation=35, length=0)
    return figure


def scatter_2d_3d(table: pd.DataFrame, first: Sequence[str], second: Sequence[str], influential: Mapping[Any, str]) -> Any:
    """Every 2D metric against every 3D metric: a dot a model, the least-squares line over all models (solid), and the one
    without the model that moves Pearson's r most (dashed; that model is red).

    table: models x metrics. influential: (2D, 3D) -> model.
    """
    figure, grid = canvas(2.35 * len(second) + 0.4, 1.95 * len(first) + 0.3, len(first), len(second))
    for row, y in zip(grid, first, strict=True):
        for axes, x in zip(row, second, strict=True):
            pairs = table[[x, y]].dropna()
            odd = influential.get((y, x), "")
            rest = pairs.drop(odd, errors="ignore")
            axes.scatter(rest[x], rest[y], s=14, color=MODE_COLOURS["G"], zorder=3)
            axes.margins(0.12)
            _fit(axes, pairs, x, y, color=_GREY, linestyle="-")
            sign = 1.0 if METRICS[x].higher_is_better == METRICS[y].higher_is_better else -1.0  # of oriented metrics
            text = f"r = {sign * coefficient(pairs[x], pairs[y]):.2f}"
            if odd in pairs.index:
                axes.scatter(pairs.loc[[odd], x], pairs.loc[[odd], y], s=18, color=_RED, marker="D", zorder=4)
                _fit(axes, rest, x, y, color=_RED, linestyle="--")
                left = sign * coefficient(rest[x], rest[y])
                text += f"\nwithout {title_of(odd)}: {left:.2f}" if np.isfinite(left) else ""
            axes.set_title(text, fontsize=7, loc="left")
            axes.tick_params(labelsize=7)
            if y == first[-1]:
                axes.set_xlabel(arrow(METRICS[x]), fontsize=8)
            if x == second[0]:
                axes.set_ylabel(arrow(METRICS[y]), fontsize=8)
    return figure


def _fit(axes: Any, pairs: pd.DataFrame, x: str, y: str, **line: Any) -> None:
    if len(pairs) < 2 or np.ptp(pairs[x]) == 0:
        return
    slope, offset = np.polyfit(pairs[x], pairs[y], 1)
    ends = np.array([pairs[x].min(), pairs[x].max()])
    axes.plot(ends, slope * ends + offset, linewidth=1, zorder=2, **line)


def mode_bars(means: pd.DataFrame, datasets: Sequence[str], metric: str) -> Any:
    """A panel a data set, a group of bars a model, a bar a mode; whiskers: standard deviation over scenes where there are
    several. dB axes do not start at zero and say so."""
    rows = means[(means["metric"] == metric) & means["value"].notna()]
    modes = [mode for mode in GTA if mode in set(rows["mode"])]
    models = in_order(rows[rows["mode"].isin(modes)]["model"], "probe")
    columns = min(2, len(datasets))
    lines = -(-len(datasets) // columns)
    width = max(4.8, 0.46 * len(models) + 1)
    names = [title_of(model) for model in models]
    below = 0.04 * max(map(len, names), default=0)  # inches that the slanted names take
    figure, grid = canvas(columns * width, (2.0 + below) * lines + 0.4, lines, columns)
    cut = METRICS[metric].unit == "dB"
    for axes, dataset in zip(grid.flat, datasets, strict=False):
        part = rows[rows["dataset"] == dataset]
        for place, mode in enumerate(modes):
            own = part[part["mode"] == mode].drop_duplicates("model").set_index("model").reindex(models)
            spots = np.arange(len(models)) + (place - (len(modes) - 1) / 2) * 0.8 / len(modes)
            whiskers = own["spread"].fillna(0) if own["spread"].notna().any() else None
            axes.bar(
                spots,
                own["value"],
                0.8 / len(modes),
                yerr=whiskers,
                color=MODE_COLOURS[mode],
                label=GTA[mode],
                error_kw={"lw": 0.7, "ecolor": "0.3"},
            )
        baseline = part[part["mode"] == INSTANTSPLAT]["value"]
        if len(baseline):
            axes.axhline(baseline.iloc[0], color="0.2", linestyle="--", linewidth=1, label="InstantSplat")
        shown = part[part["mode"].isin([*modes, INSTANTSPLAT])]["value"]
        floor = max(0.0, np.floor(shown.min() - 2)) if cut and len(shown) else 0.0
        axes.set_ylim(bottom=floor)
        axes.set_xticks(np.arange(len(models)), names, rotation=40, ha="right", fontsize=7.5)
        axes.set_title(dataset_title(dataset))
        axes.set_ylabel(arrow(METRICS[metric]) + (f" in dB, from {floor:.0f}" if cut else ""), fontsize=8)
    for axes in list(grid.flat)[len(datasets) :]:
        axes.set_visible(False)
    handles, labels = _legend(grid)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _legend(grid: Any) -> tuple[list[Any], list[str]]:
    """Every label of the panels once."""
    found: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def supervision_dots(values: pd.DataFrame, metrics: Sequence[str]) -> Any:
    """A row a kind of supervision, a dot a model, a tick the mean of the kind; a panel a metric.

    values: columns model, supervision, domain, and one a metric.
    """
    kinds = values.groupby(["domain", "supervision"], sort=False)[metrics[0]].mean().reset_index()
    rank = {"3D": 0, "2.5D": 1, "2D": 2}
    kinds = kinds.sort_values(["domain", "supervision"], key=lambda c: c.map(rank).fillna(3) if c.name == "domain" else c)
    names = [f"{row['supervision']} ({row['domain']})" for row in kinds.to_dict("records")]
    figure, grid = canvas(3.3 * len(metrics) + 1.6, 0.46 * len(names) + 1.1, 1, len(metrics), sharey=True)
    labels = []
    for axes, metric in zip(grid[0], metrics, strict=True):
        xs, ys, texts, ticks = [], [], [], []
        for place, kind in enumerate(kinds.to_dict("records")):
            same = (values["domain"] == kind["domain"]) & (values["supervision"] == kind["supervision"])
            own = values[same & values[metric].notna()]
            colour = DOMAIN_COLOURS.get(kind["domain"], DOMAIN_COLOURS["-"])
            axes.scatter(own[metric], [place] * len(own), s=20, color=colour, zorder=3)
            mean = own[metric].mean()
            if len(own) > 1:
                axes.vlines(mean, place - 0.3, place + 0.3, color=colour, linewidth=1.2)
                ticks.append((mean, place - 0.3, mean, place + 0.3))
            xs += list(own[metric])
            ys += [place] * len(own)
            texts += [title_of(model) for model in own["model"]]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.margins(x=0.18)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="y", linewidth=0.4, color="0.9")
        axes.set_xlabel(arrow(METRICS[metric]))
        labels.append((axes, xs, ys, texts, 6.5, ticks))
    for placed in labels:
        label_points(*placed)
    return figure


def variant_curves(values: pd.DataFrame, metrics: Sequence[str]) -> Any:
    """From the frozen feature over the upsampled one to the fine-tuned one: a line a model, a column a mode, a row a metric.

    values: columns model, variant (frozen, upsampled, fine-tuned), mode, metric, value.
    """
    modes = [mode for mode in GTA if mode in set(values["mode"])]
    steps = [step for step in ("frozen", "upsampled", "fine-tuned") if step in set(values["variant"])]
    models = in_order(values["model"], "probe")
    figure, grid = canvas(2.6 * len(modes) + 1.5, 1.9 * len(metrics) + 0.4, len(metrics), len(modes), sharex=True)
    styles = [(colour, line) for line in ("-", "--", ":") for colour in COLOURS[:8]]
    held = values.drop_duplicates(["metric", "mode", "model", "variant"])
    numbers = {(r["metric"], r["mode"], r["model"], r["variant"]): r["value"] for r in held.to_dict("records")}
    for row, metric in zip(grid, metrics, strict=True):
        for axes, mode in zip(row, modes, strict=True):
            for model, (colour, line) in zip(models, styles, strict=False):
                curve = [numbers.get((metric, mode, model, step), np.nan) for step in steps]
                places = [place for place, number in enumerate(curve) if np.isfinite(number)]
                axes.plot(
                    places,
                    [curve[place] for place in places],
                    marker="o",
                    markersize=3.5,
                    linewidth=1.1,
                    color=colour,
                    linestyle=line,
                    label=title_of(model),
                )
            axes.set_xticks(range(len(steps)), steps, fontsize=7.5)
            axes.margins(x=0.12)
            axes.tick_params(axis="y", labelsize=7)
            if metric == metrics[0]:
                axes.set_title(GTA[mode])
            if mode == modes[0]:
                axes.set_ylabel(arrow(METRICS[metric]), fontsize=8)
    handles, labels = _legend(grid)
    figure.legend(handles, labels, loc="outside right upper", fontsize=7.5)
    return figure


def concatenation_curves(values: pd.DataFrame, metrics: Sequence[str]) -> Any:
    """How many features are joined against the metric: a dot a feature, a line from what is joined to what it is part of;
    dashed: the best single feature. values: columns model, and one a metric."""
    figure, grid = canvas(3.3 * len(metrics) + 0.3, 3.0, 1, len(metrics))
    parts = {model: frozenset(parts_of(model)) for model in values["model"]}
    labels = []
    for axes, metric in zip(grid[0], metrics, strict=True):
        held = values.dropna(subset=[metric]).drop_duplicates("model").set_index("model")[metric]
        single = held[[model for model in held.index if len(parts[model]) == 1]]
        joined = [model for model in held.index if len(parts[model]) > 1]
        for model in joined:
            inside = [other for other in held.index if parts[other] < parts[model]]
            nearest = [a for a in inside if not any(parts[a] < parts[b] for b in inside)]
            for other in nearest:
                axes.plot([len(parts[other]), len(parts[model])], held[[other, model]], color="0.8", linewidth=0.7, zorder=1)
        axes.scatter([1] * len(single), single, s=16, color=DOMAIN_COLOURS["-"], zorder=3)
        axes.scatter([len(parts[model]) for model in joined], held[joined], s=22, color=MODE_COLOURS["G"], zorder=4)
        best = str(single.idxmax() if METRICS[metric].higher_is_better else single.idxmin())
        axes.axhline(single[best], color="0.4", linestyle="--", linewidth=0.8, zorder=0)
        counts = sorted({len(parts[model]) for model in held.index})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.margins(x=0.25, y=0.12)
        axes.set(xlabel="features joined", ylabel=arrow(METRICS[metric]))
        named = [*(single.index if len(single) <= 4 else [best]), *joined]
        reach = (counts[0] - counts[-1], single[best], 2 * counts[-1], single[best])
        titles = [title_of(model) for model in named]
        labels.append((axes, [len(parts[model]) for model in named], list(held[named]), titles, 7, [reach]))
    for placed in labels:
        label_points(*placed)
    return figure
