"""`bench report --viewer`: the Gaussians of one scene's best models, trained again, on a page beside the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.commands.checkpoints import checkpoints
from bench.commands.splats.again import scene_of, trained_again
from bench.commands.splats.view import MOST_MODELS, check_viser, shown, viewer_page
from bench.core.errors import Unavailable, UserError
from bench.core.residents import Residents
from bench.machine.files import check_writable, write_text
from bench.metrics.catalogue import headline
from bench.probe.track import ProbeOutcome
from bench.report.read import load_results
from bench.report.say.marks import row_marks
from bench.results.record import CellRecord
from bench.results.store import Store

VIEWER = "viewer.html"  #: beside the report
FEWEST_MODELS = 2


def add_viewer(
    folders: Sequence[Path], out: Path, console: Console, root: Path | None, local_weights: Sequence[str]
) -> tuple[str, str]:
    """Write the page of Gaussians into a report's folder; returns its file's name and what it is.

    Raises:
        Unavailable: Where viser is not here.
        UserError: As `load_results` and `best_of_a_scene`, and where none of the probes can be run again here.
    """
    check_viser()
    stored = [each for each in load_results(folders).stored if each.cell.track == "probe" and each.cell.mode == "G"]
    found = [Store(each.folder, create=False).read(each.key) for each in stored]
    chosen = best_of_a_scene([record for record in found if record])
    check_writable(out)
    residents, given = Residents(), checkpoints(local_weights)
    trained: list[tuple[CellRecord, ProbeOutcome]] = []
    for record in chosen:
        if len(trained) == MOST_MODELS:
            break
        try:
            trained.append((record, trained_again(record, root, console, given, residents)))
        except (UserError, Unavailable) as error:
            console.print(f"[yellow]not shown[/] {record.cell.label}: {error}", highlight=False, soft_wrap=True)
    if not trained:
        raise UserError("--viewer: no probe of these results can be run again here; the lines above say why")
    first = trained[0][0]
    document = viewer_page([shown(*each) for each in trained], scene_of(trained[0][1]), first)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / VIEWER, document)
    names = ", ".join(record.cell.model for record, _ in trained)
    return VIEWER, f"Gaussians of {first.cell.dataset}/{first.cell.scene} to turn and compare: {names}"


def best_of_a_scene(records: Sequence[CellRecord]) -> list[CellRecord]:
    """The finished geometry-mode probes of the scene that most models share, as they are to be shown.

    The best models first, then the best control or untrained row as the floor on the fourth place; what is left follows, for
    where one of these cannot be run again.

    Raises UserError where no scene has FEWEST_MODELS models.
    """
    scenes: dict[tuple[object, ...], list[CellRecord]] = {}
    for record in records:
        cell = record.cell
        if cell.track == "probe" and cell.mode == "G" and record.status == "ok":
            where = (cell.dataset, cell.scene, cell.pointmap, cell.protocol, cell.seed)
            scenes.setdefault(where, []).append(record)
    most = max(scenes.values(), key=len, default=[])
    if len(most) < FEWEST_MODELS:
        raise UserError(f"--viewer sets models beside each other: no scene has probes of {FEWEST_MODELS} models in mode G")
    ordered = sorted(most, key=_score, reverse=True)
    models = [record for record in ordered if not row_marks(record.marks.role, record.weights)]
    beside = [record for record in ordered if record not in models and record.marks.role != "oracle"]
    places = MOST_MODELS - 1 if beside else MOST_MODELS
    return [*models[:places], *beside[:1], *models[places:], *beside[1:]]


def _score(record: CellRecord) -> float:
    """The mean of the track's headline metric over held-out views, higher being better; -inf where it has none."""
    metric = headline("probe")
    values = [each.value for each in record.measurements if each.metric == metric.name and each.status == "ok"]
    if not values:
        return -math.inf
    return sum(values) / len(values) * (1 if metric.higher_is_better else -1)
