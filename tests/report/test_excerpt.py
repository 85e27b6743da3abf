"""Pictures under names that stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.cells import Cell
from bench.report.figures.excerpt import KINDS, write_excerpt
from bench.results.migration import marks_of_version_1
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.types import UserError


def test_the_first_view_of_each_model_in_the_geometry_mode(tmp_path: Path) -> None:
    store, shades = Store(tmp_path / "results"), {}
    for number, (model, mode) in enumerate([("rgb", "G"), ("rgb", "T"), ("dino", "G"), ("-", "instantsplat")]):
        cell = Cell("probe", "procedural", "room", model, mode, "simulated", "quick-v1", 0)
        names = [f"{kind}.{view}" for kind in ("photo", *KINDS) for view in ("above", "below")]
        pictures = {name: np.full((2, 3, 3), 50 * number + place, np.uint8) for place, name in enumerate(names)}
        store.save(
            CellRecord(
                f"{number}" * 64,
                cell,
                "ok",
                "none",
                pictures=tuple(names),
                marks=marks_of_version_1(cell.model, cell.pointmap, cell.protocol),
            ),
            pictures,
        )
        shades[model, mode] = 50 * number
    written = write_excerpt(store.folder, "room", tmp_path / "out")
    assert {path.name for path in written} == {
        "photo.png",
        *(f"{kind}-{model}.png" for kind in KINDS for model in ("rgb", "dino", "instantsplat")),
    }
    assert np.asarray(Image.open(tmp_path / "out" / "render-dino.png"))[0, 0, 0] == shades["dino", "G"] + 2
    with pytest.raises(UserError, match="no probe of scene 'kitchen'"):
        write_excerpt(store.folder, "kitchen", tmp_path / "other")
