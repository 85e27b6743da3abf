"""Roles and starts stand on classes, are written when a cell runs, and are read without the plug-in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.report.build import build_report
from bench.report.say.marks import marks_of_conditions
from bench.report.say.means import table_means
from bench.results.store import read_rows

PLUGIN = """
import numpy as np
from bench.registry import estimators, pointmaps
from bench.types import Card, GeometryEstimator, Prediction
from registry.pointmaps.ground_truth import GroundTruth


class Flat(GeometryEstimator):
    card = Card(name="Flat")
    slope = 0.0

    def predict(self, image, intrinsics=None):
        height, width = image.shape[:2]
        depth = 3.0 + self.slope * np.linspace(0, 1, height)[:, None] * np.ones(width)
        return Prediction(depth_scale_invariant=depth)


@estimators.register("oraclenet")
class Oraclenet(Flat):
    card = Card(name="Oraclenet")


@estimators.register("honest")
class Honest(Flat):
    card = Card(name="Honest")
    slope = -1.0


@estimators.register("floor")
class Floor(Flat):
    card = Card(name="Floor", role="control")


@estimators.register("my-truth")
class Truth(Flat):
    card = Card(name="Mine", role="oracle")

    def predict_sample(self, sample):
        return Prediction(depth_metric=sample.depth)


@pointmaps.register("my-start")
class Start(GroundTruth):
    card = Card(name="My start")
    start = "simulated"
"""


@pytest.fixture(scope="module")
def rows_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rows.csv alone, of a run with a plug-in whose names say nothing, or the wrong thing."""
    folder = tmp_path_factory.mktemp("roles")
    (folder / "roles_plugin.py").write_text(PLUGIN)
    for words in (
        ["--models", "oraclenet,honest,floor,my-truth", "--scenes", "room-middle,tabletop-middle"],
        ["--models", "rgb", "--modes", "T", "--scenes", "room", "--pointmap", "my-start", "--protocol", "quick-v2"],
    ):
        command = ["run", *words, "--plugin", str(folder / "roles_plugin.py"), "--out", str(folder / "all"), "--no-report"]
        ended = CliRunner().invoke(app, [*command, "--device", "cpu"])
        assert ended.exit_code == 0, ended.output
    (folder / "rows").mkdir()
    shutil.copy(folder / "all" / "rows.csv", folder / "rows")
    return folder / "rows"


def test_rows_say_roles_and_starts_and_ranks_follow_them(rows_only: Path) -> None:
    rows = read_rows(rows_only)
    roles = dict(rows[rows["track"] == "geometry"].drop_duplicates("model").set_index("model")["role"])
    assert roles == {"oraclenet": "model", "honest": "model", "floor": "control", "my-truth": "oracle"}
    means = table_means(rows)
    geometry = means[(means["track"] == "geometry") & (means["metric"] == "rel") & means["value"].notna()]
    assert set(geometry[geometry["ranked"]]["model"]) == {"oraclenet", "honest"}
    probe = rows[rows["track"] == "probe"]
    assert set(probe["start"]) == {"simulated"}
    assert marks_of_conditions(probe) == ("quick protocol", "simulated point map")


def test_a_process_without_the_plug_in_marks_them_alike(rows_only: Path, tmp_path: Path) -> None:
    code = f"import bench; print(bench.report({str(rows_only)!r}, out={str(tmp_path / 'there')!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    build_report([rows_only], tmp_path / "here", ["md"])
    there = (tmp_path / "there" / "report.md").read_text()
    for line in ("my-truth [reads the truth]", "floor [control]"):
        assert line in there
    assert "oraclenet [" not in there
    assert "quick protocol, simulated point map" in there
