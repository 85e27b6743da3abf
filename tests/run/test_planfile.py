"""Plans as files: what cells cost, parts that cover a plan without a coordinator, and how far a folder is."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import app
from bench.core.cells import Cell
from bench.core.errors import UserError
from bench.results.store import read_rows
from bench.run.planning.planfile import Estimate, PlanFile, estimated, read_plan_file, shard, write_plan_file
from bench.run.planning.progress import progress_of
from bench.run.tracks import track_of

COST = st.floats(0, 1e4, allow_nan=False)
CELLS = st.lists(
    st.builds(
        Cell,
        track=st.just("probe"),
        dataset=st.just("dtu"),
        scene=st.sampled_from(["scan1", "scan2", "scan3"]),
        model=st.sampled_from(["dino", "sam", "mae", "dino+sam"]),
        mode=st.sampled_from(["G", "T", "A"]),
        pointmap=st.just("sparse"),
        protocol=st.just("paper-v1"),
        seed=st.integers(0, 2),
    ),
    unique=True,
    max_size=40,
)


def group(cell: Cell) -> tuple[Hashable, ...]:
    return track_of(cell).group(cell)


@settings(max_examples=40)
@given(CELLS, st.integers(1, 7), st.data())
def test_shards_are_disjoint_cover_the_plan_keep_groups_that_fit_together_and_are_balanced(
    cells: list[Cell], count: int, data: Any
) -> None:
    plan = [(cell, Estimate(data.draw(COST), math.nan, "")) for cell in cells]
    parts = [shard(plan, number, count) for number in range(1, count + 1)]
    assert sorted(cell for part in parts for cell in part) == sorted(cells)
    cost = dict(plan)
    mean = sum(estimate.seconds for _, estimate in plan) / count
    costs = {key: sum(cost[cell].seconds for cell in cells if group(cell) == key) for key in set(map(group, cells))}
    homes = [{group(cell) for cell in part} for part in parts]
    for key, seconds in costs.items():
        assert seconds > mean or sum(key in home for home in homes) == 1, "a group that fits stands in two parts"
    loads = [sum(cost[cell].seconds for cell in part) for part in parts]
    largest = max([min(seconds, mean) for seconds in costs.values()] + [cost[cell].seconds for cell in cells] or [0.0])
    # Longest first to the least loaded: no part exceeds the mean by more than one group, or by a cell that is longer.
    assert max(loads) <= sum(loads) / count + largest + 1e-6


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    cell = Cell("geometry", "nyuv2", "a, b", "moge", "-", "-", "moge-v1", 3)
    plan = PlanFile(((cell, Estimate(1.5, 300.0, "x")),), "random", "cpu", ("my_plugin.py",))
    write_plan_file(tmp_path / "plan.json", plan)
    assert read_plan_file(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": 2}, "version 2"),
        ({"cells": [{}]}, "KeyError"),
        ({"cells": 3}, "TypeError"),
        ({"weights": 1}, "must be texts"),
        ({"plugins": None}, "TypeError"),
    ],
)
def test_a_file_that_is_no_plan_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "plan.json"
    write_plan_file(path, PlanFile((), "pretrained", "cpu"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=f"{path} is not a plan.*{said}"):
        read_plan_file(path)


def test_costs_come_from_the_closest_likeness() -> None:
    def row(model: str, scene: str, mode: str, seconds: float, memory: float, device: str = "cpu") -> dict[str, Any]:
        named = {"track": "probe", "protocol": "quick-v1", "model": model, "mode": mode, "dataset": "dtu", "scene": scene}
        key = f"{model}{scene}{mode}{device}"
        return {**named, "status": "ok", "device": device, "key": key, "seconds": seconds, "peak_memory_mb": memory}

    rows = pd.DataFrame(
        [
            row("dino", "scan1", "G", 10, 100),
            row("dino", "scan2", "G", 20, 300),
            row("dino", "scan3", "G", 60, 200),
            row("sam", "scan1", "T", 5, 50),
            row("sam", "scan1", "G", 1000, 50, device="cuda"),
        ]
    )

    def cost(model: str, scene: str, mode: str, protocol: str = "quick-v1") -> Estimate:
        cell = Cell("probe", "dtu", scene, model, mode, "sparse", protocol, 0)
        return estimated([cell], "cpu", rows)[0][1]

    assert cost("dino", "scan2", "G").seconds == 20
    assert (cost("dino", "scan9", "G").seconds, cost("dino", "scan9", "G").memory_mb) == (20, 300)
    assert cost("mae", "scan1", "T").seconds == 5
    assert cost("mae", "scan1", "A").basis == "4 stored cells of the same track, protocol"
    assert cost("mae", "scan1", "A", "paper-v1").basis == "the protocol's time limit"


def test_two_shards_of_a_plan_give_the_rows_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def bench(*words: str) -> str:
        ended = CliRunner().invoke(app, [str(word) for word in words])
        assert ended.exit_code == 0, ended.output
        return ended.output

    asked = ("--models", "plane,oracle", "--scenes", "tabletop-middle,gallery-middle", "--protocol", "exact-v1")
    bench("run", *asked, "--no-report", "--out", tmp_path / "whole")
    told = bench("plan", *asked, "--out", tmp_path / "plan.json", "--like", tmp_path / "whole")
    assert "4 cells on 1 CPU, 4 GB: about " in told
    plan = read_plan_file(tmp_path / "plan.json")
    shared = tmp_path / "shared"
    bench("run", "--plan", tmp_path / "plan.json", "--shard", "2/2", "--out", shared)
    found = progress_of(shared, plan.cells)
    assert len(found.done) + len(found.missing) == 4
    assert found.done  # how many, follows from the seconds that the whole run took
    assert found.missing
    assert found.left_seconds == pytest.approx(sum(e.seconds for cell, e in plan.cells if cell in found.missing))
    bench("run", "--plan", tmp_path / "plan.json", "--shard", "1/2", "--out", shared)
    said = bench("status", shared, "--plan", tmp_path / "plan.json")
    assert "4 done, 0 failed, 0 running, 0 missing" in said
    found = progress_of(shared, plan.cells)
    assert found.expected_seconds == pytest.approx(plan.seconds)
    took = read_rows(shared).drop_duplicates("key")["seconds"].sum()
    assert found.taken_seconds == pytest.approx(took)
    assert f"({took / plan.seconds:.2g} times as much)" in said
    varying = ["seconds", "peak_memory_mb", "read_mb"]
    whole, parts = (read_rows(folder).drop(columns=varying) for folder in (tmp_path / "whole", shared))
    pd.testing.assert_frame_equal(whole, parts)


def test_a_part_outside_the_plan_is_refused() -> None:
    with pytest.raises(UserError, match="--shard 3/2"):
        shard([], 3, 2)
