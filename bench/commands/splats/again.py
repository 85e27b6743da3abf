"""A stored cell by its words or its key, run again: its Gaussians, its prediction (the same cell gives the same ones)."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench.core.cells import NOT_APPLICABLE, Weights
from bench.core.errors import UserError
from bench.core.residents import Residents
from bench.core.scenes import MultiViewScene
from bench.core.text import listed
from bench.core.track import Settings
from bench.geometry.track import GeometryOutcome, GeometryTrack
from bench.machine.locations import cache_root, data_root
from bench.probe.track import ProbeOutcome, ProbeTrack
from bench.results.record import CellRecord
from bench.results.store import Store
from bench.run.keys import cell_key
from bench.run.request import found_device
from bench.run.verify import other_weights
from bench.splat import Gaussians


def find_cell(text: str, folder: Path) -> CellRecord:
    """The stored cell that is meant.

    Args:
        text: The first digits of its key, or words of its label with slashes between them: "room/aliked/G".
        folder: The results folder.

    Raises:
        UserError: Where there is none or more than one; it names some.
    """
    records = list(Store(folder, create=False).records())
    words = text.split("/")
    found = [record for record in records if record.key.startswith(text)] or [
        record for record in records if set(words) <= {str(value) for value in astuple(record.cell)}
    ]
    if len(found) == 1:
        return found[0]
    named = listed([f"{'/'.join(words_of(record))} ({record.key[:8]})" for record in found or records])
    if found:
        raise UserError(f"{folder}: {text!r} may mean {len(found)} cells: {named}; add words or give the key's first digits")
    raise UserError(f"{folder}: no cell is {text!r}; name one by its words or its key's first digits: {named}")


def words_of(record: CellRecord) -> tuple[str, ...]:
    """What a cell is called in words: data set, scene, model, mode."""
    cell = record.cell
    return tuple(word for word in (cell.dataset, cell.scene, cell.model, cell.mode) if word != NOT_APPLICABLE)


def trained_again(
    record: CellRecord,
    root: Path | None,
    console: Console,
    local_weights: tuple[tuple[str, Path], ...],
    residents: Residents,
) -> ProbeOutcome:
    """Run a probe again: its Gaussians and its views, both in the world of its initialiser, and its pictures.

    Says so where the Gaussians may not be the stored cell's own.

    Raises UserError where the cell is of the geometry track, or was run with weights that are not here.
    """
    if record.cell.track != "probe":
        raise UserError(f"{record.cell.label} is a cell of the {record.cell.track} track; only probes make Gaussians")
    settings = _settings_of(record, root, console, local_weights)
    with console.status(f"training {record.cell.label} again"):
        return ProbeTrack().run(record.cell, settings, residents)


def predicted_again(
    record: CellRecord,
    root: Path | None,
    console: Console,
    local_weights: tuple[tuple[str, Path], ...],
    residents: Residents,
) -> GeometryOutcome:
    """Run a cell of the geometry track again: its photo with the truth, and what the estimator predicts.

    Says so where that may not be what the stored cell measured. Raises UserError where the cell was run with weights that
    are not here.
    """
    settings = _settings_of(record, root, console, local_weights)
    with console.status(f"predicting {record.cell.label} again"):
        return GeometryTrack().run(record.cell, settings, residents)


def _settings_of(
    record: CellRecord, root: Path | None, console: Console, local_weights: tuple[tuple[str, Path], ...]
) -> Settings:
    weights: Weights = "random" if record.weights == "random" else "pretrained"
    settings = Settings(data_root(root), cache_root(), found_device("auto"), weights, local_weights)
    if lack := other_weights(record, settings):
        raise UserError(f"{record.cell.label} ({record.key[:12]}): {lack}")
    if cell_key(record.cell, settings) != record.key:
        console.print(
            f"[yellow]note[/] {escape(record.cell.label)} was run by other code, on other data or another device: "
            "what is shown may differ from what its rows measured",
            soft_wrap=True,
        )
    return settings


def gaussians_of(outcome: ProbeOutcome) -> Gaussians:
    """The Gaussians that a probe ended with, on the CPU."""
    assert outcome.gaussians is not None
    return outcome.gaussians.detach().to("cpu")


def scene_of(outcome: ProbeOutcome) -> MultiViewScene:
    """The views that a probe saw, in the world of its Gaussians."""
    assert outcome.scene is not None
    return outcome.scene
