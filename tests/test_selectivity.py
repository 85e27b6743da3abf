"""The study's bookkeeping: a cell is run once, its row says what was measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.core.protocols import PROBE_PROTOCOLS
from bench.core.registry import datasets
from bench.perf.selectivity.cells import COLUMNS, PAPER, Probed, Source, Study, grid
from bench.perf.selectivity.figure import draw_scale
from bench.perf.selectivity.parts import PARTS, STUDIED, sources
from bench.perf.selectivity.tables import by_scene, differences, order_against_scale, scale_curves, variance_ratio
from bench.probe.probe import run_probe
from bench.probe.views import probe_scene

TINY = replace(PROBE_PROTOCOLS["quick-v2"], grid_long_side=24, iterations=4, warm_start=2, test_pose_steps=1)


def test_a_cell_is_measured_once_and_the_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def watched(*arguments: object) -> object:
        runs.append(arguments)
        return run_probe(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("bench.perf.selectivity.cells.run_probe", watched)
    cells = grid(["tiny"], ["room"], [("rgb", "pretrained"), ("iuvrgb", "pretrained")], ["G"], [0])
    for _ in range(2):
        study = Study({"tiny": TINY}, {"room": Source()}, tmp_path / "cells.csv", tmp_path / "features")
        assert sorted(study.run(cells)) == sorted(cells)
    assert len(runs) == 2
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {row["model"] for row in rows} == {"rgb", "iuvrgb"}
    found = run_probe(*runs[0])  # type: ignore[arg-type]
    (psnr,) = (row.value for row in found.measurements if row.metric == "train_psnr")
    assert float(rows[0]["train_psnr"]) == pytest.approx(psnr, rel=1e-4)


def test_differences_by_hand() -> None:
    rows = [
        ("p", "s", "net", weights, "G", seed, psnr)
        for weights, seed, psnr in [
            ("pretrained", 0, 26.0),
            ("pretrained", 1, 28.0),
            ("random", 0, 25.0),
            ("random", 1, 25.0),
        ]
    ]
    rows += [("p", "s", "iuvrgb", "pretrained", "G", 0, 15.0), ("p", "other", "net", "pretrained", "G", 0, 99.0)]
    cells = pd.DataFrame(rows, columns=["protocol", "scene", "model", "weights", "mode", "seed", "psnr"])
    (found,) = differences(cells).to_dict("records")  # a control has no twin, and a cell without one does not count
    assert (found["trained"], found["untrained"], found["difference"], found["cells"]) == (27.0, 25.0, 2.0, 2)
    # variances over the seeds are 2 and 0: pooled 1
    assert found["seed_deviation"] == pytest.approx(1.0)
    assert found["selectivity"] == pytest.approx(2.0)


def cells_of(*given: tuple[str, str, str, str, int, float, float]) -> pd.DataFrame:
    columns = ["protocol", "scene", "model", "weights", "seed", "deviation", "psnr"]
    return pd.DataFrame(list(given), columns=columns).assign(mode="G")


def scaled(model: str, weights: str, own: float, *values: float) -> list[tuple[str, str, str, str, int, float, float]]:
    """PSNR at deviations of 0.1, 1 and 10, and last in the published unit `own`."""
    protocols = {"quick-v2*0.1": 0.1, "quick-v2": 1.0, "quick-v2*10": 10.0, "quick-v2*published": own}
    return [
        (protocol, "s", model, weights, 0, at, value)
        for (protocol, at), value in zip(protocols.items(), values, strict=True)
    ]


def test_the_order_against_the_scale_by_hand(tmp_path: Path) -> None:
    cells = cells_of(
        *scaled("aliked", "pretrained", 0.1, 24.0, 28.0, 25.0, 24.0),
        *scaled("aliked", "random", 0.02, 23.0, 27.0, 26.0, 8.0),
        *scaled("disk", "pretrained", 1.0, 22.0, 26.0, 27.0, 26.0),
        ("quick-v2", "s", "iuvrgb", "none", 0, 1.0, 10.0),  # at one scale alone: no curve
        ("quick-v2", "s", "aliked", "pretrained", 1, 1.0, 99.0),  # the curves are of seed 0
        ("quick-v1", "s", "aliked", "pretrained", 0, 0.1, 99.0),
    )
    curves = scale_curves(cells)
    assert len(curves) == 12
    order = order_against_scale(curves).set_index("deviation")
    assert dict(order["turned"]) == {"0.1": 0, "1": 0, "10": 3, "published": 2}
    assert set(order["pairs"]) == {3}
    assert dict(order["best"]) == {"0.1": "aliked", "1": "aliked", "10": "disk", "published": "disk"}
    draw_scale(curves, tmp_path)
    assert (tmp_path / "scale.svg").stat().st_size > 1000


def test_the_variance_between_models_over_the_one_between_seeds_by_hand() -> None:
    rows = [("a", 20.0, 22.0), ("b", 24.0, 24.0), ("c", 26.0, 30.0)]  # means 21, 24, 28; variances 2, 0, 8
    cells = cells_of(
        *(("p", "s", model, "pretrained", seed, 1.0, value) for model, *values in rows for seed, value in enumerate(values)),
        ("p", "s", "once", "pretrained", 0, 1.0, 99.0),
        ("p", "s", "a", "random", 0, 1.0, 99.0),
    )
    (found,) = variance_ratio(cells).to_dict("records")
    assert (found["networks"], found["seeds"]) == (3, 2)
    assert found["between"] == pytest.approx(37 / 3)
    assert found["within"] == pytest.approx(10 / 3)
    assert found["ratio"] == pytest.approx(3.7)


def test_the_table_by_scene_counts_the_seeds_that_it_is_of() -> None:
    cells = cells_of(
        ("quick-v1", "s", "a", "pretrained", 0, 1.0, 20.0),
        ("quick-v1", "s", "a", "pretrained", 1, 1.0, 22.0),
        ("quick-v1", "t", "a", "pretrained", 0, 1.0, 30.0),
        ("quick-v1", "s", "b", "pretrained", 0, 1.0, float("nan")),
    )
    found = by_scene(cells).set_index("model")
    assert (found.loc["a", "s"], found.loc["a", "t"], found.loc["a", "seeds"]) == (21.0, 30.0, 1)
    assert found.loc["b", ["s", "t"]].isna().all()


def test_features_in_their_published_unit_are_those_of_the_papers_protocol(tmp_path: Path) -> None:
    protocols = {"tiny*published": replace(TINY, feature_deviation=None), "tiny*3": replace(TINY, feature_deviation=3.0)}
    paper = replace(PROBE_PROTOCOLS["paper-v1"], feature_long_side=64, grid_long_side=64)
    study = Study({**protocols, PAPER: paper}, {"room": Source()}, tmp_path / "cells.csv", tmp_path / "features")
    list(study.run(grid(list(protocols), ["room"], [("rgb", "pretrained")], ["G"], [0])))
    found = pd.read_csv(study.out).set_index("protocol")["deviation"]
    scene = probe_scene(datasets["procedural"]().load_scene(None, "room"), paper)
    colours = np.stack([view.image for view in scene.grid.train]).reshape(-1, 3) / 127.5 - 1
    assert found["tiny*published"] == pytest.approx(np.sqrt(((colours - colours.mean(axis=0)) ** 2).mean()), rel=1e-4)
    assert found["tiny*3"] == 3


def test_every_part_names_protocols_and_scenes_that_are_studied() -> None:
    cells: list[Probed] = [cell for part in PARTS.values() for cell in part]
    assert {cell.protocol for cell in cells} <= set(STUDIED)
    assert {cell.scene for cell in cells} == set(sources(Path("root")))
