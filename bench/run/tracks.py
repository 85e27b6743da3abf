"""The tracks that there are. Each is one object in the room that it measures in."""

from __future__ import annotations

from bench.core.cells import EXTRACTION, Cell
from bench.core.track import CellTrack
from bench.geometry.track import GeometryTrack
from bench.probe.track import ProbeTrack

TRACKS: dict[str, CellTrack] = {"probe": ProbeTrack(), "geometry": GeometryTrack()}


def track_of(cell: Cell) -> CellTrack:
    """The track of a cell, or of what a preparation is for."""
    return TRACKS["probe" if cell.mode == EXTRACTION else cell.track]
