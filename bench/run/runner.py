"""Runs cells: skips what is stored, records status, time, memory and provenance, never lets one failure stop the rest."""

from __future__ import annotations

import functools
import itertools
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.core.cells import EXTRACTION, NOT_APPLICABLE, PERF, Cell, Measurement
from bench.core.errors import Unavailable, UserError
from bench.core.registry import find_datasets, load_plugin
from bench.machine.provenance import measured, provenance
from bench.native.memory import keep_freed_memory
from bench.probe.features.cache import Extracted
from bench.results.store import CellRecord, Status, Store, digest
from bench.run import tracks
from bench.run.engines.base import MapGroups, WorkerDied
from bench.run.tracks import Settings


@dataclass(frozen=True)
class Report:
    """How a cell ended, for the progress display."""

    cell: Cell
    status: Status
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Run:
    """A run: where it writes and what its cells share. threads: of each process while features are extracted."""

    out: Path
    settings: Settings
    plugins: tuple[str, ...] = ()
    jobs: int = 1
    threads: int = 1

    def due(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that are not yet stored. Raises UserError where a cell's data cannot be read."""
        store = Store(self.out)
        return [cell for cell in cells if not store.finished(tracks.cell_key(cell, self.settings))]

    def extract(self, cells: Sequence[Cell], map_groups: MapGroups) -> Iterator[Cell]:
        """Compute the features that the cells need and the cache lacks, model by model; yields each cell that is served.

        What making them cost is stored, also where the cache held them. What fails here fails again, and is recorded, when
        its cells are run. Raises UserError where a result cannot be stored.
        """
        wanted = {
            (cell.model, cell.dataset, cell.scene, cell.protocol): cell
            for cell in sorted(cells)
            if cell.track == "probe" and tracks.reads_patch_features(cell)
        }
        groups = [list(group) for _, group in itertools.groupby(wanted.values(), key=lambda cell: cell.model)]
        groups.sort(key=lambda group: "+" in group[0].model)  # the parts of a concatenation come before it
        extract = functools.partial(_extract, out=self.out, settings=self.settings)
        prepare = functools.partial(_prepare_process, self.plugins, self.settings.data_root, self.threads)
        for cell, result in map_groups(extract, groups, jobs=self.jobs, initialise=prepare):
            if isinstance(result, UserError):
                raise result
            yield cell
        tracks.forget_models()

    def execute(self, cells: Sequence[Cell], map_groups: MapGroups) -> Iterator[Report]:
        """Run the cells on an engine (`map_groups` of one in bench.run.engines) and yield how each ended, as they end.

        Raises UserError where a result cannot be stored.
        """
        groups = [list(group) for _, group in itertools.groupby(sorted(cells, key=_neighbours), key=_neighbours)]
        run_one = functools.partial(run_cell, out=self.out, settings=self.settings)
        # A probe's steps are many and small: threads inside one cell cost more than they give; cells run side by side.
        prepare = functools.partial(_prepare_process, self.plugins, self.settings.data_root, 1)
        for cell, result in map_groups(run_one, groups, jobs=self.jobs, initialise=prepare):
            if isinstance(result, WorkerDied):
                result = _store_failure(cell, str(result), self.out, self.settings)
            elif isinstance(result, UserError):
                raise result
            yield result


def _neighbours(cell: Cell) -> tuple[str, ...]:
    """Cells that share a scene and a model run one after the other in one process, so features are computed once."""
    return (cell.track, cell.dataset, cell.model if cell.track == "geometry" else cell.scene, cell.model, cell.protocol)


def _prepare_process(plugins: Sequence[str], root: Path | None, threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    for plugin in plugins:
        load_plugin(plugin)
    find_datasets(root)


def _extract(cell: Cell, *, out: Path, settings: Settings) -> UserError | None:
    """Extract the features of a cell's model and store what they cost. Never raises; an error in writing is returned."""
    extracted = tracks.extract_features(cell, settings)
    while True:
        try:
            part, found = next(extracted)
        except Exception:  # also at the end; what failed fails again, and is recorded, when its cells are run
            return None
        record = _extraction_record(cell, part, found, settings)
        try:
            store = Store(out)
            if not store.finished(record.key):
                store.save(record, {})
        except UserError as error:
            return error


def _extraction_record(cell: Cell, part: str, extracted: Extracted, settings: Settings) -> CellRecord:
    """What the features of one part of a cell's model cost when they were made, as a cell of the track "perf"."""
    own = replace(cell, track=PERF, model=part, mode=EXTRACTION, pointmap=NOT_APPLICABLE, seed=0)
    cost = extracted.cost
    return CellRecord(
        key=digest({"cell": asdict(own), "features": extracted.key, "device": cost.device}),
        cell=own,
        status="ok",
        weights=tracks.weights_of(own, settings.weights),
        marks=tracks.marks_of(replace(own, pointmap=NOT_APPLICABLE)),
        measurements=(
            Measurement("loading_seconds", cost.loading_seconds, unit="s", higher_is_better=False),
            Measurement("extraction_seconds", cost.extraction_seconds, unit="s", higher_is_better=False),
            Measurement("extraction_memory", cost.peak_memory_mb, unit="MB", higher_is_better=False),
        ),
        seconds=round(cost.loading_seconds + cost.extraction_seconds, 3),
        peak_memory_mb=round(cost.peak_memory_mb, 1),
        device=cost.device,
        provenance={**cost.provenance, "weights": tracks.weights_identities(own, settings)},
    )


def run_cell(cell: Cell, *, out: Path, settings: Settings) -> Report | UserError:
    """Run and store one cell. Never raises; an error in writing the result is returned, since then the run must stop."""
    try:
        store = Store(out)
        key = tracks.cell_key(cell, settings)
        weights = tracks.weights_of(cell, settings.weights)
        marks = tracks.marks_of(cell)
    except UserError as error:
        return error
    status: Status = "ok"
    message, outcome = "", tracks.Outcome((), {})
    tracks.forget_other_models(cell, settings)
    with measured(settings.device) as cost:
        try:
            outcome = tracks.run(cell, settings)
        except Unavailable as error:
            status, message = "unavailable", str(error)
        except UserError as error:
            status, message = "failed", str(error)
        except Exception as error:  # a model may raise anything; the cell says so and the rest goes on
            status, message = "failed", f"{type(error).__name__}: {error} ({_where(error)})"
    record = CellRecord(
        key=key,
        cell=cell,
        status=status,
        weights=weights,
        marks=marks,
        error=_shareable(message, settings),
        measurements=outcome.measurements,
        seconds=round(cost.seconds, 3),
        peak_memory_mb=round(cost.peak_memory_mb, 1),
        device=settings.device,
        provenance=_origin(cell, settings),
    )
    try:
        store.save(record, outcome.pictures)
    except UserError as error:
        return error
    return Report(cell, status, cost.seconds, message)


def _store_failure(cell: Cell, message: str, out: Path, settings: Settings) -> Report:
    """Record a cell whose process died under it."""
    record = CellRecord(
        key=tracks.cell_key(cell, settings),
        cell=cell,
        status="failed",
        weights=tracks.weights_of(cell, settings.weights),
        marks=tracks.marks_of(cell),
        error=message,
        device=settings.device,
        provenance=_origin(cell, settings),
    )
    Store(out).save(record, {})
    return Report(cell, "failed", float("nan"), message)


def _shareable(message: str, settings: Settings) -> str:
    """A message as rows hold it: rows are published, and say nothing of where this machine keeps its files."""
    places = {path: path.name for _, path in settings.checkpoints}
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (pathlib's raises where there is none)
    places |= {settings.cache.absolute(): "<cache>", home: "~"}
    places |= {} if settings.data_root is None else {settings.data_root.absolute(): "<data root>"}
    for place in sorted(places, key=lambda path: len(str(path)), reverse=True):
        if place.is_absolute() and len(place.parts) > 1:
            whole = rf"(?<![\w.~/-]){re.escape(str(place))}(?![\w-])"  # not a part of another path
            message = re.sub(whole, places[place].replace("\\", r"\\"), message)
    return message


def _origin(cell: Cell, settings: Settings) -> dict[str, Any]:
    return {**provenance(settings.device), "weights": tracks.weights_identities(cell, settings)}


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
