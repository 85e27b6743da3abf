"""`bench perf` on tiny cases: what it prints, what it stores, and that the ways it compares agree."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from bench.cli import app
from bench.perf import raster, readout, suite
from bench.perf.timing import compare
from bench.results.schema import ROW_COLUMNS, validate_rows
from bench.run.verify import verify

TINY = suite.Sizes(
    images=((12, 8), (16, 12)),
    kinds=("fresh",),
    threads=(1,),
    grids=("tiny",),
    channels=(8,),
    points=(40,),
    variants=("depth",),
    step_image=(16, 12),
    step_channels=8,
    patches=(3, 4),
    repeats=3,
)


def test_the_command_prints_and_stores_valid_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "QUICK", TINY)
    monkeypatch.setitem(readout.SIZES, "tiny", (12, 16))
    monkeypatch.setattr(readout, "PATCHES", (3, 4))
    monkeypatch.setattr(raster, "TORCH_LIMIT", 300)
    threads = torch.get_num_threads()
    done = CliRunner().invoke(app, ["perf", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert torch.get_num_threads() == threads
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert list(rows) == list(ROW_COLUMNS)
    assert validate_rows(rows) == []
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(rows)
    assert set(rows["track"]) == {"perf"}
    assert set(rows["dataset"]) == {"rasterizer", "readout", "loss", "alignment", "step"}
    for part in set(rows["dataset"]):
        assert part in done.output
    times = rows[rows["metric"] == "cpu_time"]
    left_out = times["status"] == "unavailable"
    assert (times[~left_out]["value"] > 0).all()
    assert (times[left_out]["model"] == "torch").all()
    assert times[left_out]["note"].str.contains("not measured: above 300 Gaussians").all()
    assert left_out.sum() == 2  # the larger image, forward, and forward and backward
    assert "not measured" in done.output
    # All ways to do one thing agree up to rounding; the published alignment may be worse than the exact one.
    deviations = rows[(rows["metric"] == "deviation") & (rows["model"] != "official") & (rows["status"] == "ok")]
    assert (deviations["value"] < 1e-3).all(), deviations[["dataset", "scene", "model", "value"]].to_string()
    assert verify(tmp_path).problems == ()


def test_measuring_again_replaces_the_rows_and_gaps_say_why():
    result = compare("part", "case", {"one": lambda: [torch.ones(3)]}, 2)[0]
    first, second = (suite.cell_record(dataclasses.replace(result, cpu_ms=value)) for value in (1.0, 2.0))
    assert first.key == second.key
    missing = suite.cell_record(dataclasses.replace(result, peak_mb=math.nan, note="why"))
    status = {each.metric: (each.status, each.note) for each in missing.measurements}
    assert status["peak_memory"] == ("unavailable", "why")
    assert math.isnan(missing.peak_memory_mb)
    unmeasured = suite.cell_record(dataclasses.replace(result, wall_ms=math.nan, peak_mb=-2.0))
    assert math.isnan(unmeasured.seconds)
    assert unmeasured.peak_memory_mb == 0.0


def test_compare_relates_times_and_outputs_to_the_first_way():
    work = torch.rand(300, 300, dtype=torch.float64)

    def once() -> list[torch.Tensor]:
        return [work @ work]

    def many() -> list[torch.Tensor]:
        for _ in range(20):
            result = work @ work
        return [1.01 * result]

    reference, other = compare("part", "case", {"many": many, "once": once}, 5, slow=("many",))
    assert (reference.ratio, reference.deviation) == (1.0, 0.0)
    assert other.reference == "many"
    assert other.ratio == pytest.approx(reference.cpu_ms / other.cpu_ms)
    assert other.deviation == pytest.approx(0.01 / 1.01)
    assert other.low_ms <= other.cpu_ms <= other.high_ms
