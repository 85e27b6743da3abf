"""Which step of the variants' curves a row stands at."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from bench.report.parts.probe import variants_part


@pytest.mark.parametrize("upsampler", ["featup", "jbu", "of-tomorrow"])
@pytest.mark.parametrize(("weights", "name"), [("none", "dino"), ("random", "dino@random weights")])
def test_curves_lead_from_frozen_to_upsampled_and_fine_tuned(upsampler: str, weights: str, name: str) -> None:
    rows = [("dino", "G", 20.0), (f"dino@{upsampler}", "G", 21.0), ("dino", "Gft", 22.0), ("sam", "G", 19.0)]
    shared = {
        "track": "probe",
        "dataset": "all",
        "metric": "psnr",
        "alignment": "-",
        "protocol": "quick-v1",
        "pointmap": "simulated",
        "weights": weights,
        "role": "model",
        "n_ok": 1,
        "n_total": 1,
        "status": "ok",
        "note": "",
        "ranked": True,
        "below": "",
    }
    means = pd.DataFrame([{**shared, "model": model, "mode": mode, "value": value} for model, mode, value in rows])
    drawn: list[pd.DataFrame] = []

    def draw(*arguments: Any) -> Any:
        drawn.append(arguments[4])
        return arguments[0]

    variants_part(means, ["psnr"], draw)  # type: ignore[arg-type]
    (curves,) = drawn
    steps = {row["variant"]: (row["model"], row["value"]) for row in curves.to_dict("records")}
    assert steps == {"frozen": (name, 20.0), "upsampled": (name, 21.0), "fine-tuned": (name, 22.0)}
