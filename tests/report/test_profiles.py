"""The figures of profiles: drawn where they say something, and what they draw."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from bench.report.figures import profiles as charts
from bench.report.figures.drawing import Drawer
from bench.report.figures.models import pareto_front
from bench.report.parts.profiles import probe_figures, rank_strip_figures

DRAW = Drawer("here", ())
MODELS = ("dust3r", "dino", "sam", "clip")
DATASETS = ("llff", "dl3dv", "casual")


def probe_means(models: tuple[str, ...] = MODELS, datasets: tuple[str, ...] = DATASETS) -> pd.DataFrame:
    """PSNR of models x (data sets and their average) x modes, with a control and an oracle."""
    roles = {"plane": "control", "constant": "floor", "oracle": "oracle"}
    rows = []
    for place, (model, dataset, mode) in enumerate(itertools.product((*models, *roles), (*datasets, "all"), "GT")):
        value = {"plane": 15.0, "constant": 5.0, "oracle": 40.0}.get(model, 20.0 + place % 7)
        rows.append((model, dataset, mode, value, roles.get(model, "-")))
    frame = pd.DataFrame(rows, columns=["model", "dataset", "mode", "value", "role"])
    return frame.assign(metric="psnr", weights="pretrained", n_ok=1, n_total=1, below="")


def test_a_radar_needs_three_data_sets_and_three_models_that_learnt_something() -> None:
    names = [figure.name for figure in probe_figures(probe_means(), DRAW)]
    assert names == ["here-texture-geometry", "here-radar"]
    assert "here-radar" not in [each.name for each in probe_figures(probe_means(datasets=DATASETS[:2]), DRAW)]
    assert [each.name for each in probe_figures(probe_means(models=MODELS[:2]), DRAW)] == []
    (_, radar) = probe_figures(probe_means(models=(*MODELS, "iuvrgb", "dino+sam")), DRAW)
    assert list(radar.arguments[0].index) == list(MODELS)
    assert list(probe_figures(probe_means()[:0], DRAW)) == []


def test_a_model_that_lacks_a_scene_has_no_place() -> None:
    means = probe_means()
    lacking = means["model"].eq("dino") & means["dataset"].isin(["casual", "all"])
    texture, radar = probe_figures(means.assign(n_total=np.where(lacking, 2, 1)), DRAW)
    assert "DINO" not in list(texture.arguments[0]["label"])
    assert "dino" not in radar.arguments[0].index


def test_texture_against_geometry_is_bounded_by_controls_and_oracles() -> None:
    figure = next(iter(probe_figures(probe_means(), DRAW)))
    models, bounds, _ = figure.arguments
    assert set(models["label"]) == {"DUSt3R", "DINO", "SAM", "CLIP"}
    assert bounds[["floor", "G", "T"]].to_numpy().tolist() == [[True, 15.0, 15.0], [False, 40.0, 40.0]]
    (axes,) = figure.chart(*figure.arguments).axes
    assert sorted(line.get_xdata()[0] for line in axes.lines if line.get_xdata()[0] > 1) == [15.0, 40.0]


@pytest.mark.parametrize(("metric", "rim"), [("psnr", "best"), ("lpips", "worst")])
def test_the_rim_of_a_radar_is_the_best(metric: str, rim: str) -> None:
    table = pd.DataFrame([[1.0, 1, 1], [2, 2, 2], [3, 3, 3]], index=["dino", "sam", "clip"], columns=list(DATASETS))
    panels = charts.dataset_radar(table, metric).axes
    shares = {axes.get_title(): axes.lines[1].get_ydata()[0] for axes in panels}
    assert shares == ({"DINO": 0, "SAM": 0.5, "CLIP": 1} if rim == "best" else {"DINO": 1, "SAM": 0.5, "CLIP": 0})


def test_ranks_stand_under_the_alignments_that_rank_a_model() -> None:
    alignments = ("depth_scale_invariant", "depth_affine_invariant", "disparity_affine_invariant")
    ranks = {
        "leres": (3.0, 2.5, 3.0),
        "moge": (1.0, 1.0, 1.0),
        "dust3r": (2.0, np.nan, 2.0),
        "unidepth": (2.5, np.nan, np.nan),
    }
    rows = [(model, name, rank) for model, values in ranks.items() for name, rank in zip(alignments, values, strict=True)]
    means = pd.DataFrame(rows, columns=["model", "alignment", "value"]).assign(metric="rank", role="-", weights="pretrained")
    (figure,) = rank_strip_figures(means, DRAW)
    _, names, labels = figure.arguments
    assert labels == ["LeReS", "DUSt3R", "MoGe"]
    assert len(names) == 3
    (axes,) = figure.chart(*figure.arguments).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 1, 2], [0, 2], [0, 1, 2]]
    assert axes.yaxis_inverted()
    assert list(rank_strip_figures(means[means["alignment"] == alignments[0]], DRAW)) == []
    assert list(rank_strip_figures(means.assign(weights="random"), DRAW)) == []


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_holds_what_nothing_cheaper_beats(higher: bool) -> None:
    """Against the definition, on random costs and qualities with ties."""
    random = np.random.default_rng(0)
    for _ in range(50):
        table = pd.DataFrame(random.integers(0, 6, (8, 2)), columns=["cost", "quality"], dtype=float)
        sign = 1 if higher else -1
        points = [tuple(row) for row in zip(table["cost"], sign * table["quality"], strict=True)]
        undominated = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
        front = pareto_front(table["cost"], table["quality"], higher)
        assert [points[place] for place in front] == sorted(undominated)
