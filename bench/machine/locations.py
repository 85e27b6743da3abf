"""Where data sets and caches lie on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.core.errors import UserError


def user_folder(kind: str) -> Path:
    """The per-user folder for "cache" or "data", by the platform's convention; not created here."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / ("Caches" if kind == "cache" else "Application Support")
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif kind == "cache":
        base = _named_by("XDG_CACHE_HOME") or home / ".cache"
    else:
        base = _named_by("XDG_DATA_HOME") or home / ".local" / "share"
    return base / "vfm3d-bench" / kind


def _named_by(variable: str) -> Path | None:
    """The folder that an XDG variable names. One that is empty or relative counts as unset (XDG Base Directory 0.8)."""
    folder = Path(os.environ.get(variable, ""))
    return folder if folder.is_absolute() else None


def data_root(option: Path | None = None) -> Path:
    """Where data sets lie: the option, then the environment variable BENCH_DATA, then the per-user folder.

    Raises UserError where a folder was named that does not exist; the per-user folder may be absent.
    """
    for source, named in (("--data-root", option), ("BENCH_DATA", os.environ.get("BENCH_DATA"))):
        if named:
            folder = Path(named).expanduser()
            if not folder.is_dir():
                raise UserError(f"{source}: there is no folder {folder}")
            return folder
    return user_folder("data")


def cache_root() -> Path:
    """Where features are cached: the environment variable BENCH_CACHE, then the per-user folder."""
    named = os.environ.get("BENCH_CACHE")
    return Path(named).expanduser() if named else user_folder("cache")
