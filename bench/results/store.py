"""The result store: a folder of finished cells, one file each, addressed by what determined their numbers.

    DIR/cells/<key>.json         one finished cell: identity, status, rows, provenance (bench.results.record)
    DIR/pictures/<key>/*.png     its pictures, written before the cell's file
    DIR/planned/*.json           which keys the rows are of (bench.results.planned)
    DIR/claims/<key>             who computes a cell now (bench.results.claims)
    DIR/rows.parquet, rows.csv   the rows of the chosen cells, compacted from their files

A file is written under a temporary name and renamed, so a run may be killed at any instant and several runs may share a
folder. A failed cell is stored with its error and tried again by the next run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.cells import WHOLE_CELL, Measurement
from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.machine.files import remove_strays, write_atomically, write_text
from bench.results import planned
from bench.results.migration import migrated
from bench.results.pictures import picture_digest, picture_path
from bench.results.planned import Chosen, Identity
from bench.results.record import CellRecord, Head, from_file, head_of, to_text
from bench.results.schema import CSV_OPTIONS, ROW_COLUMNS, as_rows, validate_rows

ROWS_FILES = ("rows.parquet", "rows.csv")  #: all rows of a folder; the first is read where both are there
CHUNK = 500  #: cells whose rows are in memory at a time; a row group of rows.parquet
_ROWS_AT_A_TIME = 20_000  #: of a .csv file
_MOST_ROUNDS = 5  #: of compaction, while others go on storing


def _arrow_schema() -> Any:
    import pyarrow as pa

    types = {"str": pa.large_string(), "Int64": pa.int64(), "float64": pa.float64(), "boolean": pa.bool_()}
    return pa.schema([(name, types[dtype]) for name, dtype in ROW_COLUMNS.items()])


class Store:
    """A folder of finished cells. Raises UserError where the folder cannot be written to."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        if create:
            write_text(folder / "cells" / ".writable", "")
            (folder / "cells" / ".writable").unlink(missing_ok=True)
        elif not (folder / "cells").is_dir():
            raise UserError(f"{folder} holds no results (there is no folder {folder / 'cells'})")

    # ------------------------------------------------------------------------------------------------------ one cell

    def path(self, key: str) -> Path:
        """The file of a cell."""
        return self.folder / "cells" / f"{key}.json"

    def finished(self, key: str) -> bool:
        """True where the cell is stored and did not fail; a failed or unavailable one is due again."""
        path = self.path(key)
        return path.is_file() and head_of(path).status == "ok"

    def read(self, key: str) -> CellRecord | None:
        """The stored cell, None where there is none. Raises UserError naming a file that is no cell."""
        path = self.path(key)
        return from_file(path) if path.is_file() else None

    def save(self, record: CellRecord, pictures: Mapping[str, Array]) -> None:
        """Store a finished cell: its pictures (H, W, 3) uint8 first, then its file."""
        from PIL import Image

        own = self.folder / "pictures" / record.key
        remove_strays(own)
        digests = {}
        for name, picture in pictures.items():
            path = picture_path(self.folder, record.key, name)
            image = Image.fromarray(np.ascontiguousarray(picture))
            write_atomically(path, image.save)
            digests[name] = picture_digest(path)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        stored = replace(record, pictures=tuple(sorted(pictures)), picture_digests=digests, finished=finished)
        write_text(self.path(record.key), to_text(stored))

    # ----------------------------------------------------------------------------------------------------- all cells

    def plan(self, keys: Mapping[Identity, str]) -> None:
        """Take down the keys that a run asks for: from now on the folder's rows are of these (bench.results.planned). What
        killed processes left behind is removed."""
        for folder in (self.folder, self.folder / "cells", self.folder / planned.PLANS):
            remove_strays(folder)
        planned.write_plan(self.folder, keys)

    def finished_among(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are stored and did not fail."""
        there = {path.stem for path in cell_files(self.folder)}
        return {key for key in keys if key in there and head_of(self.path(key)).status == "ok"}

    def chosen(self) -> Chosen:
        """The cells that the folder's rows are of, and what else is stored."""
        return planned.choose(map(head_of, cell_files(self.folder)), planned.planned_keys(self.folder))

    def records(self) -> Iterator[CellRecord]:
        """The cells that the folder's rows are of, one of each identity, sorted by it; read one by one."""
        return self.records_of(self.chosen().heads)

    def records_of(self, heads: Iterable[Head]) -> Iterator[CellRecord]:
        """Stored cells, read one by one."""
        return (from_file(self.path(head.key)) for head in heads)

    def compact(self) -> int:
        """Write rows.parquet and rows.csv from the stored cells, some cells at a time; returns the number of rows.

        What other writers store meanwhile is taken up too, so that of several that end together none leaves rows out. One
        that goes on storing will compact at its own end.
        """
        rows = 0
        for _ in range(_MOST_ROUNDS):
            before = _listing(self.folder)
            rows = self._write_rows(self.chosen().heads)
            if _listing(self.folder) == before:
                break
        return rows

    def row_chunks(self, heads: Sequence[Head]) -> Iterator[pd.DataFrame]:
        """The rows of cells, CHUNK cells at a time, in the order of `heads`."""
        for start in range(0, len(heads), CHUNK):
            yield rows_of(from_file(self.path(head.key)) for head in heads[start : start + CHUNK])

    def _write_rows(self, heads: Sequence[Head]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        count = 0

        def write(parquet: Path, csv: Path) -> None:
            nonlocal count
            count = 0
            empty = rows_of(())
            schema = pa.Table.from_pandas(empty, schema=_arrow_schema(), preserve_index=False).schema
            with pq.ParquetWriter(parquet, schema) as writer, csv.open("w", encoding="utf-8", newline="") as text:
                empty.to_csv(text, index=False)
                for rows in self.row_chunks(heads):
                    writer.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False))
                    rows.to_csv(text, index=False, header=False)
                    count += len(rows)

        parquet, csv = (self.folder / name for name in ROWS_FILES)
        write_atomically(csv, lambda text: write_atomically(parquet, lambda table: write(table, text)))
        return count


def cell_files(folder: Path) -> list[Path]:
    """The files of a folder's cells, sorted by key; temporary files are not among them."""
    with os.scandir(folder / "cells") as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".json") and not entry.name.startswith(".")]
    return [folder / "cells" / name for name in sorted(names)]


def _listing(folder: Path) -> dict[str, int]:
    """What compaction reads, as far as a change of it shows."""
    return {path.name: path.stat().st_mtime_ns for path in (*cell_files(folder), *planned.plan_files(folder))}


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
        store = Store(folder, create=False)
        chunks = list(store.row_chunks(store.chosen().heads))
        return pd.concat(chunks, ignore_index=True) if chunks else rows_of(())
    path = rows_file(folder)
    frame = read_table(path)
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
    return pd.concat(table_chunks(path), ignore_index=True)


def table_chunks(path: Path) -> Iterator[pd.DataFrame]:
    """What a .parquet or .csv file holds, some rows at a time, at least one chunk. Raises as `read_table`."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    yield migrated(file.read_row_group(number).to_pandas())
                if not file.num_row_groups:
                    yield migrated(file.read().to_pandas())
        else:
            yield from map(migrated, pd.read_csv(path, chunksize=_ROWS_AT_A_TIME, **CSV_OPTIONS))
    except Exception as error:  # readers raise whatever their file formats bring
        raise UserError(f"{path}: it cannot be read ({type(error).__name__}: {str(error).strip()})") from error
