"""Cells of the geometry track, run again, as point clouds for pages: the truth beside what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.commands.splats.again import predicted_again
from bench.commands.splats.captions import conditions_of, marks_of, scores_of
from bench.core.errors import UserError
from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.core.residents import Residents
from bench.core.scenes import MultiViewScene
from bench.report.say.cards import title_of
from bench.report.say.marks import row_marks
from bench.report.tables.beside import BLOCKS
from bench.report.viewer.clouds import as_scene, points_page, predicted_cloud, true_cloud
from bench.report.viewer.nodes import Cloud
from bench.results.record import CellRecord

MOST_CLOUDS = 3  #: beside the truth


def predicted(
    record: CellRecord, root: Path | None, console: Console, weights: tuple[tuple[str, Path], ...], residents: Residents
) -> tuple[Cloud, Cloud, MultiViewScene]:
    """A cell that was run again: the truth, the prediction with what the stored cell measured, and the photo as a scene.

    Raises:
        UserError: As `predicted_again`, and where the prediction cannot be brought to the truth.
    """
    outcome = predicted_again(record, root, console, weights, residents)
    sample, prediction = outcome.sample, outcome.prediction
    assert sample is not None
    assert prediction is not None
    model = record.cell.model
    marks = row_marks(record.marks.role, record.weights)
    found = predicted_cloud(model, sample, prediction, GEOMETRY_PROTOCOLS[record.cell.protocol], outcome.pictures, {})
    if found is None:
        raise UserError(f"{record.cell.label}: what {title_of(model, 'geometry')} predicts cannot be brought to the truth")
    cloud, block = found
    name = f"{model} ({', '.join([BLOCKS[block].lower(), *marks])})"
    told = replace(cloud, name=name, scores=scores_of(record, block))
    return true_cloud(sample), told, as_scene(sample)


def clouds_page(found: Sequence[tuple[Cloud, Cloud, MultiViewScene]], record: CellRecord) -> str:
    """The page that works offline. found: one to MOST_CLOUDS of a photo. record: one of the cells, for what they share."""
    truth, _, scene = found[0]
    return points_page([truth, *(cloud for _, cloud, _ in found)], scene, conditions_of(record), marks_of(record))
