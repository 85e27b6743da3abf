"""Packs: the files of many finished cells in few, for network file systems that dislike small ones.

    DIR/packs/<digest>.zip    cells, each under the name of its file, byte by byte what the file held

A pack is written once and never changed. A cell that has a file of its own as well is read from that: packing was ended in
between, or the cell was stored anew. Only cells that ended well are packed; others are run again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.core.errors import UserError
from bench.machine.digests import joint_digest
from bench.machine.files import remove_strays, unreadable, write_atomically
from bench.results.schema import KEY

PACKS = "packs"  #: the folder's subfolder of packs
SUFFIX = ".json"  #: of a cell's file
MOST_BYTES = 64 * 2**20  #: of a cell's file: no more of one is read
_DATE = (1980, 1, 1, 0, 0, 0)  #: of every entry: the same cells give the same pack
_OPEN = 32  #: packs that are kept open
_ENCRYPTED = 0x1 | 0x40  #: the bits of an entry's flags that say so
#: What zipfile says of bytes that are no pack; NotImplementedError of one by a later version of the format. No OSError:
#: that a file cannot be read now says nothing of what it holds.
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, KeyError, ValueError, OverflowError)
_REMEDY = "take the pack from a copy, or remove it and run again what it held"


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


def bytes_of(file: CellFile) -> bytes:
    """What a cell's file holds. Raises OSError, or ValueError for a damaged pack and for more than MOST_BYTES."""
    with _opened(file) as content:
        found = content.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes; no cell has")
    return found


def first_line_of(file: CellFile, most: int) -> bytes:
    """The first line of a cell's file, at most `most` bytes of it. Raises OSError, or ValueError for a damaged pack."""
    with _opened(file) as content:
        return content.readline(most)


def remedy(file: CellFile) -> str:
    """What to do about a cell's file that is not as it must be: a pack holds other cells too."""
    return _REMEDY if isinstance(file, Packed) else "remove it and run again"


def holds_cells(folder: Path) -> bool:
    """True for a folder of cells, in files of their own or in packs: of an empty `cells` git, for one, keeps nothing."""
    return (folder / "cells").is_dir() or (folder / PACKS).is_dir()


def loose_files(folder: Path) -> list[Path]:
    """The cells of a folder that have files of their own, sorted by key; temporary files are not among them."""
    if not (folder / "cells").is_dir():
        return []
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

    Each pack is written, flushed to the disk, renamed and read again before the first of its files is removed. A process
    that is ended at any instant loses nothing, nor does a machine that stops, as far as its file system keeps what it was
    told to flush. A file that a pack holds otherwise, or holds damaged, stays.

    Args:
        folder: The results folder.
        files: Files of finished cells in it, which nobody changes any more.
        cells_a_pack: At most.

    Returns:
        How many packs were written.

    Raises:
        UserError: Where a file cannot be read or removed, or a pack cannot be written, or is not read as it was written.
    """
    try:
        remove_strays(folder / PACKS)
        packed = packed_files(folder)
        waiting = [path for path in files if path.stem not in packed]
        doubled = [path for path in files if path.stem in packed and _holds(packed[path.stem], path.read_bytes())]
        if doubled:  # whoever packed them was ended, perhaps before the names of the packs were on the disk
            _flush(folder)
        _remove(doubled)
        parts = [waiting[start : start + cells_a_pack] for start in range(0, len(waiting), cells_a_pack)]
        for part in parts:
            held = {path.name: path.read_bytes() for path in part}
            digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
            pack = folder / PACKS / f"{joint_digest(digests)}.zip"
            write_atomically(pack, functools.partial(_write, held))
            _flush(folder)
            if not all(_holds(Packed(pack, name), content) for name, content in held.items()):
                raise UserError(f"{pack} does not hold what was written to it; nothing was removed; look after the disk")
            _remove(part)
    except OSError as error:
        raise UserError(f"cannot pack {folder}: {error}; nothing is lost, pack again once that is mended") from error
    return len(parts)


def _holds(file: Packed, content: bytes) -> bool:
    try:
        return bytes_of(file) == content
    except ValueError:  # damaged
        return False


def _remove(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)  # another process may pack the same


def _write(held: dict[str, bytes], path: Path) -> None:
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in held.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Bring the names of a results folder's packs, and of the folder that they lie in, to the disk, where its file system
    can."""
    for place in (folder / PACKS, folder):
        with contextlib.suppress(OSError):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextlib.contextmanager
def _opened(file: CellFile) -> Iterator[IO[bytes]]:
    """A cell's file, open for reading, also where it was packed since it was found. Raises OSError, ValueError."""
    if isinstance(file, Path):
        try:
            content = file.open("rb")
        except FileNotFoundError:
            moved = packed_files(file.parent.parent).get(file.stem)
            if moved is None:
                raise
            file = moved
        else:
            with content:
                yield content
            return
    try:
        with _archive(*_state(file.pack)).open(file.name) as entry:
            yield entry
    except _DAMAGED as error:
        raise ValueError(f"its pack is damaged: {error}") from error


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
        entries = _archive(pack, size, changed, process).infolist()
    except OSError as error:
        raise unreadable(pack, error) from error
    except _DAMAGED as error:
        raise UserError(f"{pack} is no pack of cells ({error}); {_REMEDY}") from error
    if not all(0 <= entry.header_offset < size for entry in entries):
        raise UserError(f"{pack} is no pack of cells (its directory leads out of it); {_REMEDY}")
    names = [entry.filename for entry in entries]
    if foreign := [name for name in names if not (name.endswith(SUFFIX) and KEY.fullmatch(name.removesuffix(SUFFIX)))]:
        raise UserError(f"{pack} holds {foreign[0][:80]!r}, which is no cell; {_REMEDY}")
    if len(set(names)) < len(names):
        raise UserError(f"{pack} holds a cell twice; {_REMEDY}")
    if any(entry.compress_type != zipfile.ZIP_DEFLATED or entry.flag_bits & _ENCRYPTED for entry in entries):
        raise UserError(f"{pack} is encrypted, or not packed as `bench pack` does it (deflate); {_REMEDY}")
    return tuple(Packed(pack, name) for name in names)


@functools.lru_cache(maxsize=4)
def _packed(packs: tuple[tuple[Path, int, int, int], ...]) -> Mapping[str, Packed]:
    return {each.stem: each for pack in packs for each in _cells(*pack)}
