"""Ends a process with SIGKILL at a numbered instant: just before it changes a file of a folder, sends or reads a message.

Files are watched by an audit hook of the interpreter (PEP 578), which no code gets past: opening for writing, renaming,
linking, removing, making folders. Messages are those of the engine's pipes, before and after they are sent, and after they
are read. Processes that are forked after `watch` are watched too.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_LINE = 40  #: bytes of an instant in the log


def watch(folder: Path, logs: Path, who: str, at: int) -> None:
    """Count this process's and its future children's instants, and end the process whose instant is the chosen one.

    Args:
        folder: Whose files are watched.
        logs: Where the instants of the calling process ("driver") and of all its children ("worker") are written down, a
            file each, so that the counts outlive the processes.
        who: "driver" or "worker": who is ended; "group": at an instant of the driver it and all its children at once.
        at: The instant, counted from 1; 0 for none.
    """
    driver, inside = os.getpid(), f"{folder}{os.sep}"
    busy = False  # writing down an instant is none

    def instant(what: str) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        own = "driver" if os.getpid() == driver else "worker"
        log = os.open(logs / own, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, what[: _LINE - 1].ljust(_LINE - 1).encode("ascii", "replace") + b"\n")
        number = os.lseek(log, 0, os.SEEK_CUR) // _LINE  # the place of this line, whoever writes beside
        os.close(log)
        busy = False
        if own == ("driver" if who == "group" else who) and number == at:
            for pid in _children() if who == "group" else ():
                os.kill(pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and isinstance(flags, int) and flags & _WRITES and path.startswith(inside):
                instant(f"open {Path(path).suffix}")
        elif event in _CHANGES and any(str(part).startswith(inside) for part in arguments[:2]):
            instant(event)

    def told(name: str, function: Callable[..., Any], before: bool) -> Callable[..., Any]:
        def call(self: Connection, *arguments: Any) -> Any:
            if before:
                instant(f"before {name}")
            result = function(self, *arguments)
            instant(f"after {name}")
            return result

        return call

    sys.addaudithook(hook)
    Connection.send = told("send", Connection.send, before=True)  # type: ignore[method-assign]
    Connection.recv = told("recv", Connection.recv, before=False)  # type: ignore[method-assign]


def _children() -> list[int]:
    """The processes that this one has started and that have not been waited for."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def instants(logs: Path, who: str) -> int:
    """How many instants the driver ("group": it as well), or all workers together, have had."""
    return (logs / ("driver" if who == "group" else who)).stat().st_size // _LINE
