"""The five stages: what stands on each, its light, and where its cameras stand.

Lengths are in metres, z is up; a camera is its place and the point that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from registry.datasets.procedural.gallery import gallery
from registry.datasets.procedural.indoor import room, tabletop
from registry.datasets.procedural.outdoor import SKY, courtyard, grove
from registry.datasets.procedural.render import Light, Solid, Stage

SOLIDS: dict[str, Callable[[], list[Solid]]] = {
    "courtyard": courtyard,
    "gallery": gallery,
    "grove": grove,
    "room": room,
    "tabletop": tabletop,
}
#: Light, colours of the light from above and from below, cameras.
_EMPTY = {
    "courtyard": Stage(
        (),
        Light((2.0, 1.85, 1.55), direction=(-0.45, -0.85, 1.15), radius=0.012),
        (0.52, 0.62, 0.78),
        (0.36, 0.32, 0.27),
        train=(
            ((-0.4, -4.2, 1.6), (-0.2, 1.2, 1.0)),
            ((0.25, -4.3, 1.65), (-0.15, 1.2, 1.0)),
            ((0.9, -4.2, 1.6), (-0.1, 1.2, 1.0)),
        ),
        test=(
            ((-0.95, -4.0, 1.8), (-0.2, 1.2, 1.0)),
            ((0.5, -3.9, 2.15), (-0.15, 1.2, 0.95)),
            ((1.4, -4.0, 1.45), (-0.1, 1.2, 1.0)),
        ),
        fov_x=62.0,
        exposure=0.8,
        sky=SKY,
        occlusion_reach=0.6,
    ),
    "gallery": Stage(
        (),
        Light((1.25, 1.2, 1.1), position=(-0.7, -0.4, 3.0), radius=0.1, reach=2.4),
        (0.5, 0.5, 0.52),
        (0.4, 0.36, 0.32),
        train=(
            ((-0.5, -2.9, 1.6), (0, 1.6, 1.15)),
            ((0.1, -3.0, 1.62), (0, 1.6, 1.15)),
            ((0.7, -2.9, 1.58), (0, 1.6, 1.15)),
        ),
        test=(
            ((-1.05, -2.7, 1.75), (0, 1.6, 1.12)),
            ((0.3, -2.6, 2.0), (0, 1.6, 1.1)),
            ((1.2, -2.75, 1.45), (0, 1.6, 1.15)),
        ),
        fov_x=64.0,
        occlusion_reach=0.5,
    ),
    "grove": Stage(
        (),
        Light((2.1, 1.85, 1.45), direction=(0.75, -0.75, 0.95), radius=0.012),
        (0.5, 0.6, 0.74),
        (0.33, 0.36, 0.22),
        train=(
            ((-0.55, -4.3, 1.45), (0, 1.0, 1.15)),
            ((0.0, -4.4, 1.5), (0, 1.0, 1.15)),
            ((0.55, -4.3, 1.45), (0, 1.0, 1.15)),
        ),
        test=(((-1.0, -4.1, 1.6), (0, 1.0, 1.12)), ((0.28, -4.0, 1.9), (0, 1.0, 1.1)), ((1.0, -4.1, 1.35), (0, 1.0, 1.15))),
        fov_x=60.0,
        exposure=0.8,
        sky=SKY,
        occlusion_reach=0.7,
    ),
    "room": Stage(
        (),
        Light((1.2, 1.12, 0.98), position=(0.9, -1.2, 2.45), radius=0.1, reach=2.3),
        (0.5, 0.5, 0.5),
        (0.36, 0.31, 0.26),
        train=(
            ((-0.45, -2.95, 1.5), (-0.1, 1.1, 0.75)),
            ((0.1, -3.0, 1.52), (-0.05, 1.1, 0.75)),
            ((0.65, -2.95, 1.48), (-0.1, 1.1, 0.75)),
        ),
        test=(
            ((-0.85, -2.8, 1.68), (-0.1, 1.1, 0.72)),
            ((0.3, -2.75, 1.85), (-0.05, 1.1, 0.7)),
            ((1.1, -2.8, 1.4), (-0.15, 1.1, 0.75)),
        ),
        fov_x=64.0,
        occlusion_reach=0.5,
    ),
    "tabletop": Stage(
        (),
        Light((1.35, 1.25, 1.05), position=(-0.9, -1.0, 1.5), radius=0.05, reach=1.55),
        (0.55, 0.58, 0.62),
        (0.3, 0.26, 0.22),
        train=(
            ((-0.28, -1.12, 0.55), (0.03, 0.1, 0.12)),
            ((0.02, -1.16, 0.58), (0.03, 0.1, 0.12)),
            ((0.32, -1.1, 0.54), (0.03, 0.1, 0.12)),
        ),
        test=(
            ((-0.5, -1.02, 0.62), (0.02, 0.1, 0.12)),
            ((0.16, -1.02, 0.74), (0.03, 0.1, 0.1)),
            ((0.54, -1.0, 0.5), (0.04, 0.1, 0.12)),
        ),
        occlusion_reach=0.16,
    ),
}


def built_stage(name: str) -> Stage:
    """The stage of that name, one of SOLIDS."""
    return replace(_EMPTY[name], solids=tuple(SOLIDS[name]()))
