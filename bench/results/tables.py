"""The tables of a results folder, rows.parquet and rows.csv: written from the cells, read in their place.

rows.parquet says in its metadata what it was written from. As long as that is what the folder holds, a reader of all rows
takes the table and opens no cell: a report of 100,000 cells reads one file. Else the cells are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.cells import NO_MODEL
from bench.core.errors import UserError
from bench.machine.files import write_atomically
from bench.results.migration import migrated
from bench.results.record import MOST_NAME, has_control
from bench.results.schema import CHOICES, CSV_OPTIONS, DIGEST, DIGESTS, KEY, ROW_COLUMNS

ROWS_FILES = ("rows.parquet", "rows.csv")  #: all rows of a folder; the first is read where both are there
_ROWS_AT_A_TIME = 20_000  #: of a .csv file
_ABOUT = b"vfm3d-bench"  #: the field of the metadata
#: Text that few rows have words of their own in: millions of rows hold it once, and its place.
_REPEATED = [name for name, dtype in ROW_COLUMNS.items() if dtype == "str" and name not in ("status", "note", "unit")]


@dataclass(frozen=True)
class About:
    """What rows.parquet says of itself.

    Attributes:
        source: The digest of what it was written from (`bench.results.store.Store.state`).
        machines: The names of the devices that the cells ran on.
        remarks: What a reader should know of stored cells that are not among the rows.
    """

    source: str
    machines: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass
class Chunk:
    """The rows of some cells, and the devices that they ran on."""

    rows: pd.DataFrame
    machines: set[str] = field(default_factory=set)


def arrow_schema() -> Any:
    """The columns of rows as Arrow types."""
    import pyarrow as pa

    types = {"str": pa.large_string(), "Int64": pa.int64(), "float64": pa.float64(), "boolean": pa.bool_()}
    return pa.schema([(name, types[dtype]) for name, dtype in ROW_COLUMNS.items()])


def write_tables(folder: Path, chunks: Iterable[Chunk], empty: pd.DataFrame, source: str, remarks: tuple[str, ...]) -> int:
    """Write rows.parquet and rows.csv, a row group a chunk.

    Args:
        folder: The results folder.
        chunks: The rows, some cells at a time.
        empty: Rows without any.
        source, remarks: What the table says of itself, see `About`.

    Returns:
        The number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0

    def write(parquet: Path, csv: Path) -> None:
        nonlocal count
        machines: set[str] = set()
        schema = pa.Table.from_pandas(empty, schema=arrow_schema(), preserve_index=False).schema
        with (
            pq.ParquetWriter(parquet, schema, write_page_checksum=True) as writer,
            csv.open("w", encoding="utf-8", newline="") as text,
        ):
            empty.to_csv(text, index=False)
            for chunk in chunks:
                writer.write_table(pa.Table.from_pandas(chunk.rows, schema=schema, preserve_index=False))
                chunk.rows.to_csv(text, index=False, header=False)
                count += len(chunk.rows)
                machines |= chunk.machines
            about = About(source, tuple(sorted(machines)), remarks)
            writer.add_key_value_metadata({_ABOUT: json.dumps(asdict(about)).encode()})

    parquet, csv = (folder / name for name in ROWS_FILES)
    write_atomically(csv, lambda text: write_atomically(parquet, lambda table: write(table, text)))
    return count


def table_of(folder: Path, source: str) -> tuple[Any, About] | None:
    """The rows of rows.parquet as an Arrow table with repeated text held once, and what it says of itself.

    None where there is none, where it was written from anything but `source`, or where it holds what no cell could.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / ROWS_FILES[0]
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with pq.ParquetFile(path, read_dictionary=_REPEATED, page_checksum_verification=True) as file:
            about = _about((file.metadata.metadata or {}).get(_ABOUT, b"{}"))
            if about is None or about.source != source:
                return None
            groups = [with_text_once(file.read_row_group(number)) for number in range(file.num_row_groups)]
            table = pa.concat_tables(groups or [with_text_once(file.read())])
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return None
    return (table, about) if _as_cells_have_it(table) else None


def _about(text: bytes) -> About | None:
    try:
        said = json.loads(text)
        about = About(str(said["source"]), tuple(map(str, said["machines"])), tuple(map(str, said["remarks"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if any(map(has_control, (*about.machines, *about.remarks))) else about


def with_text_once(table: Any) -> Any:
    """An Arrow table of rows whose repeated text is held once, each row with its place."""
    import pyarrow as pa

    schema = arrow_schema()
    place = pa.dictionary(pa.int32(), pa.large_string())
    for number, name in enumerate(schema.names):
        if name in _REPEATED:
            schema = schema.set(number, schema.field(name).with_type(place))
    return table.select(schema.names).replace_schema_metadata(None).cast(schema)


def _as_cells_have_it(table: Any) -> bool:
    """True where the text of a table is such as a cell may hold: anybody may have written it."""
    for name in _REPEATED:
        for words in (chunk.dictionary for chunk in table.column(name).unify_dictionaries().chunks[:1]):
            found = words.to_pylist()
            allowed = CHOICES.get(name)
            if allowed is not None and not set(found) <= set(allowed):
                return False
            if any(word is None or len(word) > MOST_NAME or has_control(word) for word in found):
                return False
            if name == "key" and not all(map(KEY.fullmatch, found)):
                return False
            if name in DIGESTS and not all(map(DIGEST.fullmatch, found)):
                return False
            if name == "model" and NO_MODEL in found:  # of a version that did not name InstantSplat
                return False
    return True


def to_frame(tables: Iterable[Any]) -> pd.DataFrame:
    """Arrow tables of rows (`with_text_once`) below each other as one data frame.

    Returns:
        The columns of rows; repeated text as categories in the order of the alphabet, which takes a fifth of the memory.
    """
    import pyarrow as pa

    parts = list(tables) or [with_text_once(arrow_schema().empty_table())]
    table = pa.concat_tables(parts).unify_dictionaries()
    parts.clear()
    numbers = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame = table.to_pandas(types_mapper=numbers.get, self_destruct=True, split_blocks=True)
    del table
    pa.default_memory_pool().release_unused()
    for name in _REPEATED:
        column = frame[name].cat
        frame[name] = column.reorder_categories(sorted(column.categories))
    return frame


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
