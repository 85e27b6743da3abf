"""Packs: the files of many finished cells in few, for network file systems that dislike small ones.

    DIR/packs/<digest>.zip    cells, each under the name of its file, byte by byte what the file held

A pack is written once and never changed. A cell that has a file of its own as well is read from that: packing was ended in
between, or the cell was stored anew. Only cells that ended well are packed; others are run again.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.machine.files import remove_strays, write_atomically
from bench.results.schema import KEY

PACKS = "packs"  #: the folder's subfolder of packs
SUFFIX = ".json"  #: of a cell's file
_DATE = (1980, 1, 1, 0, 0, 0)  #: of every entry: the same cells give the same pack
_OPEN = 32  #: packs that are kept open
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, KeyError, ValueError)


@dataclass(frozen=True)
class Packed:
    """A cell's file within a pack: its pack, and the name that it had."""

    pack: Path
    name: str

    def __str__(self) -> str:
        return f"{self.pack}/{self.name}"

    @property
    def stem(self) -> str:
        """The cell's key."""
        return self.name.removesuffix(SUFFIX)

    def is_file(self) -> bool:
        """True: packs are never changed."""
        return True


CellFile = Path | Packed  #: where a cell is stored


def size_of(file: CellFile) -> int:
    """Bytes that a cell's file holds, as far as its folder or its pack says. Raises OSError or ValueError."""
    return _information(file).file_size if isinstance(file, Packed) else file.stat().st_size


def bytes_of(file: CellFile) -> bytes:
    """What a cell's file holds, never more than `size_of`. Raises OSError, or ValueError for a damaged pack."""
    if not isinstance(file, Packed):
        return file.read_bytes()
    try:
        return _archive(*_state(file.pack)).read(_information(file))
    except _DAMAGED as error:
        raise ValueError(f"its pack is damaged: {error}") from error


def first_line_of(file: CellFile, most: int) -> bytes:
    """The first line of a cell's file, at most `most` bytes of it. Raises as `bytes_of`."""
    if isinstance(file, Packed):
        return io.BytesIO(bytes_of(file)).readline(most)
    with file.open("rb") as opened:
        return opened.readline(most)


def loose_files(folder: Path) -> list[Path]:
    """The cells of a folder that have files of their own, sorted by key; temporary files are not among them."""
    with os.scandir(folder / "cells") as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")]
    return [folder / "cells" / name for name in sorted(names)]


def pack_files(folder: Path) -> list[Path]:
    """The packs of a folder."""
    return sorted(path for path in (folder / PACKS).glob("*.zip") if not path.name.startswith("."))


def cells_of(pack: Path) -> tuple[Packed, ...]:
    """The cells of a pack. Raises UserError naming a file that is no pack of cells."""
    return _cells(*_state(pack))


def packed_files(folder: Path) -> Mapping[str, Packed]:
    """The cells in the packs of a folder, by key, those of a pack together. Raises as `cells_of`."""
    return _packed(tuple(map(_state, pack_files(folder))))


def cell_files(folder: Path) -> list[CellFile]:
    """The files of a folder's cells, one a key: those of their own sorted by key, then those in packs, pack by pack, as they
    are read fastest. Raises as `cells_of`."""
    loose = loose_files(folder)
    own = {path.stem for path in loose}
    return [*loose, *(each for key, each in packed_files(folder).items() if key not in own)]


def cell_file(folder: Path, key: str) -> CellFile:
    """Where a cell is stored; where it would be, a file that is not there, if it is not. Raises as `cells_of`."""
    own = cell_path(folder, key)
    return own if own.is_file() else packed_files(folder).get(key, own)


def cell_path(folder: Path, key: str) -> Path:
    """The file of its own that a cell is written to."""
    return folder / "cells" / f"{key}{SUFFIX}"


def write_packs(folder: Path, files: Sequence[Path], cells_a_pack: int) -> int:
    """Move the files of cells into packs, in their order; what has been moved before is not moved twice.

    Each pack is written, flushed to the disk, renamed and read again before the first of its files is removed.
    Whatever stops the process or the machine, at any instant, loses nothing.

    Args:
        folder: The results folder.
        files: Files of finished cells in it, which nobody changes any more.
        cells_a_pack: At most.

    Returns:
        How many packs were written.

    Raises:
        UserError: Where a pack cannot be written, or is not read as it was written.
    """
    remove_strays(folder / PACKS)
    packed = packed_files(folder)
    for path in files:
        if path.stem in packed and bytes_of(packed[path.stem]) == path.read_bytes():
            path.unlink()
    waiting = [path for path in files if path.stem not in packed]
    parts = [waiting[start : start + cells_a_pack] for start in range(0, len(waiting), cells_a_pack)]
    for part in parts:
        held = {path.name: path.read_bytes() for path in part}
        pack = folder / PACKS / f"{_digest(held.items())}.zip"
        write_atomically(pack, functools.partial(_write, held))
        _flush(pack.parent)
        if any(bytes_of(Packed(pack, name)) != content for name, content in held.items()):
            raise UserError(f"{pack} does not hold what was written to it; nothing was removed; look after the disk")
        for path in part:
            path.unlink()
    return len(parts)


def _write(held: dict[str, bytes], path: Path) -> None:
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in held.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Bring the names of a folder to the disk, where its file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def _digest(held: Iterable[tuple[str, bytes]]) -> str:
    whole = hashlib.sha256()
    for name, content in held:
        whole.update(name.encode() + hashlib.sha256(content).digest())
    return whole.hexdigest()


def _state(pack: Path) -> tuple[Path, int, int, int]:
    """What an open pack is known by: another process does not share its place in the file."""
    found = pack.lstat()
    return pack, found.st_size, found.st_mtime_ns, os.getpid()


@functools.lru_cache(maxsize=_OPEN)
def _archive(pack: Path, size: int, changed: int, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(pack)


@functools.lru_cache(maxsize=10_000)
def _cells(pack: Path, size: int, changed: int, process: int) -> tuple[Packed, ...]:
    if pack.is_symlink():
        raise UserError(f"{pack} is a link; a results folder holds its own files")
    try:
        names = _archive(pack, size, changed, process).namelist()
    except _DAMAGED as error:
        raise UserError(f"{pack} is no pack of cells ({error}); take it from a copy, or remove it and run again") from error
    if foreign := [name for name in names if not (name.endswith(SUFFIX) and KEY.fullmatch(name.removesuffix(SUFFIX)))]:
        raise UserError(
            f"{pack} holds {foreign[0][:80]!r}, which is no cell; take it from a copy, or remove it and run again"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{pack} holds a cell twice; take it from a copy, or remove it and run again")
    return tuple(Packed(pack, name) for name in names)


@functools.lru_cache(maxsize=4)
def _packed(packs: tuple[tuple[Path, int, int, int], ...]) -> Mapping[str, Packed]:
    return {each.stem: each for pack in packs for each in _cells(*pack)}


def _information(file: Packed) -> zipfile.ZipInfo:
    try:
        return _archive(*_state(file.pack)).getinfo(file.name)
    except _DAMAGED as error:
        raise ValueError(f"its pack is damaged: {error}") from error
