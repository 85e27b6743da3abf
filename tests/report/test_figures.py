"""Figures: labels that keep apart, charts that say what the numbers say, files that repeat themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bench.report.figures import models as charts_models
from bench.report.figures import probe as charts
from bench.report.figures.drawing import FORMATS, STYLE, Figure, canvas, label_points, write_figure
from bench.report.say.means import table_means
from bench.results.reference.published import published_rows
from bench.stats.rank import critical_difference


@pytest.fixture(autouse=True)
def _style() -> Any:
    with matplotlib.rc_context(STYLE):
        yield


def boxes(axes: Any) -> list[Any]:
    axes.figure.draw_without_rendering()
    renderer = axes.figure.canvas.get_renderer()
    return [Text.get_window_extent(text, renderer) for text in axes.texts]


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_each_other_nor_a_point_and_stay_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, ((axes,),) = canvas(5, 4)
    xs, ys = rng.random(10), rng.random(10)
    xs[1], ys[1] = xs[0] + 0.01, ys[0] - 0.01  # two that nearly touch
    axes.scatter(xs, ys)
    axes.margins(0.2)
    label_points(axes, list(xs), list(ys), [f"model {index}" for index in range(10)])
    found = boxes(axes)
    frame = axes.get_window_extent()
    for place, box in enumerate(found):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in found[place + 1 :])
        assert not any(box.contains(x, y) for x, y in axes.transData.transform(np.column_stack([xs, ys])))


def test_a_label_keeps_off_a_line() -> None:
    _, ((axes,),) = canvas(4, 3)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(axes, [0.5], [0.5], ["here"], lines=[(0, 0.5, 1, 0.5)])
    (box,) = boxes(axes)
    line = axes.transData.transform((0.5, 0.5))[1]
    assert line < box.y0 or line > box.y1


def drawn(tmp_path: Path, name: str) -> dict[str, bytes]:
    table = table_means(published_rows("feat2gs_gta"))
    figure = Figure(name, "Modes", "", ("published",), charts.mode_bars, (table, ["llff"], "psnr"))
    write_figure(figure, tmp_path)
    return {kind: (tmp_path / f"{name}.{kind}").read_bytes() for kind in FORMATS}


def test_equal_figures_have_equal_files_of_their_kinds(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a", "x"), drawn(tmp_path / "b", "x")
    assert first == second
    assert first["svg"].startswith(b"<?xml")
    assert first["png"].startswith(b"\x89PNG")
    assert first["pdf"].startswith(b"%PDF")
    assert b"published" in first["svg"]
    assert not any(word in first["svg"] for word in (b"<dc:date>", b"/home", b"/tmp"))


def test_bars_hold_the_published_numbers_and_say_where_their_axis_starts() -> None:
    table = table_means(published_rows("feat2gs_gta"))
    figure = charts.mode_bars(table, ["llff", "tanks"], "psnr")
    left = figure.axes[0]
    assert [patch.get_height() for patch in left.patches[:3]] == [19.88, 19.89, 19.81]  # geometry: DUSt3R, MASt3R, MiDaS
    assert left.get_ylabel() == "PSNR↑ in dB, from 13"
    assert left.get_ylim()[0] == 13
    assert [axes.get_title() for axes in figure.axes] == ["LLFF", "Tanks and Temples"]


def test_the_scatter_marks_the_feature_that_carries_the_correlation() -> None:
    rows = table_means(published_rows("feat2gs_dtu"))
    table = rows.pivot_table(index="model", columns="metric", values="value", sort=False)
    figure = charts.scatter_2d_3d(table, ["psnr"], ["completeness"], {("psnr", "completeness"): "iuvrgb"})
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "r = 0.98\nwithout IUVRGB: 0.57"
    assert len(axes.lines) == 2


def test_joined_features_are_linked_to_their_nearest_parts_only() -> None:
    values = pd.DataFrame(
        {"model": ["a", "b", "c", "a+b", "a+b+c"], "psnr": [1.0, 2.0, 3.0, 2.5, 3.5]},
    )
    figure = charts.concatenation_curves(values, ["psnr"])
    links = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert sorted(tuple(line.get_xdata()) for line in links) == [(1, 2), (1, 2), (1, 3), (2, 3)]


def test_models_within_the_critical_difference_are_joined() -> None:
    assert charts_models._cliques([1.0, 1.5, 3.0, 3.2, 5.0], 1.0) == [(1.0, 1.5), (3.0, 3.2)]
    assert charts_models._cliques([1.0, 1.6, 2.2], 1.0) == [(1.0, 1.6), (1.6, 2.2)]
    assert charts_models._cliques([1.0, 3.0], 1.0) == []


def test_the_critical_difference_plot_names_every_model_with_its_mean_rank() -> None:
    units = pd.DataFrame({"one": [3.0, 3.0, 3.0, 3.0], "two": [2.0, 2.0, 1.0, 2.0], "three": [1.0, 1.0, 2.0, 1.0]})
    figure = charts_models.critical_difference_plot(units, True, list(units))
    texts = [text.get_text().strip() for text in figure.axes[0].texts]
    assert {"one  1.00", "two  2.25", "2.75  three"} <= set(texts)
    assert f"critical difference {critical_difference(3, 4):.2f}, 4 units" in texts


def test_the_error_curves_reach_the_share_of_photos_below_each_error() -> None:
    errors = pd.DataFrame({"label": ["m"] * 4, "value": [1.0, 2.0, 3.0, 10.0]})
    figure = charts_models.error_distribution(errors)
    (line,) = figure.axes[0].lines
    steps = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert steps[2.0] == 0.5
    assert figure.legends[0].get_texts()[0].get_text() == "m (median 2.5°)"


def test_supervision_and_variants_draw_one_panel_a_metric_and_mode() -> None:
    values = pd.DataFrame(
        {
            "model": ["dust3r", "dino"],
            "supervision": ["Point Regression", "Self Distillation"],
            "domain": ["3D", "2D"],
            "psnr": [2.0, 1.0],
            "ssim": [0.2, 0.1],
        }
    )
    figure = charts.supervision_dots(values, ["psnr", "ssim"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["PSNR↑", "SSIM↑"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["Point Regression (3D)", "Self Distillation (2D)"]
    rows = [("dino", variant, mode, "psnr", 1.0) for variant in ("frozen", "fine-tuned") for mode in ("G", "T")]
    curves = charts.variant_curves(pd.DataFrame(rows, columns=["model", "variant", "mode", "metric", "value"]), ["psnr"])
    assert [axes.get_title() for axes in curves.axes] == ["Geometry", "Texture"]


def test_one_value_far_outside_does_not_press_the_others_together() -> None:
    values = pd.Series([26.0, 26.5, 27.0, 27.5, 28.0, 12.9])
    assert charts_models.without_far_ones(values) == pytest.approx((26 - 2 / 6, 28))
    assert charts_models.without_far_ones(values.iloc[:5]) == (26.0, 28.0)
    assert charts_models.without_far_ones(pd.Series([1.0, 1.0, 1.0, 1.0, 5.0])) == (1.0, 5.0)
    table = pd.DataFrame({"label": list("abcdef"), "seconds": np.arange(1.0, 7), "peak_memory_mb": 100.0, "value": values})
    figure = charts_models.cost_against_quality(table.assign(low=np.nan, high=np.nan, ranked=True), "psnr")
    axes = figure.axes[0]
    assert "f (12.90)" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] > 25
    (far,) = [dots for dots in axes.collections if len(offsets := dots.get_offsets()) == 1 and offsets[0][0] == 6]
    assert far.get_offsets()[0][1] == pytest.approx(26 - 2 / 6)
