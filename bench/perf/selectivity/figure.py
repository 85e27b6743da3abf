"""The figure of the study: what the unit of a feature does to its score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.figures.drawing import COLOURS, Figure, canvas, write_figure
from bench.report.say.cards import title_of

NAME = "scale"
_COLOURS = tuple(COLOURS[place] for place in (0, 1, 2, 3, 7, 4))


def scale_plot(curves: pd.DataFrame) -> Any:
    """A panel a scene, a line a network: solid where it is trained, dashed where it never was; a dot (open
    where the network never was trained) stands at the unit that the features have under the paper's protocol. One far below
    all lines is told in words, at the foot.

    Args:
        curves: As bench.perf.selectivity.tables.scale_curves gives them.
    """
    scenes = sorted(set(curves["scene"]))
    colours: Mapping[str, str] = dict(zip(sorted(set(curves["model"])), _COLOURS, strict=False))
    figure, axes = canvas(3.6 * len(scenes) + 1.4, 3.4, 1, len(scenes), sharey=True)
    lines, dots = curves[~curves["published"]], curves[curves["published"]]
    least = lines["psnr"].min() - 1
    for panel, scene in zip(axes[0], scenes, strict=True):
        for (model, weights), line in lines[lines["scene"] == scene].groupby(["model", "weights"], sort=True):
            style = {"color": colours[str(model)], "linestyle": "-" if weights == "pretrained" else "--"}
            name = _title(str(model), str(weights))
            panel.plot(line["deviation"], line["psnr"], linewidth=1.1, marker=".", markersize=3, label=name, **style)
        for dot in dots[dots["scene"] == scene].to_dict("records"):
            colour = colours[dot["model"]]
            if dot["psnr"] >= least:
                inside = colour if dot["weights"] == "pretrained" else "white"
                panel.plot(dot["deviation"], dot["psnr"], "o", markersize=6, color=colour, markerfacecolor=inside)
            else:
                text = f"{_title(dot['model'], dot['weights'])}: {dot['psnr']:.1f} dB at {dot['deviation']:.2g}"
                panel.text(0.03, 0.03, text, transform=panel.transAxes, fontsize=7, color=colour)
        panel.set_xscale("log")
        panel.set_title(str(scene))
        panel.set_xlabel("deviation per channel at the readout")
        panel.grid(linewidth=0.4, color="0.9")
    axes[0][0].set_ylim(bottom=least - 0.5)
    axes[0][0].set_ylabel("held-out PSNR, dB")
    handles, labels = max((panel.get_legend_handles_labels() for panel in axes[0]), key=lambda found: len(found[1]))
    figure.legend(handles, labels, loc="outside right center", fontsize=7)
    return figure


def _title(model: str, weights: str) -> str:
    return title_of(model if weights == "pretrained" else f"{model}@untrained", "probe")


def draw_scale(curves: pd.DataFrame, folder: Path) -> None:
    """Write scale.svg, scale.png and scale.pdf into the folder, with what must be said of the numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = ("quick protocol", "simulated point map")
    write_figure(Figure(NAME, "PSNR against the unit of the features", "", marks, scale_plot, (curves,)), folder)
