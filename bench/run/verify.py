"""Whether a results folder can be trusted: what its files say (bench.results.check), and a sample of cells computed anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np

from bench.core.cells import NOT_APPLICABLE, Measurement, Weights
from bench.core.errors import UserError
from bench.core.interfaces import Model
from bench.core.lookup import model_classes
from bench.core.registry import pointmaps
from bench.core.residents import Residents
from bench.core.track import Settings
from bench.machine.provenance import provenance
from bench.machine.weights import fetch
from bench.results.check import check_folder
from bench.results.confirmed import Confirmation, confirmation, is_other_machine
from bench.results.record import CellRecord, Head, file_and_digest
from bench.results.store import Store
from bench.run import keys, tracks

#: A recomputed value may differ by this share of the stored one, or by ABSOLUTE. The same machine gives the same numbers;
#: other processors round otherwise, and hundreds of optimisation steps carry that on.
RELATIVE = 0.01
ABSOLUTE = 1e-4
_MOST = 5  #: problems of one kind that are named one by one


@dataclass(frozen=True)
class Verdict:
    """What a verification found. problems: why the results cannot be trusted; remarks: what could not be checked; confirmed:
    the cells that came out alike on this machine, which is another one than theirs."""

    cells: int
    rows: int
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    recomputed: int = 0
    confirmed: tuple[Confirmation, ...] = ()


def verify(folder: Path, recompute: int = 0, settings: Settings | None = None) -> Verdict:
    """Check a results folder (bench.results.check), and compute a sample of its cells anew.

    Args:
        folder: The results folder.
        recompute: So many finished cells, spread evenly over the keys, are run anew and compared.
        settings: What they are run with.

    Raises:
        UserError: Where the folder holds no results.
    """
    checked = check_folder(folder)
    again = Verdict(0, 0)
    if recompute and settings is not None and checked.finished:
        again = _recompute(folder, checked.finished, recompute, settings)
    return Verdict(
        checked.cells,
        checked.rows,
        (*checked.problems, *again.problems),
        (*checked.remarks, *again.remarks),
        again.recomputed,
        again.confirmed,
    )


# -------------------------------------------------------------------------------------------------------- recomputation


def _recompute(folder: Path, finished: Sequence[Head], count: int, settings: Settings) -> Verdict:
    """Run `count` finished cells anew, each with the weights and the device that it names, and compare every value."""
    store = Store(folder, create=False)
    by_key = sorted(finished, key=lambda head: head.key)
    chosen = [by_key[round(place)] for place in np.linspace(0, len(by_key) - 1, min(count, len(by_key)))]
    problems, remarks, confirmed, done = [], [], [], 0
    for head in chosen:
        record, content = file_and_digest(store.file(head.key))
        own = replace(settings, weights=cast(Weights, record.weights), device=record.device)
        try:
            if lack := other_weights(record, own):
                remarks.append(f"{record.cell.label} could not be computed anew: {lack}")
                continue
            if keys.cell_key(record.cell, own) != record.key:
                remarks.append(f"{record.cell.label}: another version of the code, model or data (the key differs)")
            outcome = tracks.track_of(record.cell).run(record.cell, own, Residents())
        except Exception as error:  # a model may raise anything
            remarks.append(f"{record.cell.label} could not be computed anew: {type(error).__name__}: {error}")
            continue
        done += 1
        off = _off(record.measurements, outcome.measurements)
        problems += [f"{record.cell.label} ({record.key[:12]}): {text}" for text in off]
        here = provenance(own.device)
        if not off and is_other_machine(record, here):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            confirmed.append(confirmation(record, content, here, now))
    return Verdict(0, 0, tuple(problems), tuple(remarks), done, tuple(confirmed))


def other_weights(record: CellRecord, settings: Settings) -> str:
    """Which weights a cell was run with that `settings` does not give, and what to do; "" where they are the same ones.

    Weights are known by their content (bench.machine.weights.identity), wherever they lie: a cell says no path. Those of the
    publisher are fetched where they are not here. A cell of an older version that says nothing of its weights has "".
    """
    told = record.provenance.get("weights", {})
    for name, cls in model_classes(record.cell):
        absent = _lacking(cls, name, settings) if settings.weights == "pretrained" else ""
        here = keys.weights_identities(record.cell, settings)[name]
        if (stored := told.get(name, here)) != here:
            return _others(name, stored, here, absent)
    if "pointmap_weights" in record.provenance and record.cell.pointmap != NOT_APPLICABLE:
        name, stored = record.cell.pointmap, record.provenance["pointmap_weights"]
        absent = _lacking(pointmaps[name], name, settings)
        if stored != (here := keys.initialiser_weights(record.cell, settings)):
            return _others(name, stored, here, absent)
    return ""


def _lacking(cls: type[Model], name: str, settings: Settings) -> str:
    """Fetch a model's weights where they are not here. What cannot be had, and why, in brackets; "" where all is here."""
    if settings.checkpoint(name) is None:
        try:
            fetch(cls, name)
        except UserError as error:
            return f" ({error})"
    return ""


def _others(name: str, stored: object, here: str, absent: str) -> str:
    return (
        f"it was run with other weights of {name} than are here: {stored or 'unknown ones'}, not {here or 'unknown ones'}"
        f"{absent}; give the file or folder that it was run with by --checkpoint {name}=PATH"
    )


def _off(stored: Sequence[Measurement], anew: Sequence[Measurement]) -> list[str]:
    """The stored values that a recomputation does not give."""
    old, new = (_by_place(measurements) for measurements in (stored, anew))
    found = []
    for place, measurement in old.items():
        again = new.get(place)
        name = " ".join(part for part in place if part != "-")
        if again is None:
            found.append(f"{name} is stored but is not measured any more")
        elif again.status != measurement.status:
            found.append(f"{name} is stored as {measurement.status} but is {again.status} now")
        elif measurement.status == "ok" and not _close(measurement.value, again.value):
            found.append(f"{name} is stored as {measurement.value:.6g} but is {again.value:.6g} now")
    return [*found[:_MOST], *([f"and {len(found) - _MOST} more values"] if len(found) > _MOST else [])]


def _by_place(measurements: Iterable[Measurement]) -> Mapping[tuple[str, str, str], Measurement]:
    return {(each.metric, each.view, each.alignment): each for each in measurements}


def _close(stored: float, anew: float) -> bool:
    return math.isclose(stored, anew, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
