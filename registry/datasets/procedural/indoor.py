"""The indoor procedural scenes: `tabletop` and `room`; z is up, lengths are in metres."""

from __future__ import annotations

import numpy as np

from registry.datasets.procedural.paintings import blocks, discs, framed, hills, rug, spines, swirls, wallpaper
from registry.datasets.procedural.render import Solid
from registry.datasets.procedural.shapes import Mesh, Vector, box, curve, cylinder, lathe, merged, quad, sheet, sphere, tube
from registry.datasets.procedural.textures import (
    Colour,
    checker,
    foliage,
    fruit,
    plain,
    pottery,
    stripes,
    wood,
)

DUSK = hills(
    ((0.98, 0.72, 0.42), (0.35, 0.5, 0.72)), (1.0, 0.93, 0.7), [(0.55, 0.42, 0.55), (0.33, 0.3, 0.45), (0.15, 0.2, 0.28)]
)
OAK, WALNUT = wood((0.84, 0.66, 0.44), (0.58, 0.38, 0.2)), wood((0.5, 0.33, 0.2), (0.28, 0.16, 0.09), 0.14)
BOOKS = [
    (0.62, 0.16, 0.15),
    (0.13, 0.32, 0.42),
    (0.82, 0.62, 0.24),
    (0.2, 0.38, 0.24),
    (0.35, 0.2, 0.38),
    (0.86, 0.82, 0.72),
]
CERAMIC: Colour = (0.9, 0.88, 0.84)


def _cloth(width: float, depth: float, height: float) -> Mesh:
    """A square cloth lying at `height`, with soft folds."""
    u, v = np.meshgrid(np.linspace(0, width, 60), np.linspace(0, depth, 60), indexing="ij")
    rise = height + 0.0035 * (1 + np.sin(11 * u + 5 * v) * np.cos(13 * v - 4 * u))
    points = np.stack([u - width / 2 + 0.006 * np.sin(15 * v), v - depth / 2 + 0.005 * np.sin(17 * u), rise], -1)
    return sheet(points, np.stack([u, v], -1))


def _leaves(stem: tuple[float, float, float], count: int, length: float, seed: int) -> Mesh:
    """Long curved leaves that spring from one place."""
    rng = np.random.default_rng(seed)
    blades = []
    for number in range(count):
        bend, rise = rng.uniform(0.5, 1.1), length * rng.uniform(0.75, 1.1)
        along, across = np.meshgrid(np.linspace(0, 1, 14), np.linspace(-1, 1, 5), indexing="ij")
        wide = 0.09 * length * np.sin(np.pi * np.clip(along * 0.93 + 0.05, 0, 1)) * across
        out = rise * np.sin(bend * along) * 0.75
        up = rise * (along - 0.42 * bend * along**2) + 0.012 * np.abs(across)
        blade = sheet(np.stack([out, wide, up], -1), np.stack([along, 0.5 + across / 2], -1))
        blades.append(blade.moved(stem, yaw=360 * number / count + rng.uniform(-14, 14)))
    return merged(*blades)


def hung_picture(centre: Vector, size: tuple[float, float], facing: str) -> Mesh:
    """A picture of size (width, height) on a wall, facing +y ("y"), -y ("-y"), +x or -x."""
    across = {"-y": (1, 0, 0), "y": (-1, 0, 0), "x": (0, 1, 0), "-x": (0, -1, 0)}[facing]
    edge_u, edge_v = np.array(across) * size[0], np.array([0, 0, size[1]])
    return quad(np.asarray(centre, float) - edge_u / 2 - edge_v / 2, edge_u, edge_v, 0.1, unit=True)


def _mug() -> Mesh:
    mug = curve([(0.0, 0.0), (0.04, 0.0), (0.043, 0.05), (0.043, 0.1), (0.038, 0.1), (0.037, 0.012), (0.0, 0.01)], 48)
    turn = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 20)
    handle = tube(np.stack([0.04 + 0.032 * np.cos(turn), 0 * turn, 0.052 + 0.03 * np.sin(turn)], -1), 0.006)
    return merged(lathe(mug, 64), handle)


def _bouquet() -> tuple[Mesh, Mesh]:
    """Stems, and the blossoms on them."""
    stems = [
        tube(
            np.stack([x * np.linspace(0, 1, 24) ** 2, y * np.linspace(0, 1, 24), 0.26 + h * np.linspace(0, 1, 24)], -1),
            0.0022,
        )
        for x, y, h in (
            (0.07, 0.02, 0.2),
            (-0.08, 0.03, 0.17),
            (0.01, -0.05, 0.25),
            (-0.03, -0.02, 0.21),
            (0.11, -0.02, 0.12),
        )
    ]
    heads = [(0.07, 0.02, 0.455), (-0.08, 0.03, 0.425), (0.01, -0.05, 0.505), (-0.03, -0.02, 0.465), (0.11, -0.02, 0.375)]
    return merged(*stems), merged(*(sphere(0.021, 0.75, 20).moved(head) for head in heads))


def _lying_books() -> list[Solid]:
    return [
        Solid(
            "book",
            box((0.25, 0.18, 0.035), 0.05).moved((-0.37, 0.0, 0.0), yaw=12),
            stripes([(0.16, 0.3, 0.42), (0.18, 0.33, 0.45)], 0.02),
        ),
        Solid(
            "book",
            box((0.22, 0.16, 0.03), 0.05).moved((-0.38, 0.01, 0.035), yaw=-8),
            swirls([(0.72, 0.22, 0.18), (0.9, 0.75, 0.5), (0.3, 0.16, 0.2)], 0.5),
        ),
        Solid("book", box((0.2, 0.14, 0.025), 0.05).moved((-0.36, 0.0, 0.065), yaw=20), plain((0.86, 0.7, 0.28), 0.04, 0.2)),
    ]


def _bowl_of_fruit() -> list[Solid]:
    bowl = curve([(0.0, 0.012), (0.05, 0.0), (0.11, 0.035), (0.15, 0.085), (0.142, 0.085), (0.1, 0.045), (0.0, 0.02)], 48)
    apples = [(-0.055, -0.02, 0.03), (0.05, 0.03, 0.032), (0.01, -0.075, 0.036), (0.0, 0.01, 0.085)]
    return [
        Solid("bowl", lathe(bowl, 96).moved((0.17, -0.06, 0.006)), plain(CERAMIC)),
        *(
            Solid(
                "fruit",
                sphere(0.043, 0.92).moved((0.17 + x, -0.06 + y, z), yaw=70 * n, tilt=12),
                fruit((0.82, 0.2, 0.12), (0.93, 0.72, 0.25)),
            )
            for n, (x, y, z) in enumerate(apples)
        ),
    ]


def _pictures_over_the_table() -> list[Solid]:
    return [
        Solid("picture", hung_picture((0.62, 0.845, 0.62), (0.62, 0.46), "-y"), framed(DUSK, (0.32, 0.2, 0.12))),
        Solid(
            "picture",
            hung_picture((-0.55, 0.845, 0.6), (0.42, 0.56), "-y"),
            framed(
                discs((0.88, 0.82, 0.7), [(0.8, 0.3, 0.2), (0.15, 0.35, 0.45), (0.93, 0.72, 0.3), (0.2, 0.25, 0.25)], 3),
                (0.12, 0.12, 0.12),
            ),
        ),
    ]


def tabletop() -> list[Solid]:
    """Crockery, fruit and books on a wooden table before a papered wall."""
    stems, blossoms = _bouquet()
    vase = curve([(0.0, 0.0), (0.055, 0.0), (0.085, 0.09), (0.07, 0.2), (0.033, 0.27), (0.045, 0.31)])
    return [
        Solid("table", box((1.7, 1.0, 0.04), 0.04).moved((0, 0.02, -0.04)), OAK),
        Solid(
            "wall",
            quad((-2.2, 0.85, -0.8), (4.4, 0, 0), (0, 0, 2.6), 0.12),
            wallpaper((0.78, 0.83, 0.8), (0.42, 0.58, 0.56), 0.21),
        ),
        Solid("floor", quad((-2.2, -2.0, -0.8), (4.4, 0, 0), (0, 3.0, 0), 0.2), WALNUT),
        Solid(
            "cloth",
            _cloth(0.62, 0.62, 0.001).moved((0.12, -0.1, 0), yaw=31),
            checker((0.95, 0.93, 0.88), (0.24, 0.38, 0.6), 0.034),
        ),
        Solid(
            "vase",
            lathe(vase).moved((0.0, 0.2, 0.0)),
            pottery(
                (0.2, 0.36, 0.46),
                [(0.13, 0.145, (0.9, 0.86, 0.75)), (0.24, 0.255, (0.9, 0.86, 0.75))],
                (0.95, 0.72, 0.3),
                0.2,
            ),
        ),
        Solid("flowers", stems.moved((0.0, 0.2, 0.0)), plain((0.25, 0.42, 0.18))),
        Solid("flowers", blossoms.moved((0.0, 0.2, 0.0)), fruit((0.93, 0.45, 0.35), (0.98, 0.78, 0.42))),
        *_bowl_of_fruit(),
        *_lying_books(),
        Solid(
            "mug",
            _mug().moved((-0.17, -0.24, 0.0), yaw=-40),
            stripes([(0.93, 0.9, 0.82), (0.8, 0.35, 0.25)], 0.021, across=True),
        ),
        Solid("candle", cylinder(0.022, 0.2, 0.02).moved((0.47, 0.12, 0.03)), plain((0.93, 0.89, 0.78))),
        Solid(
            "candlestick",
            lathe(curve([(0.055, 0.0), (0.05, 0.012), (0.014, 0.03), (0.03, 0.035), (0.0, 0.036)], 24)).moved(
                (0.47, 0.12, 0.0)
            ),
            plain((0.72, 0.55, 0.25), 0.05, 0.1),
        ),
        *_pictures_over_the_table(),
    ]


def _shelf() -> list[Solid]:
    """A bookshelf against the back wall, its front towards -y."""
    boards = [box((1.3, 0.3, 0.03), 0.1).moved((0, 0, z)) for z in (0.05, 0.45, 0.85, 1.25, 1.65)]
    sides = [box((0.03, 0.3, 1.7), 0.1).moved((x, 0, 0)) for x in (-0.65, 0.65)]
    back = quad((-0.65, 0.14, 0), (1.3, 0, 0), (0, 0, 1.68), 0.1)
    rows = []
    for number, (left, width, base, height) in enumerate(
        [
            (-0.6, 0.72, 0.48, 0.26),
            (-0.3, 0.9, 0.88, 0.28),
            (-0.62, 0.6, 1.28, 0.25),
            (0.12, 0.48, 1.28, 0.3),
            (-0.6, 1.15, 0.08, 0.3),
        ]
    ):
        front = quad((left, -0.1, base), (width, 0, 0), (0, 0, height), 0.06, unit=True)
        top = quad((left, -0.1, base + height), (width, 0, 0), (0, 0.2, 0), 0.06)
        end = quad((left + width, -0.1, base), (0, 0.2, 0), (0, 0, height), 0.06)
        start = quad((left, 0.1, base), (0, -0.2, 0), (0, 0, height), 0.06)
        rows.append(Solid("books", front, spines(int(width / 0.036), BOOKS, number)))
        rows.append(Solid("books", merged(top, end, start), plain((0.82, 0.78, 0.68), 0.05, 0.05)))
    ornaments = [
        Solid(
            "vase",
            lathe(curve([(0.0, 0), (0.06, 0), (0.09, 0.1), (0.04, 0.2), (0.05, 0.23)])).moved((0.36, -0.02, 0.48)),
            pottery((0.88, 0.8, 0.62), [(0.1, 0.12, (0.5, 0.25, 0.15))], (0.2, 0.3, 0.35), 0.17),
        ),
        Solid("ball", sphere(0.09).moved((-0.47, -0.02, 0.88)), plain((0.75, 0.35, 0.25))),
    ]
    return [Solid("bookshelf", merged(*boards, *sides, back), WALNUT), *rows, *ornaments]


def _sofa() -> Mesh:
    return merged(
        box((1.9, 0.85, 0.4), 0.1),
        box((1.9, 0.22, 0.42), 0.1).moved((0, 0.33, 0.38)),
        box((0.2, 0.85, 0.6), 0.1).moved((-0.95, 0, 0)),
        box((0.2, 0.85, 0.6), 0.1).moved((0.95, 0, 0)),
        box((0.84, 0.62, 0.13), 0.1).moved((-0.43, -0.09, 0.39)),
        box((0.84, 0.62, 0.13), 0.1).moved((0.43, -0.09, 0.39)),
    )


def _living_room() -> list[Solid]:
    """Floor, walls, ceiling and skirting."""
    return [
        Solid(
            "floor",
            quad((-2.6, -3.2, 0), (5.2, 0, 0), (0, 5.2, 0), 0.1),
            wood((0.78, 0.6, 0.4), (0.56, 0.38, 0.22), 0.13, 1.3),
        ),
        Solid("wall", quad((-2.6, 2.0, 0), (5.2, 0, 0), (0, 0, 2.7), 0.12), plain((0.88, 0.84, 0.76))),
        Solid("wall", quad((-2.6, -3.2, 0), (0, 5.2, 0), (0, 0, 2.7), 0.12), plain((0.58, 0.68, 0.68))),
        Solid(
            "wall",
            quad((2.6, 2.0, 0), (0, -5.2, 0), (0, 0, 2.7), 0.12),
            stripes([(0.82, 0.77, 0.68), (0.76, 0.7, 0.6)], 0.12),
        ),
        Solid("ceiling", quad((-2.6, 2.0, 2.7), (5.2, 0, 0), (0, -5.2, 0), 0.3), plain((0.93, 0.92, 0.9))),
        Solid(
            "skirting",
            merged(box((5.2, 0.02, 0.1), 0.2).moved((0, 1.99, 0)), box((0.02, 5.2, 0.1), 0.2).moved((-2.59, -0.6, 0))),
            plain((0.94, 0.93, 0.9)),
        ),
    ]


def _cushions() -> list[Solid]:
    return [
        Solid(
            "cushion",
            box((0.42, 0.13, 0.4), 0.05).moved((-1.32, 1.32, 0.53), yaw=14, tilt=-16),
            discs((0.88, 0.8, 0.62), [(0.75, 0.3, 0.2), (0.2, 0.35, 0.42), (0.9, 0.62, 0.25)], 8),
        ),
        Solid(
            "cushion",
            box((0.4, 0.13, 0.38), 0.05).moved((-0.2, 1.33, 0.53), yaw=-12, tilt=-16),
            stripes([(0.9, 0.86, 0.76), (0.72, 0.42, 0.2), (0.25, 0.3, 0.36)], 0.045),
        ),
    ]


def _pictures_in_the_room() -> list[Solid]:
    return [
        Solid("picture", hung_picture((-0.95, 1.985, 1.62), (1.05, 0.72), "-y"), framed(DUSK, (0.36, 0.24, 0.14))),
        Solid(
            "picture",
            hung_picture((-2.585, -0.05, 1.5), (0.8, 0.95), "x"),
            framed(
                blocks([(0.86, 0.3, 0.2), (0.95, 0.92, 0.84), (0.2, 0.35, 0.6), (0.95, 0.78, 0.3), (0.95, 0.92, 0.84)], 4),
                (0.1, 0.1, 0.1),
                0.03,
                0.05,
            ),
        ),
    ]


def room() -> list[Solid]:
    """A living room: plain walls, a sofa without texture, a rug, a bookshelf, a lamp, a plant, pictures."""
    legs = [cylinder(0.018, 0.38, 0.1, 16).moved((x, y, 0)) for x in (-0.4, 0.4) for y in (-0.22, 0.22)]
    low_table = merged(box((0.95, 0.6, 0.035), 0.06).moved((0, 0, 0.38)), *legs)
    lamp = merged(cylinder(0.14, 0.025, 0.02), cylinder(0.013, 1.45, 0.1, 16))
    shade = lathe(curve([(0.22, 0.0), (0.19, 0.1), (0.15, 0.26)], 12))
    return [
        *_living_room(),
        Solid(
            "rug",
            quad((-1.15, -1.0, 0.006), (2.3, 0, 0), (0, 1.5, 0), 0.05, unit=True),
            rug((0.55, 0.16, 0.14), (0.13, 0.2, 0.32), (0.88, 0.78, 0.56), (0.8, 0.5, 0.24)),
        ),
        Solid("sofa", _sofa().moved((-0.75, 1.42, 0.04)), plain((0.42, 0.52, 0.45))),
        *_cushions(),
        Solid("low table", low_table.moved((-0.1, -0.15, 0.006)), OAK),
        Solid(
            "bowl",
            lathe(curve([(0.0, 0.01), (0.06, 0.0), (0.15, 0.07), (0.14, 0.07), (0.0, 0.02)], 30)).moved((0.12, -0.1, 0.421)),
            plain(CERAMIC),
        ),
        Solid(
            "book",
            box((0.26, 0.19, 0.03), 0.05).moved((-0.32, -0.18, 0.421), yaw=24),
            swirls([(0.15, 0.3, 0.4), (0.85, 0.75, 0.5), (0.7, 0.3, 0.2)], 0.6),
        ),
        *(Solid(part.label, part.mesh.moved((1.35, 1.82, 0)), part.texture) for part in _shelf()),
        Solid("lamp", lamp.moved((0.48, 1.62, 0)), plain((0.2, 0.19, 0.18))),
        Solid("lamp", shade.moved((0.48, 1.62, 1.38)), plain((0.95, 0.86, 0.66))),
        Solid(
            "plant pot",
            lathe(curve([(0.0, 0), (0.13, 0), (0.18, 0.3), (0.165, 0.3), (0.16, 0.26), (0.0, 0.26)], 30)).moved(
                (-2.1, 0.95, 0)
            ),
            pottery((0.72, 0.4, 0.26), [], (0.9, 0.75, 0.5), 0.3, 16),
        ),
        Solid("plant", _leaves((-2.1, 0.95, 0.24), 17, 0.95, 4), foliage((0.16, 0.36, 0.16), (0.36, 0.55, 0.22))),
        *_pictures_in_the_room(),
        Solid(
            "ball",
            sphere(0.16).moved((1.1, -0.45, 0.006)),
            stripes([(0.85, 0.3, 0.22), (0.95, 0.9, 0.8), (0.2, 0.4, 0.55)], 1 / 9),
        ),
    ]
