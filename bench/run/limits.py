"""How long a cell may take and how much memory a worker, where the user does not say."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from bench.core.cells import Cell
from bench.core.lookup import protocol_of
from bench.core.protocols import ProbeProtocol

BASE_SECONDS = 900.0  #: for loading, features, one photo of the geometry track: generous on any machine
#: Seconds allowed for one iteration and one pixel of the grid's long side squared: about twenty times what two CPU cores
#: take, or a GPU of 2020. A limit that a slow machine meets would be worse than a hang that ends an hour later.
_SECONDS_PER_STEP = {"cpu": 5e-4, "cuda": 2e-6}
_SHARE = 0.9  #: of the machine's memory that one worker may take


def cell_seconds(cell: Cell, device: str) -> float:
    """The time limit of a cell, from its protocol.

    Args:
        cell: A cell, or a preparation.
        device: "cpu" or "cuda".

    Returns:
        Seconds: BASE_SECONDS, and for a probe so much per iteration and Gaussian (`quick-v1` on a CPU: 24 minutes in all;
        `paper-v1` on a GPU: 85 minutes).
    """
    protocol = protocol_of(cell)
    if not isinstance(protocol, ProbeProtocol):
        return BASE_SECONDS
    steps = max(protocol.iterations, protocol.instantsplat_iterations) * protocol.grid_long_side**2
    return BASE_SECONDS + _SECONDS_PER_STEP[device] * steps


def worker_memory_mb() -> float | None:
    """The memory limit of one worker: nine tenths of the machine's or of its control group's; None where unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    with contextlib.suppress(OSError, ValueError):  # "max" where the group has no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return _SHARE * total / 2**20
