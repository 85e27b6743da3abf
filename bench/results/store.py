"""The result store: a folder of finished cells, one file each, addressed by what determined their numbers.

    DIR/cells/<key>.json         one finished cell: identity, status, rows, provenance
    DIR/pictures/<key>/*.png     its pictures, written before the cell's file
    DIR/rows.parquet, rows.csv   all rows, compacted from the cells

A file is written under a temporary name and renamed, so a run may be killed at any instant and several runs may share a
folder. A failed cell is stored with its error and tried again by the next run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from bench.core.cells import WHOLE_CELL, Cell, Marks, Measurement
from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.machine.files import write_atomically, write_text
from bench.results.migration import marks_of_version_1, migrated
from bench.results.schema import (
    CSV_OPTIONS,
    ROLES,
    ROW_COLUMNS,
    SCHEMA_VERSION,
    STARTS,
    STATUSES,
    TRACKS,
    WEIGHTS,
    as_rows,
    validate_rows,
)

Status = Literal["ok", "failed", "unavailable"]
ROWS_FILES = ("rows.parquet", "rows.csv")  #: all rows of a folder; the first is read where both are there


@dataclass(frozen=True)
class CellRecord:
    """A finished cell as it is stored."""

    key: str
    cell: Cell
    status: Status
    weights: str
    error: str = ""
    measurements: tuple[Measurement, ...] = ()
    pictures: tuple[str, ...] = ()
    seconds: float = math.nan
    peak_memory_mb: float = math.nan
    device: str = "cpu"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    marks: Marks = field(default_factory=Marks)


def digest(parts: Any) -> str:
    """sha256 of the canonical JSON of anything made of dicts, lists, strings and numbers."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def content_digest(stored: Mapping[str, Any]) -> str:
    """The digest that a cell's file carries of everything else in it."""
    return digest({name: value for name, value in stored.items() if name != "digest"})


class Store:
    """A folder of finished cells. Raises UserError where the folder cannot be written to."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        if create:
            write_text(folder / "cells" / ".writable", "")
            (folder / "cells" / ".writable").unlink(missing_ok=True)
        elif not (folder / "cells").is_dir():
            raise UserError(f"{folder} holds no results (there is no folder {folder / 'cells'})")

    def path(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"

    def finished(self, key: str) -> bool:
        """True where the cell is stored and did not fail; a failed or unavailable one is due again."""
        record = self.read(key)
        return record is not None and record.status == "ok"

    def read(self, key: str) -> CellRecord | None:
        """The stored cell, None where there is none. Raises UserError naming a file that is no cell."""
        path = self.path(key)
        return _parse(path) if path.is_file() else None

    def save(self, record: CellRecord, pictures: Mapping[str, Array]) -> None:
        """Store a finished cell: its pictures (H, W, 3) uint8 first, then its file."""
        from PIL import Image

        for name, picture in pictures.items():
            image = Image.fromarray(np.ascontiguousarray(picture))
            write_atomically(self.folder / "pictures" / record.key / f"{name}.png", image.save)
        stored = _without_nan(
            {
                **asdict(record),
                "pictures": sorted(pictures),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "schema": SCHEMA_VERSION,
            }
        )
        stored["digest"] = content_digest(stored)
        write_text(self.path(record.key), json.dumps(stored, indent=1, sort_keys=True))

    def records(self) -> list[CellRecord]:
        """All stored cells, the newest of each identity (an older one was run by older code or on older data)."""
        newest: dict[tuple[Cell, str], CellRecord] = {}
        for path in sorted((self.folder / "cells").glob("[0-9a-f]*.json")):
            record = _parse(path)
            held = newest.get((record.cell, record.weights))
            if held is None or record.finished >= held.finished:
                newest[record.cell, record.weights] = record
        return [newest[identity] for identity in sorted(newest)]

    def compact(self) -> pd.DataFrame:
        """Write rows.parquet and rows.csv from all stored cells and return the rows."""
        rows = rows_of(self.records())
        write_atomically(self.folder / "rows.parquet", lambda path: rows.to_parquet(path, index=False))
        write_atomically(self.folder / "rows.csv", lambda path: rows.to_csv(path, index=False))
        return rows


def rows_of(records: Iterable[CellRecord]) -> pd.DataFrame:
    """The tidy rows of cells, one a measurement; a cell without numbers gives one row with its status and error."""
    rows: list[dict[str, Any]] = []
    for record in records:
        shared = {
            **vars(record.cell),
            "weights": record.weights,
            **asdict(record.marks),
            "device": record.device,
            "seconds": record.seconds,
            "peak_memory_mb": record.peak_memory_mb,
            "key": record.key,
            "code_version": str(record.provenance.get("code_version", "")),
        }
        if record.status != "ok":
            gap = Measurement(WHOLE_CELL, math.nan)
            rows.append({**shared, **vars(gap), "status": record.status, "note": record.error})
            continue
        rows += [{**shared, **vars(measurement)} for measurement in record.measurements]
    return as_rows(pd.DataFrame(rows, columns=list(ROW_COLUMNS)))


def read_rows(folder: Path) -> pd.DataFrame:
    """The rows of a results folder: from its cells where it has them, else from rows.parquet or rows.csv.

    Raises UserError, naming the file, where the folder holds neither or where what they hold are no valid rows.
    """
    if (folder / "cells").is_dir():
        return rows_of(Store(folder, create=False).records())
    path = rows_file(folder)
    frame = migrated(read_table(path))
    if frame.empty:
        raise UserError(f"{path} holds no rows; run `bench run --out {folder}` first")
    problems = validate_rows(frame)
    if problems:
        more = f" (and {len(problems) - 1} more faults, which `bench verify` names)" if len(problems) > 1 else ""
        raise UserError(f"{path}: {problems[0]}{more}; take the file as `bench run` wrote it")
    return as_rows(frame)


def rows_file(folder: Path) -> Path:
    """rows.parquet of a folder, else its rows.csv. Raises UserError where there is neither."""
    for name in ROWS_FILES:
        if (folder / name).is_file():
            return folder / name
    if folder.is_file():
        raise UserError(f"{folder} is a file; name the results folder that it lies in")
    raise UserError(f"{folder} holds no results: neither cells/ nor {' nor '.join(ROWS_FILES)}")


def read_table(path: Path) -> pd.DataFrame:
    """What a .parquet or .csv file holds. Raises UserError, naming the file, where it cannot be read."""
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, **CSV_OPTIONS)
    except Exception as error:  # readers raise whatever their file formats bring
        raise UserError(f"{path}: it cannot be read ({type(error).__name__}: {str(error).strip()})") from error


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: it is stored as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def _parse(path: Path) -> CellRecord:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("it holds no object")
        version = stored.pop("schema", SCHEMA_VERSION)
        if version not in range(1, SCHEMA_VERSION + 1):
            raise ValueError(f"its row format is version {version}, this suite reads versions 1 to {SCHEMA_VERSION}")
        stored.pop("digest", None)
        measurements = tuple(
            Measurement(**{**row, "value": math.nan if row["value"] is None else row["value"]})
            for row in stored["measurements"]
        )
        numbers = {name: math.nan if stored[name] is None else stored[name] for name in ("seconds", "peak_memory_mb")}
        cell = Cell(**stored["cell"])
        stored["marks"] = (
            Marks(**stored["marks"]) if version > 1 else marks_of_version_1(cell.model, cell.pointmap, cell.protocol)
        )
        record = CellRecord(
            **{**stored, "cell": cell, "measurements": measurements, "pictures": tuple(stored["pictures"]), **numbers}
        )
        _check_words(record)
        return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a stored cell ({type(error).__name__}: {error}); remove it and run again") from error


def _check_words(record: CellRecord) -> None:
    """Raises ValueError, naming the field, where one of a closed vocabulary or a number holds something else."""
    choices: list[tuple[str, Any, tuple[Any, ...]]] = [
        ("track", record.cell.track, TRACKS),
        ("status", record.status, get_args(Status)),
        ("weights", record.weights, WEIGHTS),
        ("role", record.marks.role, ROLES),
        ("start", record.marks.start, STARTS),
        ("quick", record.marks.quick, (True, False)),
        *(("status of a measurement", each.status, STATUSES) for each in record.measurements),
    ]
    for name, value, allowed in choices:
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(map(str, allowed))}")
    numbers: list[tuple[str, Any]] = [(each.metric, each.value) for each in record.measurements]
    for name, value in [("seed", record.cell.seed), *numbers]:
        if isinstance(value, bool) or not isinstance(value, int if name == "seed" else int | float):
            raise ValueError(f"{name} is {value!r}, not a number")
