"""Plans whose outcome is known: verdicts by hand, and names that exist."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench.commands import reproduce as command
from bench.core.errors import UserError
from bench.registry import datasets, estimators, features, pointmaps
from bench.results.reference.reproduced import PLACE
from bench.run.reproduce import REPRODUCTIONS, reproduction_named, verdicts
from bench.run.request import AUTO

ROW = {
    "track": "probe",
    "dataset": "dtu",
    "model": "dino",
    "mode": "G",
    "alignment": "-",
    "pointmap": "sparse",
    "protocol": "paper-v1",
    "seed": 0,
    "view": "a",
    "weights": "none",
    "unit": "",
    "higher_is_better": True,
    "status": "ok",
    "note": "",
}


def test_verdicts_by_hand() -> None:
    rows = pd.DataFrame(
        [
            {**ROW, "scene": "scan1", "metric": "psnr", "value": 20.0},
            {**ROW, "scene": "scan2", "metric": "psnr", "value": 22.0},
            {**ROW, "scene": "scan1", "metric": "ssim", "value": 0.5},
            {**ROW, "scene": "scan2", "metric": "ssim", "value": math.nan, "status": "invalid"},
            {**ROW, "scene": "scan1", "metric": "lpips", "value": 0.30},
            {**ROW, "scene": "scan2", "metric": "lpips", "value": 0.30},
            *(
                {**ROW, "scene": s, "metric": "distance", "alignment": "similarity", "value": 2.0}
                for s in ("scan1", "scan2")
            ),
        ]
    )
    place = {name: ROW[name] for name in PLACE if name != "metric"}
    wanted = {"psnr": 21.2, "ssim": 0.5, "lpips": 0.33, "distance": 2.0, "accuracy": 1.0}
    expected = pd.DataFrame([{**place, "metric": metric, "value": value} for metric, value in wanted.items()])
    found = verdicts(rows, expected, relative=0.01, absolute=0.0).set_index("metric")
    assert dict(found["verdict"]) == {
        "psnr": "within",  # 21 against 21.2 +- 0.212
        "ssim": "missing",  # of one scene of two
        "lpips": "outside",
        "distance": "within",
        "accuracy": "missing",
    }
    assert found.loc["psnr", "difference"] == pytest.approx(-0.2)
    assert verdicts(rows, expected, 0.0, 0.25).set_index("metric").loc["lpips", "verdict"] == "within"


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_every_name_in_a_reproduction_exists_and_every_value_is_asked_for(name: str) -> None:
    request, expected = REPRODUCTIONS[name].request, REPRODUCTIONS[name].expected()
    assert set(request.models) <= {*features, *estimators}
    assert set(request.datasets) <= set(datasets)
    assert request.pointmap == AUTO or request.pointmap in pointmaps
    assert len(expected)
    assert expected["value"].notna().all()
    assert set(request.models) & set(expected["model"])
    assert set(expected["dataset"]) <= set(request.datasets)


def test_an_unknown_reproduction_is_named() -> None:
    with pytest.raises(UserError, match="there are embedded"):
        reproduction_named("everything")


def _as_measured(expected: pd.DataFrame) -> pd.DataFrame:
    """Rows of a run that gave exactly what is expected."""
    fixed = {name: text for name, text in ROW.items() if name not in PLACE}
    return expected.assign(**fixed, scene="room")


@pytest.mark.parametrize(("share", "code"), [(0.0, 0), (0.02, 0), (0.05, 1), (-0.05, 1)])
def test_one_altered_value_of_the_embedded_reproduction_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, code: int
) -> None:
    """The command as it is, but for the run: its rows are those that are expected, one of them moved."""
    rows = _as_measured(REPRODUCTIONS["embedded"].expected())
    place = rows.index[rows["metric"] == "psnr"][0]
    rows.loc[place, "value"] *= 1 + share
    monkeypatch.setattr(command, "run_command", lambda *arguments: 0)
    monkeypatch.setattr(command, "read_rows", lambda folder: rows)
    console = Console(width=200, record=True)
    assert command.reproduce_command("embedded", tmp_path, None, None, 1, console, console) == code
    found = pd.read_csv(tmp_path / "reproduction.csv")
    assert len(found) == len(rows)
    assert (found["verdict"] != "within").sum() == code
    if code:
        (outside,) = found[found["verdict"] == "outside"].to_dict("records")
        assert (outside["metric"], outside["model"]) == ("psnr", rows.loc[place, "model"])
        assert outside["difference"] == pytest.approx(share * outside["expected"])
        assert "1 outside" in console.export_text()
