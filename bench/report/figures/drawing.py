"""Drawing and saving figures: one style, three file types, bytes that depend on the drawing alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.machine.files import write_atomically
from bench.report.figures.fonts import FAMILY, add_font

STYLE: dict[str, Any] = {
    "svg.hashsalt": "vfm3d-bench",  # else every SVG has ids of its own
    "svg.fonttype": "path",  # looks the same whatever fonts the reader's machine has
    "pdf.fonttype": 42,
    "font.family": FAMILY,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titley": 1.0,  # else every drawing searches for a place anew
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "legend.frameon": False,
}
#: file type -> the metadata that would make two equal figures differ
FORMATS: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_PNG_DPI = 150
#: colours that colour-blind readers tell apart (Okabe and Ito's, as seaborn's palette "colorblind" orders them)
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
_DISTANCES = (5, 9, 14, 20, 28, 38)  # of a label from its point, in typographic points
_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 0), (-1, 1), (-1, -1))
_BEHIND = {1: 0.0, 0: 0.5, -1: 1.0}  #: the share of a label that lies left of (below) the place it is aligned at
_ALIGNED = {1: ("left", "bottom"), 0: ("center", "center"), -1: ("right", "top")}


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of the report, still to be drawn: `chart(*arguments)` gives the Matplotlib figure. Its files will lie in
    figures/<name>.svg, .png and .pdf."""

    name: str
    title: str
    caption: str
    marks: tuple[str, ...]
    chart: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Drawer:
    """Makes the figures of one section, with its marks."""

    anchor: str
    marks: tuple[str, ...]

    def __call__(self, name: str, title: str, caption: str, chart: Callable[..., Any], *arguments: Any) -> Figure:
        return Figure(f"{self.anchor}-{name}", title, caption, self.marks, chart, arguments)


def write_figure(figure: Figure, folder: Path) -> None:
    """Draw a figure in the report's style, with its marks at the foot, and write it as SVG, PNG and PDF."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, STYLE)):
        drawing = figure.chart(*figure.arguments)
        lay_out(drawing)
        if figure.marks:
            drawing.text(0.995, 0.005, " · ".join(figure.marks), ha="right", va="bottom", fontsize=6.5, color="#9a4b00")
        for kind in FORMATS:
            write_atomically(folder / f"{figure.name}.{kind}", functools.partial(_save, drawing, kind))


def _save(drawing: Any, kind: str, path: Path) -> None:
    """Draw once: `savefig` draws everything twice, for layouts that are settled by now."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    if kind == "png":
        drawing.dpi = _PNG_DPI
        FigureCanvasAgg(drawing).print_png(path, pil_kwargs={"compress_level": 4})
    elif kind == "svg":
        FigureCanvasSVG(drawing).print_svg(path, metadata=FORMATS[kind])
    else:
        FigureCanvasPdf(drawing).print_pdf(path, metadata=FORMATS[kind])


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches and its axes, (rows, columns); a strip at the foot is kept for the marks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    add_font()
    layout = ConstrainedLayoutEngine(rect=(0, 0.14 / height, 1, 1 - 0.14 / height))
    figure = Drawing(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def lay_out(figure: Any) -> None:
    """Give everything its place, once: what is drawn afterwards moves nothing.

    The solver's last digits differ from run to run, and SVG names clip paths after them: places are rounded.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
        for axes in figure.axes:
            axes.set_position([round(number, 6) for number in axes.get_position(original=True).bounds])


def label_points(
    axes: Any,
    xs: Sequence[float],
    ys: Sequence[float],
    texts: Sequence[str],
    size: float = 7,
    lines: Sequence[tuple[float, float, float, float]] = (),
) -> None:
    """Write `texts` beside the points so that no label covers a point, another label or one of the `lines` (x0, y0, x1, y1),
    or leaves the axes; a thin line leads to a label that has to stand apart. Everything else must stand in the figure by
    now: it is laid out here."""
    from matplotlib.text import Text

    figure = axes.figure
    lay_out(figure)  # only what is laid out has a place in pixels
    renderer = figure.canvas.get_renderer()
    pixels = axes.transData.transform(list(zip(xs, ys, strict=True)))
    reach = 3.5 * figure.dpi / 72
    taken = [(x - reach, y - reach, x + reach, y + reach) for x, y in pixels]
    frame = axes.get_window_extent(renderer)
    for x0, y0, x1, y1 in lines:
        ends = axes.transData.transform([(x0, y0), (x1, y1)])
        for share in range(41):
            x, y = ends[0] + (ends[1] - ends[0]) * share / 40
            taken.append((x - 1, y - 1, x + 1, y + 1))
    for (x, y), (column, row), text in zip(zip(xs, ys, strict=True), pixels, texts, strict=True):
        note = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", fontsize=size, arrowprops={"arrowstyle": "-", "lw": 0.4}
        )
        note.arrow_patch.set_color("0.6")
        extent = Text.get_window_extent(note, renderer)
        best: tuple[float, Any] = (float("inf"), None)
        for distance, (right, up) in itertools.product(_DISTANCES, _DIRECTIONS):
            reach = distance * figure.dpi / 72
            left = column + right * reach - _BEHIND[right] * extent.width
            below = row + up * reach - _BEHIND[up] * extent.height
            box = (left - 1, below - 1, left + extent.width + 1, below + extent.height + 1)
            outside = box[0] < frame.x0 or box[2] > frame.x1 or box[1] < frame.y0 or box[3] > frame.y1
            covered = sum(_overlap(box, other) for other in taken) + (1e6 if outside else 0)
            if covered < best[0]:
                best = (covered, (right, up, distance, box))
            if not covered:
                break
        right, up, distance, box = best[1]
        note.set(ha=_ALIGNED[right][0], va=_ALIGNED[up][1])
        note.xyann = (right * distance, up * distance)
        note.arrow_patch.set_visible(distance > _DISTANCES[1])
        taken.append(box)


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return width * height if width > 0 and height > 0 else 0.0
