"""A small results folder with everything that a report has to show: marks, gaps, failures, both tracks, pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.cells import Cell, Marks
from bench.machine.digests import json_digest
from bench.report.build import build_report
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.types import Measurement

SIMULATED = Marks(start="simulated", quick=True)
PROVENANCE = {"code_version": "0.1.0", "device_name": "a processor"}
MODELS = {"dinov2": ("random", 3.0), "iuvrgb": ("none", 0.0), "daisy": ("none", 1.0)}


def _probe_cell(scene: str, model: str, mode: str) -> Cell:
    return Cell("probe", "procedural", scene, model, mode, "simulated", "quick-v1", 0)


def fill_store(folder: Path) -> Path:
    """Two scenes, three features and InstantSplat; two photos, two estimators. One cell failed, LPIPS is unavailable."""
    store = Store(folder)
    rng = np.random.default_rng(0)
    picture = np.full((6, 8, 3), 128, np.uint8)
    for scene in ("room", "table"):
        for model, (weights, quality) in [*MODELS.items(), ("-", ("none", 2.0))]:
            for mode in ("G", "T", "Gft") if model != "-" else ("instantsplat",):
                cell = _probe_cell(scene, model, mode)
                if (scene, model, mode) == ("room", "daisy", "T"):
                    store.save(
                        CellRecord(
                            json_digest(str(cell)),
                            cell,
                            "failed",
                            weights,
                            "ValueError: <b>50 %</b> | it_broke",
                            marks=SIMULATED,
                        ),
                        {},
                    )
                    continue
                measured = [
                    Measurement("psnr", 15 + quality + rng.normal() * 0.1, "left", "dB", True),
                    Measurement("ssim", 0.5 + quality / 20 + rng.normal() / 100, "left", "", True),
                    Measurement("lpips", float("nan"), "left", "", False, status="unavailable", note="no backbone"),
                    *(
                        Measurement(name, 3 - quality / 2 + rng.normal() / 10, "all", "metre", False, "similarity")
                        for name in ("accuracy", "completeness", "distance")
                    ),
                ]
                store.save(
                    CellRecord(
                        json_digest(str(cell)),
                        cell,
                        "ok",
                        weights,
                        "",
                        tuple(measured),
                        (),
                        2.0 + quality,
                        500.0,
                        "cpu",
                        PROVENANCE,
                        marks=SIMULATED,
                    ),
                    {"photo.left": picture, "render.left": picture, "features.first": picture}
                    if mode in ("G", "instantsplat")
                    else {},
                )
    for dataset in ("nyuv2", "kitti"):
        for sample in ("a", "b"):
            for model, error in (("moge", 0.1), ("plane", 0.4)):
                cell = Cell("geometry", dataset, sample, model, "-", "-", "moge-v1", 0)
                measured = [
                    Measurement("rel", error + 0.01 * rng.random(), sample, "share", False, "points_affine_invariant"),
                    Measurement("delta", 1 - error, sample, "share", True, "points_affine_invariant"),
                    Measurement("fov_x_error", 10 * error + rng.random(), f"{sample}@1", "degree", False, "fov_crops"),
                ]
                store.save(
                    CellRecord(
                        json_digest(str(cell)),
                        cell,
                        "ok",
                        "pretrained",
                        "",
                        tuple(measured),
                        (),
                        1.0,
                        300.0,
                        "cpu",
                        PROVENANCE,
                        marks=Marks("control" if model == "plane" else "model"),
                    ),
                    {f"photo.{sample}": picture},
                )
    store.compact()
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to read; tests that change it make their own with `new_results`."""
    return fill_store(tmp_path_factory.mktemp("store") / "demo")


@pytest.fixture(scope="session")
def report(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its report, in every format; to be read only."""
    return build_report([results], tmp_path_factory.mktemp("report") / "first").parent


@pytest.fixture
def new_results(tmp_path: Path) -> Callable[[], Path]:
    return lambda: fill_store(tmp_path / "demo")
