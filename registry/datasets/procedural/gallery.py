"""The indoor procedural scene `gallery`; z is up, lengths are in metres."""

from __future__ import annotations

import itertools

import numpy as np

from registry.datasets.procedural.indoor import DUSK, WALNUT, hung_picture
from registry.datasets.procedural.paintings import blocks, framed, swirls
from registry.datasets.procedural.render import Solid
from registry.datasets.procedural.shapes import Mesh, Vector, box, curve, cylinder, lathe, merged, quad, sheet, sphere, tube
from registry.datasets.procedural.textures import Texture, chequered_marble, plain, pottery, stripes


def _column(height: float) -> Mesh:
    flutes = np.linspace(0, 2 * np.pi, 121)
    radius = 0.19 + 0.012 * np.cos(16 * flutes)
    steps = np.linspace(0.12, height - 0.14, 24)
    points = np.stack(
        [
            radius[:, None] * np.cos(flutes)[:, None] * np.ones(24),
            radius[:, None] * np.sin(flutes)[:, None] * np.ones(24),
            np.ones(121)[:, None] * steps,
        ],
        -1,
    )
    shaft = sheet(points, np.stack(np.meshgrid(flutes / 6, steps, indexing="ij"), -1))
    return merged(shaft, box((0.52, 0.52, 0.12), 0.06), box((0.5, 0.5, 0.14), 0.06).moved((0, 0, height - 0.14)))


def _knot() -> Mesh:
    """A trefoil knot of bronze."""
    t = np.linspace(0, 2 * np.pi, 220)
    path = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], -1) * 0.105
    return tube(path[:, [0, 2, 1]] + [0, 0, 0.42], 0.05, 18)


def _barrier() -> tuple[Mesh, Mesh]:
    """Posts on feet, and the cords between them."""
    posts = [(-1.2, 0.45), (-0.4, 0.45), (0.4, 0.45), (1.2, 0.45)]
    cords = []
    for (left, y), (right, _) in itertools.pairwise(posts):
        t = np.linspace(0, 1, 30)
        cords.append(
            tube(np.stack([left + (right - left) * t, y + 0 * t, 0.86 - 0.2 * 4 * t * (1 - t) * 0.8], -1), 0.012, 10)
        )
    rails = merged(
        *(
            merged(
                lathe([(0.0, 0.03), (0.14, 0.03), (0.14, 0.0)]),
                cylinder(0.016, 0.9, 0.1, 14),
                sphere(0.032, 1, 16).moved((0, 0, 0.89)),
            ).moved((x, y, 0))
            for x, y in posts
        )
    )
    return rails, merged(*cords)


def _amphora() -> Solid:
    amphora = curve(
        [(0.0, 0.0), (0.08, 0.0), (0.1, 0.04), (0.21, 0.32), (0.17, 0.52), (0.075, 0.62), (0.07, 0.72), (0.11, 0.77)], 60
    )
    ears = []
    for side in (-1, 1):
        t = np.linspace(0, np.pi, 24)
        ears.append(tube(np.stack([side * (0.1 + 0.11 * np.sin(t)), 0 * t, 0.6 + 0.11 * np.cos(t)], -1), 0.014))
    return Solid(
        "amphora",
        merged(lathe(amphora), *ears).moved((-1.15, 1.4, 0.85), yaw=-20),
        pottery(
            (0.76, 0.42, 0.2),
            [(0.05, 0.12, (0.12, 0.1, 0.09)), (0.42, 0.5, (0.12, 0.1, 0.09)), (0.7, 0.78, (0.12, 0.1, 0.09))],
            (0.12, 0.1, 0.09),
            0.32,
            14,
        ),
    )


def _paintings() -> list[tuple[Vector, tuple[float, float], Texture]]:
    """Place, size and art of each."""
    return [
        (
            (-1.75, 2.985, 1.75),
            (1.05, 1.3),
            swirls([(0.14, 0.24, 0.4), (0.3, 0.5, 0.62), (0.92, 0.85, 0.66), (0.8, 0.45, 0.25)]),
        ),
        ((0.0, 2.985, 1.75), (1.5, 1.1), DUSK),
        (
            (1.75, 2.985, 1.75),
            (1.05, 1.3),
            blocks([(0.84, 0.26, 0.18), (0.94, 0.9, 0.8), (0.16, 0.3, 0.55), (0.94, 0.76, 0.28)], 11),
        ),
    ]


def _hall() -> list[Solid]:
    """Floor, walls, ceiling and skirting."""
    return [
        Solid(
            "floor",
            quad((-3.2, -3.5, 0), (6.4, 0, 0), (0, 6.5, 0), 0.1),
            chequered_marble((0.9, 0.88, 0.83), (0.22, 0.23, 0.25), 0.6),
        ),
        Solid("wall", quad((-3.2, 3.0, 0), (6.4, 0, 0), (0, 0, 3.2), 0.14), plain((0.56, 0.2, 0.19), 0.02, 2.0)),
        Solid("wall", quad((-3.2, -3.5, 0), (0, 6.5, 0), (0, 0, 3.2), 0.14), plain((0.86, 0.83, 0.77))),
        Solid("wall", quad((3.2, 3.0, 0), (0, -6.5, 0), (0, 0, 3.2), 0.14), plain((0.86, 0.83, 0.77))),
        Solid("ceiling", quad((-3.2, 3.0, 3.2), (6.4, 0, 0), (0, -6.5, 0), 0.3), plain((0.93, 0.92, 0.9))),
        Solid("skirting", box((6.4, 0.04, 0.18), 0.2).moved((0, 2.98, 0)), plain((0.9, 0.86, 0.76))),
    ]


def gallery() -> list[Solid]:
    """A museum hall: columns, sculptures on plinths, paintings, thin rails and cords."""
    rails, cords = _barrier()
    plinth = box((0.5, 0.5, 0.85), 0.08)
    wires = merged(
        *(
            tube(np.array([[x, 1.4, 3.2], [x, 1.4, 2.6], [x, 1.4, z]]), 0.006, 8)
            for x, z in ((-0.45, 2.2), (0.0, 2.02), (0.45, 2.28))
        )
    )
    mobiles = [
        ((-0.45, 1.4, 2.02), 0.09, (0.85, 0.28, 0.2)),
        ((0.0, 1.4, 1.78), 0.12, (0.95, 0.75, 0.3)),
        ((0.45, 1.4, 2.14), 0.07, (0.2, 0.42, 0.6)),
    ]
    return [
        *_hall(),
        Solid("column", _column(3.2).moved((-2.2, 1.2, 0)), plain((0.88, 0.85, 0.78), 0.05, 1.2)),
        Solid("column", _column(3.2).moved((2.2, 1.2, 0)), plain((0.88, 0.85, 0.78), 0.05, 1.2)),
        *(Solid("plinth", plinth.moved((x, 1.4, 0)), plain((0.93, 0.92, 0.9))) for x in (-1.15, 0.0, 1.15)),
        _amphora(),
        Solid(
            "sphere",
            sphere(0.26).moved((0.0, 1.4, 0.85)),
            swirls([(0.85, 0.82, 0.76), (0.3, 0.4, 0.42), (0.62, 0.5, 0.36)], 0.7),
        ),
        Solid("knot", _knot().moved((1.15, 1.4, 0.85), yaw=25), plain((0.6, 0.42, 0.2), 0.1, 0.3)),
        Solid("rail", rails, plain((0.8, 0.64, 0.3))),
        Solid("cord", cords, stripes([(0.6, 0.1, 0.12), (0.75, 0.2, 0.18)], 0.03, across=True)),
        Solid("wire", wires, plain((0.15, 0.15, 0.15))),
        *(Solid("ball", sphere(radius).moved(at), plain(colour)) for at, radius, colour in mobiles),
        *(
            Solid("picture", hung_picture(at, size, "-y"), framed(art, (0.68, 0.52, 0.24), 0.05, 0.03))
            for at, size, art in _paintings()
        ),
        Solid(
            "bench",
            merged(
                box((1.3, 0.4, 0.07), 0.08).moved((0, 0, 0.4)),
                *(box((0.07, 0.36, 0.4), 0.1).moved((x, 0, 0)) for x in (-0.55, 0.55)),
            ).moved((1.25, -0.6, 0), yaw=-10),
            WALNUT,
        ),
    ]
