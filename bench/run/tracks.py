"""The tracks that there are. Each is one object in the room that it measures in."""

from __future__ import annotations

import functools

from bench.core.cells import EXTRACTION, Cell
from bench.core.track import CellTrack


def track_of(cell: Cell) -> CellTrack:
    """The track of a cell, or of what a preparation is for."""
    return _tracks()["probe" if cell.mode == EXTRACTION else cell.track]


@functools.cache
def _tracks() -> dict[str, CellTrack]:
    # Imported when a track is asked for: they bring PyTorch, which those who only read results need not have.
    from bench.geometry.track import GeometryTrack
    from bench.probe.track import ProbeTrack

    return {"probe": ProbeTrack(), "geometry": GeometryTrack()}
