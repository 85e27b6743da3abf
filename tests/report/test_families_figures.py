"""The figures of families: which names belong to a curve, and what is drawn of them."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from bench.report.figures.drawing import Drawer
from bench.report.parts.families import family_figures

DRAW = Drawer("here", ())


def means(models: dict[str, float], mode: str = "G", weights: str = "pretrained") -> pd.DataFrame:
    """Averages over data sets of a complete run, PSNR."""
    frame = pd.DataFrame({"model": list(models), "value": list(models.values())})
    return frame.assign(mode=mode, weights=weights, role="model", metric="psnr", dataset="all", n_ok=1, n_total=1, below="")


def test_a_family_is_a_line_over_its_sizes() -> None:
    table = means({"dinov2:S": 20.0, "dinov2": 21.0, "dinov2:L": 22.5, "mae": 19.0, "dino@jbu": 18.0, "dino+mae": 25.0})
    (figure,) = family_figures(table, DRAW)
    assert figure.name == "here-sizes"
    drawing = figure.chart(*figure.arguments)
    (axes,) = drawing.axes
    line, _ = axes.lines
    assert list(line.get_xdata()) == [22.1, 86.6, 304.4], "millions, as the family's table has them"
    assert list(line.get_ydata()) == [20.0, 21.0, 22.5]
    assert {text.get_text() for text in axes.texts} == {"S", "B", "L"}
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["DINOv2"]


def test_a_network_is_a_line_over_its_layers() -> None:
    table = means({"dinov2@layer=3": 18.0, "dinov2@layer=9": 22.0, "dinov2": 21.0, "mae@layer=12": 19.0, "mae": 20.0})
    (figure,) = family_figures(table, DRAW)
    assert figure.name == "here-layers"
    (axes,) = figure.chart(*figure.arguments).axes
    line, _ = axes.lines
    assert list(line.get_xdata()) == [0.25, 0.75, 1.0]
    assert list(line.get_ydata()) == [18.0, 22.0, 21.0]
    (ring,) = axes.collections
    assert ring.get_offsets().tolist() == [[1.0, 21.0]]


def test_layers_of_two_sizes_are_two_lines_and_modes_are_panels() -> None:
    names = [f"dinov2{size}@layer={layer}" for size, layer in itertools.product(("", ":S"), (1, 2, 3))]
    scores = {name: float(place) for place, name in enumerate(names)}
    both = pd.concat([means(scores), means(scores, "T"), means(scores, "Gft")])
    (figure,) = family_figures(both, DRAW)
    panels = figure.chart(*figure.arguments).axes
    assert [axes.get_title() for axes in panels] == ["Geometry", "Texture"]
    named = [{line.get_label() for line in axes.lines if line.get_label()[0] != "_"} for axes in panels]
    assert named == [{"DINOv2", "DINOv2 S"}] * 2


def test_random_weights_are_dashed_and_named() -> None:
    sizes = {"dinov2:S": 20.0, "dinov2:L": 22.5}
    random = means({f"{name}@untrained": value - 5 for name, value in sizes.items()}, weights="random")
    (figure,) = family_figures(pd.concat([means(sizes), random]), DRAW)
    assert "Dashed" in figure.caption
    (axes,) = figure.chart(*figure.arguments).axes
    trained, _, untrained, _ = axes.lines
    assert (trained.get_linestyle(), untrained.get_linestyle()) == ("-", "--")
    assert untrained.get_label() == "DINOv2 (random weights)"
    assert trained.get_color() == untrained.get_color()
    assert len(axes.texts) == 2, "a size is named once"
    assert "Dashed" not in next(family_figures(means(sizes), DRAW)).caption


def test_rows_under_a_former_name_stand_in_their_family() -> None:
    pytest.importorskip("timm")
    (figure,) = family_figures(means({"efficientnet-lite0": 20.0, "efficientnet-lite:2": 21.0}), DRAW)
    (axes,) = figure.chart(*figure.arguments).axes
    assert list(axes.lines[0].get_ydata()) == [20.0, 21.0]
    assert {text.get_text() for text in axes.texts} == {"0", "2"}


def test_of_sizes_with_equal_parameters_the_plain_one_is_on_the_line() -> None:
    (figure,) = family_figures(means({"aliked": 3.0, "aliked:n16rot": 1.0, "aliked:t16": 2.0}), DRAW)
    (axes,) = figure.chart(*figure.arguments).axes
    line, aside = axes.lines
    assert (list(line.get_ydata()), list(aside.get_ydata())) == ([2.0, 3.0], [1.0])
    assert {text.get_text() for text in axes.texts} == {"t16", "n16", "n16rot"}


def test_what_makes_no_curve_is_not_drawn() -> None:
    complete = means({"dinov2:S": 20.0, "dinov2": 21.0})
    for lacking in (
        complete[:0],
        complete[:1],
        complete.assign(n_ok=0),
        complete.assign(below="room"),
        complete.assign(dataset="procedural"),
        complete.assign(metric="ssim"),
        means({"sd@block=0": 1.0, "sd@block=2": 2.0, "sd": 3.0}),
        means({"aliked": 1.0, "aliked:n16rot": 2.0}),
    ):
        assert list(family_figures(lacking, DRAW)) == []
