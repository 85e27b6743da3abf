"""Sparse points: clouds in PLY files, and which views see which points."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.types import Array, SparsePoints, UserError

#: A view whose tracks name fewer points than this is taken as one without tracks.
LEAST_TRACKED = 1


@dataclass(frozen=True, eq=False)
class Points:
    """A sparse cloud with its tracks.

    Attributes:
        positions: (N, 3) float64, world.
        colours: (N, 3) uint8.
        point, image: Parallel arrays, one pair per observation: the index of the point, and the number of the image that
        sees it.
    """

    positions: Array
    colours: Array
    point: Array
    image: Array

    def seen_by(self, numbers: Mapping[str, int]) -> SparsePoints:
        """The points, visible from the given views (name -> number of the image); a view that no track names is left out, so
        that the points are projected into it."""
        visible = {view: np.unique(self.point[self.image == number]) for view, number in numbers.items()}
        return SparsePoints(
            self.positions, self.colours, {view: seen for view, seen in visible.items() if len(seen) >= LEAST_TRACKED}
        )


def read_cloud(path: Path) -> Points:
    """The vertices of a PLY file (x, y, z; red, green, blue as bytes, or as shares of 1), without tracks.

    Raises:
        UserError: The file is no readable PLY, lacks positions, or holds points that are not finite or colours out of range.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _cloud(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _cloud(path: Path, changed: int, length: int) -> Points:
    from plyfile import PlyData

    try:
        vertices = PlyData.read(str(path), mmap=False)["vertex"].data
        names = set(vertices.dtype.names or ())
        if not {"x", "y", "z"} <= names:
            raise ValueError("its vertices have no x, y, z")
        positions = np.stack([np.asarray(vertices[axis], np.float64) for axis in "xyz"], axis=-1)
        colours = np.full((len(vertices), 3), 128, np.uint8)
        if {"red", "green", "blue"} <= names:
            colours = _bytes(np.stack([np.asarray(vertices[name]) for name in ("red", "green", "blue")], axis=-1))
    except Exception as error:  # a broken header leads plyfile to much besides its own error
        reason = str(error)[:200] or type(error).__name__
        raise UserError(f"{path}: not a readable PLY point cloud ({reason}); export it again") from error
    return checked_points(path, Points(positions, colours, np.zeros(0, np.int64), np.zeros(0, np.int64)))


def _bytes(colours: Array) -> Array:
    if colours.dtype.kind == "f":
        if colours.size and colours.max() <= 1:
            colours = colours * 255
        colours = np.rint(colours)
    if colours.size and not (np.isfinite(colours).all() and colours.min() >= 0 and colours.max() <= 255):
        raise ValueError("its colours are not in 0 to 255")
    return colours.astype(np.uint8)


def checked_points(path: Path, points: Points) -> Points:
    """The points. Raises UserError naming the first one that is not finite."""
    broken = np.flatnonzero(~np.isfinite(points.positions).all(axis=1))
    if len(broken):
        where = tuple(points.positions[broken[0]].tolist())
        raise UserError(f"{path}: point number {broken[0]} lies at {where}; export the model again")
    return points
