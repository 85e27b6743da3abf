"""The viewpoint gap: a slope that is built into rows is what the part shows, whatever the scenes' own difficulty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.report.figures.drawing import Drawer, write_figure
from bench.report.parts.viewpoints import view_scores, viewpoints_part
from bench.results.schema import ROW_COLUMNS, as_rows

SCENES = {"room": 20.0, "garden": 30.0}
SLOPES = {"dinov2": -0.2, "clip": -0.5}
DRAW = Drawer("probe", ("quick protocol",))


def _rows(angles: int = 6, **changes: Any) -> pd.DataFrame:
    usual = {name: "-" if kind == "str" else None for name, kind in ROW_COLUMNS.items()}
    fixed = {"track": "probe", "dataset": "llff", "mode": "G", "protocol": "quick-v2", "pointmap": "sparse", "seed": 0}
    said = {"status": "ok", "weights": "pretrained", "role": "model", "start": "estimated", "quick": True, **changes}
    rows = []
    for model, slope in SLOPES.items():
        for place, (scene, level) in enumerate(SCENES.items()):
            for k in range(angles):
                angle = 2.0 * k + place  # every view has an angle of its own
                view = {**usual, **fixed, **said, "model": model, "scene": scene, "view": f"v{k}"}
                rows.append({**view, "metric": "psnr", "value": level + slope * (angle - place)})
                rows.append({**view, "metric": "view_angle", "value": angle})
    return as_rows(pd.DataFrame(rows))


def test_scores_keep_what_differs_within_scenes() -> None:
    scores = view_scores(_rows())
    assert len(scores) == 2 * 2 * 6
    own = scores[scores["model"] == "clip"].set_index(["scene", "view"])
    # The level is the mean of both scenes' means: 25 less half a dB for each of the five degrees in the middle.
    assert own["psnr"].mean() == pytest.approx(25 - 0.5 * 5)
    assert own["psnr"]["room", "v0"] == pytest.approx(own["psnr"]["garden", "v0"])
    assert own["psnr"]["room", "v0"] - own["psnr"]["room", "v3"] == pytest.approx(0.5 * 6)


def test_a_line_a_model_with_its_slope(tmp_path: Path) -> None:
    (figure,) = viewpoints_part(_rows(), DRAW).figures
    lines, metric = figure.arguments
    assert metric == "psnr"
    assert list(lines) == ["DINOv2", "CLIP"]
    for label, slope in zip(lines, SLOPES.values(), strict=True):
        bins = lines[label]
        assert bins["n"].sum() == 12
        rise = (bins["mean"].iloc[-1] - bins["mean"].iloc[0]) / (bins["number"].iloc[-1] - bins["number"].iloc[0])
        assert rise == pytest.approx(slope, rel=0.1)
    assert "12 held-out views in 3 bins" in figure.caption
    write_figure(figure, tmp_path)
    assert (tmp_path / "probe-viewpoint-gap.png").stat().st_size > 5000


def test_too_few_angles_say_nothing() -> None:
    assert viewpoints_part(_rows(angles=3), DRAW).figures == ()
    assert viewpoints_part(_rows(role="oracle"), DRAW).figures == ()
    rows = _rows()
    assert viewpoints_part(rows[rows["metric"] == "psnr"], DRAW).figures == ()
    assert viewpoints_part(rows[:0], DRAW).figures == ()
