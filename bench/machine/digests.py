"""Digests of files and folders: sha256 of what was read, computed once a machine as long as a file stays as it is."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.machine.locations import cache_root

LARGE = 2**25  #: bytes from which on a digest is kept on disk: below, reading the file anew costs nothing


def digest(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal.

    It is known by the file's path, size and time of change: in this process, and of a large file in the cache folder, so
    that a network of gigabytes is read once a machine and not once a process.
    """
    state = path.stat()
    return _digest(path.resolve(), state.st_size, state.st_mtime_ns)


def json_digest(parts: Any) -> str:
    """sha256 of the canonical JSON (names sorted, as Python's json writes it) of dicts, lists, strings and numbers; of
    anything else in them, of what it is as text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def joint_digest(digests: Mapping[str, str]) -> str:
    """One sha256 for several contents: the `json_digest` of name -> sha256."""
    return json_digest(dict(digests))


def folder_digest(folder: Path) -> str:
    """The joint digest of all files of a folder by their paths in it, since which of them a library reads is its own affair.

    Hidden ones (a downloader's records, a file manager's) are left out. Links are followed, but not to a folder above.
    """
    found = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent).absolute()
        above = {path.resolve() for path in (here, *here.parents)}
        folders[:] = [name for name in folders if name[0] != "." and (here / name).resolve() not in above]
        files = [Path(parent) / name for name in names if name[0] != "."]
        found.update({file.relative_to(folder).as_posix(): digest(file) for file in files if file.is_file()})
    return joint_digest(found)


@functools.cache
def _digest(path: Path, size: int, modified: int) -> str:
    if size < LARGE:
        return _read(path)
    kept = cache_root() / "digests" / hashlib.sha256(os.fsencode(path)).hexdigest()
    state = f"{size} {modified} "
    with contextlib.suppress(OSError, ValueError):
        text = kept.read_text(encoding="ascii")
        if text.startswith(state) and len(text) == len(state) + 64:
            return text.removeprefix(state)
    found = _read(path)
    with contextlib.suppress(UserError):  # a cache that cannot be written to costs time, nothing else
        write_text(kept, state + found)
    return found


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
