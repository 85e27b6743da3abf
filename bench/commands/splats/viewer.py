"""`bench report --viewer`: cells of one scene and of one photo, run again, on pages to turn beside the report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from bench.commands.checkpoints import checkpoints
from bench.commands.splats.again import scene_of, trained_again
from bench.commands.splats.clouds import MOST_CLOUDS, clouds_page, predicted
from bench.commands.splats.view import MOST_MODELS, check_viser, shown, viewer_page
from bench.core.cells import NOT_APPLICABLE, Track
from bench.core.errors import Unavailable, UserError
from bench.core.residents import Residents
from bench.machine.files import check_writable, write_text
from bench.metrics.catalogue import headline
from bench.report.read import load_results
from bench.report.say.marks import row_marks
from bench.results.record import CellRecord
from bench.results.store import Store

VIEWER, POINTS = "viewer.html", "points.html"  #: beside the report
FEWEST_MODELS = 2  #: probes of a scene; one prediction already has the truth beside it
_MODES = ("G", NOT_APPLICABLE)  #: of cells on the pages: geometry alone, and predictions
Again = TypeVar("Again")


def add_viewer(
    folders: Sequence[Path], out: Path, console: Console, root: Path | None, local_weights: Sequence[str]
) -> list[tuple[str, str]]:
    """Write the pages of Gaussians and of point clouds into a report's folder, each where the results have cells for it.

    Returns:
        The files' names, and what each is.

    Raises:
        Unavailable: Where viser is not here.
        UserError: As `load_results`; where the results have cells for neither, or none of them can be run again here.
    """
    check_viser()
    stored = load_results(folders).stored
    found = [Store(each.folder, create=False).read(each.key) for each in stored if each.cell.mode in _MODES]
    records = [record for record in found if record]
    probes = best_shared(records, "probe", FEWEST_MODELS, MOST_MODELS)
    photos = best_shared(records, "geometry", 1, MOST_CLOUDS)
    if not probes and not photos:
        raise UserError(
            f"--viewer: no scene has probes of {FEWEST_MODELS} models in mode G, and there is no cell of the geometry track"
        )
    check_writable(out)
    given, pages = checkpoints(local_weights), []
    residents = Residents()
    trained = _run_again(probes, MOST_MODELS, lambda each: trained_again(each, root, console, given, residents), console)
    if trained:
        first = trained[0][0]
        document = viewer_page([shown(*each) for each in trained], scene_of(trained[0][1]), first)
        pages.append(_written(out, VIEWER, document, "Gaussians", [record for record, _ in trained]))
    clouds = _run_again(photos, MOST_CLOUDS, lambda each: predicted(each, root, console, given, residents), console)
    if clouds:
        document = clouds_page([cloud for _, cloud in clouds], clouds[0][0])
        pages.append(_written(out, POINTS, document, "Point clouds", [record for record, _ in clouds]))
    if not pages:
        raise UserError("--viewer: no cell of these results can be run again here; the lines above say why")
    return pages


def best_shared(records: Sequence[CellRecord], track: Track, fewest: int, places: int) -> list[CellRecord]:
    """The finished cells of the scene or photo that most models share, as they are to be shown; probes in geometry mode.

    The best models first, then the best control or untrained row as the floor on the last of the places; what is left
    follows, for where one of these cannot be run again. None where nothing is shared by `fewest` models.
    """
    scenes: dict[tuple[object, ...], list[CellRecord]] = {}
    for record in records:
        cell = record.cell
        if cell.track == track and cell.mode in _MODES and record.status == "ok":
            where = (cell.dataset, cell.scene, cell.pointmap, cell.protocol, cell.seed)
            scenes.setdefault(where, []).append(record)
    most = max(scenes.values(), key=len, default=[])
    if len(most) < fewest:
        return []
    score = _scores(most, track)
    ordered = sorted(most, key=lambda record: score[record.key], reverse=True)
    models = [record for record in ordered if not row_marks(record.marks.role, record.weights)]
    beside = [record for record in ordered if record not in models and record.marks.role != "oracle"]
    best = places - 1 if beside else places
    return [*models[:best], *beside[:1], *models[best:], *beside[1:]]


def _scores(records: Sequence[CellRecord], track: Track) -> dict[str, float]:
    """By key, the mean of the track's headline metric over views, higher being better, under the alignment that most cells
    were measured under; -inf where one has none."""
    metric = headline(track)
    values = {
        record.key: [each for each in record.measurements if each.metric == metric.name and each.status == "ok"]
        for record in records
    }
    common = Counter(alignment for found in values.values() for alignment in {each.alignment for each in found})
    usual = max(sorted(common), key=lambda name: common[name], default="")
    sign = 1 if metric.higher_is_better else -1
    scores = {}
    for key, found in values.items():
        own = [each.value for each in found if each.alignment == usual]
        scores[key] = sign * sum(own) / len(own) if own else -math.inf
    return scores


def _run_again(
    records: Sequence[CellRecord], most: int, run: Callable[[CellRecord], Again], console: Console
) -> list[tuple[CellRecord, Again]]:
    """The first that can be run again; the others are told."""
    found: list[tuple[CellRecord, Again]] = []
    for record in records:
        if len(found) == most:
            break
        try:
            found.append((record, run(record)))
        except (UserError, Unavailable) as error:
            said = escape(f"{record.cell.label}: {error}")
            console.print(f"[yellow]not shown[/] {said}", highlight=False, soft_wrap=True)
    return found


def _written(out: Path, name: str, document: str, what: str, records: Sequence[CellRecord]) -> tuple[str, str]:
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / name, document)
    cell = records[0].cell
    models = ", ".join(record.cell.model for record in records)
    return name, f"{what} of {cell.dataset}/{cell.scene} to turn and compare: {models}"
