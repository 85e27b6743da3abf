"""How far a held-out view lies from the training views: what its score is drawn against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.scenes import Array, Camera
from bench.probe.measure.poses import scene_extent


@dataclass(frozen=True)
class ViewpointGap:
    """From one held-out camera to the nearest of the training cameras.

    Attributes:
        angle: Degrees between the directions from the scene's middle to the two cameras; NaN where a camera stands there.
        distance: Between the cameras, as a share of the scene's extent; NaN where all training cameras stand in one place.
    """

    angle: float
    distance: float


def viewpoint_gaps(held_out: Sequence[Camera], training: Sequence[Camera], points: Array) -> list[ViewpointGap]:
    """The gap of each held-out camera. The nearest by angle and the nearest by distance may be two training views.

    Args:
        held_out: Cameras of held-out views.
        training: Cameras of the training views, in the same world.
        points: (N, 3) of what the training views show, N > 0; their median, coordinate by coordinate, is the scene's middle.
    """
    middle = np.median(np.asarray(points, np.float64), axis=0)
    extent = scene_extent(training)
    places = np.stack([camera.centre for camera in training])
    gaps = []
    for camera in held_out:
        angles = [_angle(camera.centre - middle, place - middle) for place in places]
        distance = float(np.linalg.norm(places - camera.centre, axis=1).min())
        gaps.append(ViewpointGap(min(angles), distance / extent if extent > 0 else float("nan")))
    return gaps


def _angle(first: Array, second: Array) -> float:
    if not first.any() or not second.any():
        return float("nan")
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))
