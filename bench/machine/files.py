"""Writing files so that a reader never sees half of one, and knowing what killed processes left behind."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.core.errors import UserError

#: Name of a temporary file: hidden, the host and process that write it, something random, the final suffix.
_STRAY = re.compile(r"\.(?P<host>[^~]*)~(?P<pid>\d+)~[^~]*")
_OLD_SECONDS = 3600.0  #: after which a temporary file of another machine, or of an older version of this suite, is a stray


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: the file appears whole or not at all.

    Raises:
        UserError: Naming the folder where it cannot be written to (read-only, full disk).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = temporary_file(path.parent, path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; choose another folder or free some space"
        ) from error


def unreadable(path: Path, error: OSError) -> UserError:
    """What to raise where a file that is there cannot be read (permissions, a disk, too many open files): whether it holds
    what it must is not known."""
    return UserError(f"{path}: cannot be read ({error.strerror or error})")


def temporary_file(folder: Path, suffix: str = "") -> tuple[int, str]:
    """Make a hidden file in a folder whose name says who writes it: an open handle, and its path. Raises OSError."""
    prefix = f".{socket.gethostname().replace('~', '-')}~{os.getpid()}~"
    return tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for a text file."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def strays(folder: Path) -> Iterator[Path]:
    """The temporary files in a folder that killed processes left behind; those of living writers are not among them."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.is_file(follow_symlinks=False) and _is_stray(entry):
                yield Path(entry.path)


def remove_strays(folder: Path) -> None:
    """Remove what killed processes left behind in a folder, where that may be done."""
    for path in strays(folder):
        with contextlib.suppress(OSError):
            path.unlink()


def is_alive(pid: int) -> bool:
    """True where a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's
        return True
    return True


def _is_stray(entry: os.DirEntry[str]) -> bool:
    named = _STRAY.fullmatch(entry.name)
    if named and named["host"] == socket.gethostname().replace("~", "-"):
        return not is_alive(int(named["pid"]))
    try:
        return time.time() - entry.stat().st_mtime > _OLD_SECONDS
    except OSError:
        return False


def check_writable(folder: Path) -> None:
    """Raises UserError where a folder cannot be made or written to, as far as that shows before anything is written."""
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UserError(f"cannot write to {folder}: {nearest} is a file; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to {folder}: {nearest} may not be written to; choose another folder")
