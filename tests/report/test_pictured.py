"""Which cells' pictures a page shows, and that no others are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.core.cells import INSTANTSPLAT, NO_MODEL, Cell
from bench.machine.digests import json_digest
from bench.report.figures import gallery
from bench.report.figures.gallery import SCENES, Stored, galleries, pictured
from bench.results.record import CellRecord, from_file
from bench.results.store import Store

CELL = Cell("probe", "llff", "s0", "daisy", "G", "sparse", "quick-v1", 0)
PICTURE = np.zeros((2, 2, 3), np.uint8)


def _stored(folder: Path, scenes: int, seeds: int, bare: tuple[tuple[int, int], ...] = ()) -> list[Stored]:
    """Two models on so many scenes with so many seeds; the (scene, seed) of `bare` have no pictures."""
    store, found = Store(folder), []
    for scene in range(scenes):
        for model in ("daisy", "rgb"):
            for seed in range(seeds):
                cell = replace(CELL, scene=f"s{scene}", model=model, seed=seed)
                record = CellRecord(json_digest(str(cell)), cell, "ok", "none")
                store.save(record, {} if (scene, seed) in bare else {"photo.a": PICTURE})
                found.append(Stored(folder, record.key, cell, "none"))
    return found


def test_the_first_scenes_and_the_first_seed_with_pictures_are_shown(tmp_path: Path) -> None:
    stored = _stored(tmp_path, SCENES + 3, 3, bare=((0, 0), (0, 1), (0, 2), (1, 0)))
    shown = [
        (record.cell.scene, record.cell.model, record.cell.seed) for record, _ in pictured(stored, lambda r: r.pictures)
    ]
    seeds = {"s1": 1, "s2": 0, "s3": 0, "s4": 0}
    assert shown == [(scene, model, seed) for scene, seed in seeds.items() for model in ("daisy", "rgb")]


def test_instantsplat_stands_beside_the_features_under_its_name(tmp_path: Path) -> None:
    stored = _stored(tmp_path, 1, 1)
    cell = replace(CELL, model=NO_MODEL, mode=INSTANTSPLAT)
    Store(tmp_path).save(CellRecord(json_digest("baseline"), cell, "ok", "none"), {"photo.a": PICTURE, "render.a": PICTURE})
    named = Stored(tmp_path, json_digest("baseline"), replace(cell, model=INSTANTSPLAT), "none")  # as rows have it
    (shown,) = galleries([*stored, named])
    assert sorted(row.label for row in shown.rows) == ["DAISY", "InstantSplat", "RGB"]


def test_reading_does_not_grow_with_scenes_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = _stored(tmp_path, SCENES + 6, 5)
    read: list[Path] = []
    monkeypatch.setattr(gallery, "from_file", lambda path: (read.append(path), from_file(path))[1])
    assert len(pictured(stored, lambda record: record.pictures)) == len(read) == 2 * SCENES


def test_a_folder_without_pictures_is_not_searched_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = _stored(tmp_path, 2, 2, bare=((0, 0), (0, 1), (1, 0), (1, 1)))
    monkeypatch.setattr(gallery, "from_file", lambda path: pytest.fail(f"{path} is read"))
    assert pictured(stored, lambda record: record.pictures) == []
