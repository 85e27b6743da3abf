"""What a worker process does with one cell: run it, say how it ended, store it. Nothing that a plug-in does gets past here
but the end of the process, which the engine tells."""

from __future__ import annotations

import logging
import math
import os
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.core.cells import Cell
from bench.core.errors import Unavailable, UserError
from bench.core.registry import find_datasets, load_plugin
from bench.core.residents import Residents
from bench.core.text import cut
from bench.core.track import Outcome, Settings
from bench.machine.provenance import Cost, measured, provenance
from bench.machine.state import seed_everything, state_kept
from bench.native.memory import keep_freed_memory
from bench.results.claims import Claims
from bench.results.record import CellRecord, Status
from bench.results.store import Store
from bench.run.engines.base import GivenUp
from bench.run.keys import (
    cell_key,
    initialiser_weights,
    marks_of,
    preparation_key,
    weights_identities,
    weights_of,
)
from bench.run.tracks import track_of

MOST_LETTERS = 2000  #: of an error message that is kept
_NOTHING = Outcome(())


@dataclass(frozen=True)
class Task:
    """A cell that is due, under the key that it was planned with, and the seconds that it may take."""

    cell: Cell
    key: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """How a cell ended, for the progress display."""

    cell: Cell
    status: Status
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """What a task gives that another run computes now."""

    key: str


def prepare_process(plugins: Sequence[str], data_root: Path | None, threads: int) -> None:
    """Make a worker ready for its first task: threads and plug-ins, whose import must not change another model's numbers."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    _log_to_console()
    with state_kept():
        for plugin in plugins:
            load_plugin(plugin)
    find_datasets(data_root)


def _log_to_console() -> None:
    """Show what plug-ins of the suite say of long work, on standard error, as it comes."""
    logger = logging.getLogger("registry")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


def prepare(task: Task, *, out: Path, settings: Settings, residents: Residents) -> Report | UserError | Elsewhere:
    """Make one preparation and store what it cost. Raises GivenUp alone; an error in writing is returned."""
    try:
        store, claims = Store(out), Claims(out)
        if not claims.take(task.key, task.seconds):
            return Elsewhere(task.key)
        try:
            record = _prepared(task.cell, settings, residents)
        except GivenUp:
            raise
        except BaseException as error:  # a model may raise anything; it concerns the cells that need this
            status, message = _ended(error)
            return Report(task.cell, status, math.nan, message)
        finally:
            claims.release(task.key)
        if not store.finished(record.key):
            store.save(record, {})
        return Report(task.cell, "ok", record.seconds)
    except UserError as error:
        return error


def run_cell(task: Task, *, out: Path, settings: Settings, residents: Residents) -> Report | UserError | Elsewhere:
    """Run and store one cell. Raises GivenUp alone, with nothing stored; an error in writing the result is returned, since
    then the run must stop."""
    try:
        store, claims = Store(out), Claims(out)
        if store.finished(task.key):  # by another run since this one was planned
            return Report(task.cell, "ok", 0.0)
        if not claims.take(task.key, task.seconds):
            return Elsewhere(task.key)
        try:
            return _run_and_store(task, store, settings, residents)
        finally:
            claims.release(task.key)
    except UserError as error:
        return error


def store_failure(task: Task, status: Status, message: str, out: Path, settings: Settings) -> Report:
    """Store a cell that could not be run, or whose process died under it."""
    Claims(out).release(task.key)
    Store(out).save(_record(task, status, message, settings), {})
    return Report(task.cell, status, math.nan, message)


def _run_and_store(task: Task, store: Store, settings: Settings, residents: Residents) -> Report:
    status: Status = "ok"
    message, outcome = "", _NOTHING
    with measured(settings.device) as cost:
        try:
            if cell_key(task.cell, settings) != task.key:
                raise UserError("its code, weights or data changed since the run began; run the same command again")
            seed_everything(task.cell.seed)
            outcome = track_of(task.cell).run(task.cell, settings, residents)
        except GivenUp:
            raise
        except BaseException as error:  # a model may raise anything; the cell says so and the rest goes on
            status, message = _ended(error)
    record = _record(task, status, message, settings, outcome, cost)
    store.save(record, outcome.pictures)
    return Report(task.cell, status, cost.seconds, message)


def _record(
    task: Task, status: Status, message: str, settings: Settings, outcome: Outcome = _NOTHING, cost: Cost | None = None
) -> CellRecord:
    cost = cost or Cost()
    return CellRecord(
        key=task.key,
        cell=task.cell,
        status=status,
        weights=weights_of(task.cell, settings.weights),
        marks=marks_of(task.cell),
        error=_shareable(message, settings),
        measurements=outcome.measurements,
        seconds=math.nan if settings.cells_per_gpu > 1 else round(cost.seconds, 3),
        peak_memory_mb=round(cost.peak_memory_mb, 1),
        device=settings.device,
        provenance={
            **provenance(settings.device),
            "weights": weights_identities(task.cell, settings),
            "pointmap_weights": initialiser_weights(task.cell, settings),
            "read_mb": None if math.isnan(cost.read_mb) else round(cost.read_mb, 1),
            **_packed(settings, cost.seconds),
        },
    )


def _packed(settings: Settings, seconds: float) -> dict[str, Any]:
    """What is kept of a cell's time where others ran on its GPU at the same time: it is no cost, so no row has it."""
    if settings.cells_per_gpu == 1:
        return {}
    return {"cells_per_gpu": settings.cells_per_gpu, "seconds_with_others": round(seconds, 3)}


def _prepared(cell: Cell, settings: Settings, residents: Residents) -> CellRecord:
    seed_everything(cell.seed)
    made = track_of(cell).prepare(cell, settings, residents)
    return CellRecord(
        key=preparation_key(cell, made.key, made.device),
        cell=cell,
        status="ok",
        weights=weights_of(cell, settings.weights),
        marks=marks_of(cell),
        measurements=made.measurements,
        seconds=round(made.seconds, 3),
        peak_memory_mb=round(made.peak_memory_mb, 1),
        device=made.device,
        provenance={**made.provenance, "weights": weights_identities(cell, settings)},
    )


def _ended(error: BaseException) -> tuple[Status, str]:
    """The status that an exception gives a cell, and what it says, however that is written."""
    try:
        said = str(error)
    except BaseException:
        said = "its message cannot be read"
    if isinstance(error, UserError):
        return "unavailable" if isinstance(error, Unavailable) else "failed", cut(said, MOST_LETTERS)
    where = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
    return "failed", cut(f"{type(error).__name__}: {said}", MOST_LETTERS) + place


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
