"""Claims: several runs share a folder's cells without computing one twice, and without a coordinator.

    DIR/claims/<key>    who computes the cell now, and until when at the latest

A claim is a file that appears whole, by a hard link, or not at all. It lapses when its process is gone (on this machine) or
its time is over (on any). At worst two processes compute the same cell, which stores the same numbers under the same name.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.machine.files import is_alive, remove_strays, temporary_file

SKEW_SECONDS = 60.0  #: that clocks of two machines may differ by


@dataclass(frozen=True)
class Claim:
    """Who computes a cell.

    Attributes:
        host: The machine.
        pid: The process.
        born: When the process started, in the kernel's ticks, since process ids are used again; 0 where unknown.
        until: Seconds since 1970 after which the claim has lapsed.
    """

    host: str
    pid: int
    born: int
    until: float

    @property
    def lapsed(self) -> bool:
        """True where nobody computes the cell any more."""
        if time.time() > self.until + SKEW_SECONDS:
            return True
        return self.host == socket.gethostname() and not (is_alive(self.pid) and _born(self.pid) == self.born)


class Claims:
    """The claims of a results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "claims"

    def take(self, key: str, seconds: float) -> bool:
        """Claim a cell for this process.

        Args:
            key: The cell's key.
            seconds: How long it may take at the most.

        Returns:
            False where another process computes it. True on file systems without hard links, where nothing can be claimed.
        """
        own = Claim(socket.gethostname(), os.getpid(), _born(os.getpid()), time.time() + seconds)
        if self.holder(key) is not None:
            return False
        path = self.folder / key
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = temporary_file(self.folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(asdict(own), file)
                path.unlink(missing_ok=True)  # a lapsed one
                os.link(name, path)
            finally:
                Path(name).unlink(missing_ok=True)
        except FileExistsError:
            return False
        except OSError:
            return True
        return True

    def holder(self, key: str) -> Claim | None:
        """Who computes a cell; None where nobody does."""
        try:
            claim = Claim(**json.loads((self.folder / key).read_text(encoding="utf-8")))
            return None if claim.lapsed else claim
        except (OSError, ValueError, TypeError):
            return None

    def held(self) -> dict[str, Claim]:
        """Who computes which cells now, by their keys; as with `holder`, nobody where that cannot be read."""
        with contextlib.suppress(OSError):
            names = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
            return {name: claim for name in names if (claim := self.holder(name)) is not None}
        return {}

    def remove_lapsed(self) -> None:
        """Remove what processes left that were killed after they had stored their cell, or while they claimed one."""
        remove_strays(self.folder)
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if not path.name.startswith(".") and self.holder(path.name) is None:
                    self.release(path.name)

    def release(self, key: str) -> None:
        """Give up a claim, one's own or that of a worker that has died."""
        with contextlib.suppress(OSError):
            (self.folder / key).unlink()


def _born(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
