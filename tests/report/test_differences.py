"""The section that says why numbers differ holds what concerns the report's own models and data sets, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.core.facts.causes import CAUSES
from bench.core.facts.deviations import DEVIATIONS
from bench.report.sections.differences import differences_section


def _rows(*places: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(places, columns=["track", "model", "dataset"])


def test_a_section_of_one_track() -> None:
    found = differences_section(_rows(("geometry", "geowizard", "kitti"), ("geometry", "moge", "diode")))
    titles = [part.title for part in found.parts]
    assert titles == ["Geometry: between evaluations", "Geometry: between this suite and the authors' code"]
    causes = {line.label: [entry.text for entry in line.entries] for line in found.tables[0].lines}
    assert causes["GeoWizard's seeds"][2] == "GeoWizard"
    assert causes["versions of the package utils3d"][2] == "all"
    assert causes["alignment weight 1 / distance or 1 / depth"][1] == "not measured"
    assert "Marigold's checkpoint, steps and ensemble" not in causes
    assert len(found.tables[1].lines) == sum(each.track == "geometry" for each in DEVIATIONS)


def test_families_joined_features_and_instantsplat() -> None:
    found = differences_section(
        _rows(("probe", "mast3r", "dl3dv"), ("probe", "instantsplat", "dl3dv"), ("probe", "dino+sam", "dl3dv"))
    )
    causes = {line.label: [entry.text for entry in line.entries] for line in found.tables[0].lines}
    assert causes["the training data of DL3DV"][2] == "MASt3R on DL3DV"
    assert "concatenated features" in {line.label for line in found.tables[1].lines}


@pytest.mark.parametrize("ending", ["html", "md"])
def test_the_report_holds_it(report: Path, ending: str) -> None:
    text = (report / ("index.html" if ending == "html" else "report.md")).read_text(encoding="utf-8")
    assert "Why numbers differ" in text
    assert "area outside the visibility mask" in text
    assert next(cause.what for cause in CAUSES if cause.models == ("geowizard",)).replace("'", "&#39;") not in text
