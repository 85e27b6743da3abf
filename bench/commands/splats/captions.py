"""What a stored cell is called where its Gaussians are shown, with the marks that its numbers carry."""

from __future__ import annotations

from bench.core.cells import NO_MODEL, NOT_APPLICABLE
from bench.metrics.catalogue import headline
from bench.report.say.marks import condition_marks, row_marks
from bench.results.record import CellRecord


def name_of(record: CellRecord) -> str:
    """Model and mode, with marks such as random weights: "aliked G"."""
    cell = record.cell
    marks = ", ".join(row_marks(record.marks.role, record.weights))
    name = cell.model_in_rows if cell.model == NO_MODEL else f"{cell.model} {cell.mode}"
    return name + (f" ({marks})" if marks else "")


def scores_of(record: CellRecord, alignment: str = NOT_APPLICABLE) -> dict[str, str]:
    """What a cell measured at each view, in its track's headline metric, by the view's name."""
    metric = headline(record.cell.track)
    return {
        each.view: f"{metric.label} {metric.told(each.value)}"
        for each in record.measurements
        if (each.metric, each.alignment, each.status) == (metric.name, alignment, "ok")
    }


def conditions_of(record: CellRecord) -> str:
    """Scene, point map where there is one, protocol and seed."""
    cell = record.cell
    start = "" if cell.pointmap == NOT_APPLICABLE else f", point map {cell.pointmap}"
    return f"{cell.dataset}/{cell.scene}{start}, protocol {cell.protocol}, seed {cell.seed}"


def marks_of(record: CellRecord) -> tuple[str, ...]:
    """What holds of all cells under these conditions: a quick protocol, a simulated point map."""
    return condition_marks(record.cell.protocol, record.marks.start, record.marks.quick)
