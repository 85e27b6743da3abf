"""The result store: a folder of finished cells, one file each, addressed by what determined their numbers.

    DIR/cells/<key>.json         one finished cell: identity, status, rows, provenance (bench.results.record)
    DIR/packs/*.zip              finished cells whose files were packed (bench.results.packs)
    DIR/pictures/<key>/*.png     its pictures, written before the cell's file
    DIR/planned/*.json           which keys the rows are of (bench.results.planned)
    DIR/claims/<key>             who computes a cell now (bench.results.claims)
    DIR/rows.parquet, rows.csv   the rows of the chosen cells, compacted from their files

A file is written under a temporary name and renamed, so a run may be killed at any instant and several runs may share a
folder. A failed cell is stored with its error and tried again by the next run.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.cells import PERF, WHOLE_CELL, Measurement
from bench.core.errors import UserError
from bench.core.scenes import Array
from bench.core.text import counted
from bench.machine.digests import json_digest
from bench.machine.files import remove_strays, write_atomically, write_text
from bench.results import planned
from bench.results.claims import Claims
from bench.results.packs import (
    PACKS,
    CellFile,
    cell_file,
    cell_files,
    cell_path,
    holds_cells,
    loose_files,
    pack_files,
    packed_files,
    write_packs,
)
from bench.results.pictures import picture_digest, picture_path
from bench.results.planned import Chosen, Identity
from bench.results.record import CellRecord, Head, from_file, head_of, to_text
from bench.results.schema import ROW_COLUMNS, SCHEMA_VERSION, as_rows, validate_rows
from bench.results.tables import Chunk, arrow_schema, read_table, rows_file, table_of, to_frame, with_text_once, write_tables

CHUNK = 500  #: cells whose rows are in memory at a time; a row group of rows.parquet
CELLS_A_PACK = 1000
_MOST_ROUNDS = 5  #: of compaction, while others go on storing


@dataclass(frozen=True)
class Held:
    """All that a report needs of a folder's cells.

    Attributes:
        rows: An Arrow table of their rows with repeated text held once (bench.results.tables.to_frame).
        machines: The names of the devices that they ran on.
        remarks: What a reader should know of stored cells that are not among them.
    """

    rows: Any
    machines: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Packing:
    """What packing a folder has come to.

    Attributes:
        written: Packs that are new.
        packed: Cells that are in packs now.
        unfinished: Cells that did not end well; they keep files of their own.
        differing: Finished cells that a pack holds with another content; their files are the ones that are read.
    """

    written: int
    packed: int
    unfinished: int
    differing: int


class Store:
    """A folder of finished cells. Raises UserError where the folder cannot be written to."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        if create:
            write_text(folder / "cells" / ".writable", "")
            (folder / "cells" / ".writable").unlink(missing_ok=True)
        elif not holds_cells(folder):
            raise UserError(f"{folder} holds no results (there is neither a folder {folder / 'cells'} nor one of packs)")

    # ------------------------------------------------------------------------------------------------------ one cell

    def path(self, key: str) -> Path:
        """The file that a cell is written to."""
        return cell_path(self.folder, key)

    def file(self, key: str) -> CellFile:
        """Where a cell is stored; a file that is not there where it is not."""
        return cell_file(self.folder, key)

    def finished(self, key: str) -> bool:
        """True where the cell is stored and did not fail; a failed or unavailable one is due again."""
        found = self.file(key)
        return found.is_file() and head_of(found).status == "ok"

    def read(self, key: str) -> CellRecord | None:
        """The stored cell, None where there is none. Raises UserError naming a file that is no cell."""
        found = self.file(key)
        return from_file(found) if found.is_file() else None

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
        for folder in (self.folder, self.folder / "cells", self.folder / planned.PLANS, self.folder / PACKS):
            remove_strays(folder)
        planned.write_plan(self.folder, keys)

    def finished_among(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are stored and did not fail."""
        there = {file.stem: file for file in cell_files(self.folder)}
        return {key for key in keys if key in there and head_of(there[key]).status == "ok"}

    def chosen(self) -> Chosen:
        """The cells that the folder's rows are of, and what else is stored."""
        return planned.choose(map(head_of, cell_files(self.folder)), planned.planned_keys(self.folder))

    def records(self) -> Iterator[CellRecord]:
        """The cells that the folder's rows are of, one of each identity, sorted by it; read one by one."""
        return self.records_of(self.chosen().heads)

    def records_of(self, heads: Iterable[Head]) -> Iterator[CellRecord]:
        """Stored cells, read one by one."""
        packed = packed_files(self.folder)
        own = ((head.key, self.path(head.key)) for head in heads)
        return (from_file(path if path.is_file() else packed.get(key, path)) for key, path in own)

    def pack(self) -> Packing:
        """Move the files of finished cells into packs (bench.results.packs) and write the tables anew.

        Cells of one data set and scene lie together, since they are read together.

        Raises:
            UserError: Where cells are being computed, or what `write_packs` raises.
        """
        if held := Claims(self.folder).held():
            raise UserError(f"{self.folder}: a run writes into it ({counted(len(held), 'cell')} in hand); pack it later")
        heads = {path: head_of(path) for path in loose_files(self.folder)}
        finished = [path for path, head in heads.items() if head.status == "ok"]
        written = write_packs(self.folder, sorted(finished, key=lambda path: heads[path].identity), CELLS_A_PACK)
        self.compact()
        differing = sum(path.is_file() for path in finished)
        return Packing(written, len(packed_files(self.folder)), len(heads) - len(finished), differing)

    def compact(self) -> int:
        """Write rows.parquet and rows.csv from the stored cells, some cells at a time; returns the number of rows.

        What other writers store meanwhile is taken up too, so that of several that end together none leaves rows out. One
        that goes on storing will compact at its own end.
        """
        rows = 0
        for _ in range(_MOST_ROUNDS):
            before, chosen = self.state(), self.chosen()
            rows = write_tables(self.folder, self._chunks(chosen.heads), rows_of(()), before, chosen.remarks)
            if self.state() == before:
                break
        return rows

    def held(self) -> Held:
        """The rows of the folder: from rows.parquet where it was written from what the folder holds, else from the cells."""
        import pyarrow as pa

        if found := table_of(self.folder, self.state()):
            table, about = found
            return Held(table, about.machines, about.remarks)
        chosen = self.chosen()
        parts, machines = [], set()
        for chunk in self._chunks(chosen.heads):
            parts.append(with_text_once(pa.Table.from_pandas(chunk.rows, schema=arrow_schema(), preserve_index=False)))
            machines |= chunk.machines
        whole = pa.concat_tables(parts) if parts else with_text_once(arrow_schema().empty_table())
        return Held(whole, tuple(sorted(machines)), chosen.remarks)

    def state(self) -> str:
        """A digest of what compaction reads, as far as a change of it shows: names, sizes and times of cells and plans."""
        found: list[Any] = [SCHEMA_VERSION]
        for path in (*loose_files(self.folder), *pack_files(self.folder), *planned.plan_files(self.folder)):
            with contextlib.suppress(FileNotFoundError):  # packed since it was listed
                stat = path.lstat()
                found.append([path.name, stat.st_size, stat.st_mtime_ns])
        return json_digest(found)

    def row_chunks(self, heads: Sequence[Head]) -> Iterator[pd.DataFrame]:
        """The rows of cells, CHUNK cells at a time, in the order of `heads`."""
        return (chunk.rows for chunk in self._chunks(heads))

    def _chunks(self, heads: Sequence[Head]) -> Iterator[Chunk]:
        for start in range(0, len(heads), CHUNK):
            records = list(self.records_of(heads[start : start + CHUNK]))
            machines = {str(record.provenance.get("device_name", "")) for record in records if record.cell.track != PERF}
            yield Chunk(rows_of(records), machines - {""})


def rows_of(records: Iterable[CellRecord]) -> pd.DataFrame:
    """The tidy rows of cells, one a measurement; a cell without numbers gives one row with its status and error."""
    rows: list[dict[str, Any]] = []
    for record in records:
        shared = {
            **vars(record.cell),
            "model": record.cell.model_in_rows,
            "weights": record.weights,
            "weights_digest": record.weights_digest,
            "pointmap_digest": record.pointmap_digest,
            **asdict(record.marks),
            "device": record.device,
            "seconds": record.seconds,
            "peak_memory_mb": record.peak_memory_mb,
            "read_mb": record.read_mb,
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
    if holds_cells(folder):
        return as_rows(to_frame([Store(folder, create=False).held().rows]))
    path = rows_file(folder)
    frame = read_table(path)
    if frame.empty:
        raise UserError(f"{path} holds no rows; run `bench run --out {folder}` first")
    problems = validate_rows(frame)
    if problems:
        more = f" (and {len(problems) - 1} more faults, which `bench verify` names)" if len(problems) > 1 else ""
        raise UserError(f"{path}: {problems[0]}{more}; take the file as `bench run` wrote it")
    return as_rows(frame)


def stored_rows(folder: Path) -> pd.DataFrame:
    """The rows of a results folder; none where nothing is stored there yet. Raises as `read_rows`."""
    return read_rows(folder) if holds_cells(folder) else rows_of(())
