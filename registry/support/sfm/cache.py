"""Arrays that are kept on disk by the digest of what they are computed from."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.machine.files import write_atomically
from bench.machine.locations import cache_root
from bench.types import Array, UserError

FOLDER = "sfm"


def kept(key: str, compute: Callable[..., Mapping[str, Array]], *given: object) -> Mapping[str, Array]:
    """The named arrays stored under a key; where there are none, what `compute` makes of what is given. key: hexadecimal.

    A cache that cannot be written to, or holds a damaged file, costs time and nothing else.
    """
    path = cache_root() / FOLDER / key[:2] / f"{key}.npz"
    found = _read(path)
    if found is not None:
        return found
    arrays = compute(*given)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    with contextlib.suppress(UserError):
        write_atomically(path, write)
    return arrays


def _read(path: Path) -> dict[str, Array] | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
