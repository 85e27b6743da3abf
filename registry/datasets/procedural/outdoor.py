"""The outdoor procedural scenes: `courtyard` and `grove`; z is up, lengths are in metres."""

from __future__ import annotations

import itertools

import numpy as np

from bench.types import Array
from registry.datasets.procedural.paintings import clouds, hills
from registry.datasets.procedural.render import Solid
from registry.datasets.procedural.shapes import (
    Mesh,
    box,
    curve,
    cylinder,
    displaced,
    lathe,
    merged,
    quad,
    sheet,
    sphere,
    tube,
)
from registry.datasets.procedural.textures import (
    birch,
    bricks,
    cobbles,
    foliage,
    fruit,
    meadow,
    plain,
    pottery,
    stripes,
    tiles,
    wood,
)

SKY = clouds((0.25, 0.47, 0.8), (0.72, 0.84, 0.94), (0.97, 0.97, 0.98))
BRICK = bricks([(0.66, 0.34, 0.25), (0.72, 0.42, 0.3), (0.58, 0.28, 0.21), (0.76, 0.5, 0.37)], (0.78, 0.74, 0.68))
TIMBER = wood((0.55, 0.42, 0.3), (0.36, 0.26, 0.18), 0.1, 2.0)


def _bough(start: Array, direction: Array, length: float, bend: Array) -> Array:
    t = np.linspace(0, 1, 12)[:, None]
    return start + length * (t * direction + 0.35 * t**2 * bend)


def _crown(centres: Array, radii: Array, leaves: int, size: float, seed: int) -> Mesh:
    """Many small leaves on and inside balls."""
    rng = np.random.default_rng(seed)
    ball = rng.integers(len(centres), size=leaves)
    outward = rng.normal(size=(leaves, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    at = centres[ball] + outward * (radii[ball] * rng.uniform(0.55, 1.0, leaves) ** (1 / 3))[:, None]
    first = np.cross(outward, rng.normal(size=(leaves, 3)))
    first *= size * rng.uniform(0.7, 1.2, (leaves, 1)) / np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, outward + 0.5 * rng.normal(size=(leaves, 3)))
    second *= 0.3 * size / np.linalg.norm(second, axis=1, keepdims=True)
    corners = np.stack([at - first, at + second, at + first, at - second], axis=1).reshape(-1, 3)
    index = 4 * np.arange(leaves)[:, None]
    triangles = np.concatenate([index + np.array(half) for half in ((0, 1, 2), (0, 2, 3))])
    tone = np.repeat(rng.uniform(0, 1, (leaves, 2)), 4, axis=0)
    # The normals of the crown, not of the leaf, give it its round shading.
    return Mesh(corners, triangles, np.repeat(outward, 4, axis=0), tone)


def _arch(width: float, height: float, depth: float) -> list[Mesh]:
    """The front (towards -y) of a wall piece 1.6 x 3.0 m with an arched doorway, and its reveal; centred on x."""
    t = np.linspace(0, np.pi, 33)
    rim = np.stack([width / 2 * np.cos(t), height - width / 2 + width / 2 * np.sin(t)], -1)
    rim = np.concatenate([[[width / 2, 0.0]], rim, [[-width / 2, 0.0]]])
    # Round the rim on the wall piece's border: up from one foot, along the top, down to the other.
    top = np.stack([np.linspace(0.8, -0.8, len(rim) - 2), np.full(len(rim) - 2, 3.0)], -1)
    outer = np.concatenate([[[0.8, 0.0]], top, [[-0.8, 0.0]]])
    share = np.linspace(0, 1, 9)[None, :, None]
    flat = outer[:, None] * (1 - share) + rim[:, None] * share
    front = sheet(np.stack([flat[..., 0], 0 * flat[..., 0], flat[..., 1]], -1), flat)
    across = np.linspace(0, depth, 5)
    inner = np.stack(
        [
            np.broadcast_to(rim[:, None, 0], (len(rim), 5)),
            np.broadcast_to(across, (len(rim), 5)),
            np.broadcast_to(rim[:, None, 1], (len(rim), 5)),
        ],
        -1,
    )
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(rim, axis=0).T))])
    reveal = sheet(inner, np.stack(np.meshgrid(along, across, indexing="ij"), -1))
    return [front, reveal]


def _tree(seed: int) -> tuple[Mesh, Mesh]:
    """Trunk with boughs, and crown."""
    rng = np.random.default_rng(seed)
    trunk = np.stack(
        [0.05 * np.sin(np.linspace(0, 3, 16)), 0.04 * np.cos(np.linspace(0, 2.4, 16)), np.linspace(0, 1.75, 16)], -1
    )
    parts, tips = [tube(trunk, np.linspace(0.15, 0.085, 16), 20)], [trunk[-1] + (0, 0, 0.5)]
    for number in range(6):
        angle = 2 * np.pi * number / 6 + rng.uniform(-0.3, 0.3)
        out = np.array([np.cos(angle), np.sin(angle), 0.75])
        bough = _bough(trunk[11 + number % 4], out / np.linalg.norm(out), rng.uniform(0.75, 1.0), np.array([0, 0, 0.8]))
        parts.append(tube(bough, np.linspace(0.05, 0.016, 12), 10))
        tips.append(bough[-1])
    return merged(*parts), _crown(np.array(tips), rng.uniform(0.42, 0.58, len(tips)), 2600, 0.075, seed)


def _gate() -> Mesh:
    gate = [
        tube(np.array([[x, 0.3, 0.0], [x, 0.3, 0.9], [x, 0.3, 1.35 + 0.2 * np.cos(2.6 * x)]]), 0.014, 8)
        for x in np.linspace(-0.44, 0.44, 9)
    ]
    gate += [
        tube(np.stack([np.linspace(-0.48, 0.48, 8), np.full(8, 0.3), np.full(8, z)], -1), 0.014, 8) for z in (0.25, 1.15)
    ]
    return merged(*gate)


def _fountain() -> list[Solid]:
    basin = curve([(0.0, 0.2), (0.62, 0.2), (0.68, 0.22), (0.7, 0.42), (0.8, 0.42), (0.82, 0.36), (0.78, 0.0)][::-1], 50)
    column = curve(
        [
            (0.16, 0.2),
            (0.09, 0.36),
            (0.075, 0.7),
            (0.12, 0.8),
            (0.4, 0.93),
            (0.42, 0.97),
            (0.1, 0.9),
            (0.05, 1.05),
            (0.09, 1.15),
            (0.0, 1.26),
        ],
        70,
    )
    return [
        Solid("fountain", lathe(basin, 96).moved((-0.75, -0.1, 0)), plain((0.82, 0.79, 0.73), 0.07, 0.8)),
        Solid("fountain", lathe(column, 64).moved((-0.75, -0.1, 0)), plain((0.85, 0.82, 0.76), 0.06, 0.7)),
        Solid(
            "water",
            lathe([(0.7, 0.34), (0.35, 0.345), (0.0, 0.34)], 64).moved((-0.75, -0.1, 0)),
            plain((0.28, 0.5, 0.55), 0.05, 0.4),
        ),
    ]


def _plants() -> list[Solid]:
    """Bushes in pots, and flowers on one of them."""
    pot = lathe(
        curve([(0.0, 0.0), (0.15, 0.0), (0.22, 0.22), (0.2, 0.34), (0.25, 0.38), (0.23, 0.4), (0.18, 0.36), (0.0, 0.34)], 40)
    )
    glaze = pottery((0.24, 0.42, 0.5), [(0.2, 0.24, (0.88, 0.82, 0.68))], (0.88, 0.82, 0.68), 0.33, 16)
    clay = pottery((0.74, 0.42, 0.28), [(0.44, 0.48, (0.85, 0.68, 0.5))], (0.5, 0.25, 0.16), 0.3, 14)
    bushes = {
        (-2.15, 0.75): _crown(
            np.array([[0, 0, 0.62], [0.1, 0.05, 0.5], [-0.12, 0, 0.52]]), np.array([0.26, 0.22, 0.22]), 900, 0.05, 1
        ),
        (0.72, 1.55): _crown(
            np.array([[0, 0, 0.66], [0, 0.02, 0.95], [0, 0, 1.2]]), np.array([0.27, 0.22, 0.14]), 1000, 0.05, 2
        ),
        (-0.88, 1.55): _crown(
            np.array([[0, 0, 0.66], [0, 0.02, 0.95], [0, 0, 1.2]]), np.array([0.27, 0.22, 0.14]), 1000, 0.05, 3
        ),
    }
    flowers = merged(
        *(
            sphere(0.035, 0.8, 10).moved((-2.15 + x, 0.75 + y, z))
            for x, y, z in [
                (0.1, -0.22, 0.62),
                (-0.14, -0.19, 0.72),
                (0.02, -0.24, 0.48),
                (0.2, -0.14, 0.74),
                (-0.2, -0.16, 0.52),
                (-0.02, -0.2, 0.83),
            ]
        )
    )
    return [
        *(Solid("pot", pot.moved((x, y, 0)), clay if y < 1 else glaze) for x, y in bushes),
        *(
            Solid("bush", bush.moved((x, y, 0)), foliage((0.14, 0.34, 0.18), (0.34, 0.54, 0.26)))
            for (x, y), bush in bushes.items()
        ),
        Solid("flowers", flowers, fruit((0.9, 0.3, 0.4), (0.98, 0.7, 0.65))),
    ]


def _seat() -> Mesh:
    """A garden bench of slats."""
    slats = [box((1.3, 0.085, 0.03), 0.1).moved((0, y, 0.43)) for y in (-0.15, -0.05, 0.05, 0.15)]
    slats += [box((1.3, 0.03, 0.085), 0.1).moved((0, 0.23, z)) for z in (0.58, 0.71, 0.84)]
    frame = [box((0.06, 0.4, 0.43), 0.1).moved((x, 0, 0)) for x in (-0.55, 0.55)] + [
        box((0.06, 0.05, 0.95), 0.1).moved((x, 0.26, 0)) for x in (-0.55, 0.55)
    ]
    return merged(*slats, *frame)


def courtyard() -> list[Solid]:
    """A paved court: brick walls with an archway, a tree, a fountain, pots and a bench, under the sky."""
    front, reveal = _arch(1.0, 2.2, 0.4)
    trunk, crown = _tree(5)
    behind = hills(
        ((0.9, 0.9, 0.86), (0.6, 0.76, 0.9)), (1, 1, 0.95), [(0.55, 0.66, 0.55), (0.4, 0.54, 0.36), (0.3, 0.42, 0.22)]
    )
    return [
        Solid(
            "pavement",
            quad((-4.5, -4.5, 0), (9.0, 0, 0), (0, 8.1, 0), 0.11),
            cobbles(
                [(0.66, 0.62, 0.56), (0.58, 0.55, 0.52), (0.72, 0.66, 0.56), (0.55, 0.5, 0.45)], (0.36, 0.34, 0.28), 0.34
            ),
        ),
        Solid("wall", quad((-4.5, 2.2, 0), (3.62, 0, 0), (0, 0, 3.0), 0.14), BRICK),
        Solid("wall", quad((0.72, 2.2, 0), (3.78, 0, 0), (0, 0, 3.0), 0.14), BRICK),
        Solid("wall", front.moved((-0.08, 2.2, 0)), BRICK),
        Solid("archway", reveal.moved((-0.08, 2.2, 0)), plain((0.8, 0.76, 0.68), 0.06, 0.8)),
        Solid("gate", _gate().moved((-0.08, 2.2, 0)), plain((0.14, 0.17, 0.16))),
        Solid("garden", quad((-1.6, 3.6, -0.1), (3.2, 0, 0), (0, 0, 2.8), 0.2, unit=True), behind),
        Solid(
            "coping",
            merged(
                *(box((9.0, 0.5, 0.12), 0.2).moved((0, 2.38, 3.0)), box((0.5, 6.7, 0.12), 0.2).moved((-3.3, -1.15, 2.5)))
            ),
            plain((0.82, 0.79, 0.72), 0.06, 1.0),
        ),
        Solid("wall", quad((-3.1, -4.5, 0), (0, 6.7, 0), (0, 0, 2.5), 0.14), plain((0.88, 0.78, 0.6), 0.035, 2.5)),
        Solid(
            "tile frieze",
            quad((-3.09, -4.5, 0.9), (0, 6.7, 0), (0, 0, 0.48), 0.14),
            tiles([(0.2, 0.4, 0.6), (0.9, 0.87, 0.78), (0.85, 0.62, 0.25), (0.25, 0.52, 0.5)], (0.8, 0.78, 0.72), 0.16),
        ),
        *_fountain(),
        Solid("tree", trunk.moved((2.0, 0.7, 0), scale=1.05), TIMBER),
        Solid("leaves", crown.moved((2.0, 0.7, 0), scale=1.05), foliage((0.2, 0.4, 0.14), (0.55, 0.66, 0.26))),
        *_plants(),
        Solid("bench", _seat().moved((1.55, 1.75, 0), yaw=-4), TIMBER),
        Solid("ball", sphere(0.17).moved((0.75, -0.75, 0)), stripes([(0.92, 0.32, 0.2), (0.95, 0.92, 0.85)], 1 / 8)),
    ]


def _ground(size: float, spacing: float) -> Mesh:
    side = np.arange(-size, size + spacing, spacing)
    x, y = np.meshgrid(side, side, indexing="ij")
    return sheet(np.stack([x, y, _height(x, y)], -1), np.stack([x, y], -1))


def _height(x: Array, y: Array) -> Array:
    return 0.09 * np.sin(0.9 * x + 0.4) + 0.07 * np.cos(1.1 * y - 0.5 * x) + 0.012 * np.maximum(y - 2, 0) ** 2


def _birches(rng: np.random.Generator) -> tuple[list[Solid], Mesh, Array]:
    """Trunks, their boughs, and the places (N, 3) of the crowns."""
    trunks, boughs, crowns = [], [], []
    for x, y in (
        (-2.4, 1.6),
        (-1.45, 3.0),
        (-0.7, 0.9),
        (0.25, 2.4),
        (1.1, 0.55),
        (1.75, 2.9),
        (2.7, 1.5),
        (-3.2, 3.6),
        (3.3, 4.0),
        (0.8, 4.6),
        (-0.6, 5.0),
    ):
        foot = float(_height(np.array(x), np.array(y))) - 0.05
        lean, tall = rng.uniform(-0.14, 0.14, 2), rng.uniform(3.6, 4.4)
        t = np.linspace(0, 1, 26)
        path = np.stack(
            [x + lean[0] * t + 0.05 * np.sin(4 * t + x), y + lean[1] * t + 0.04 * np.cos(3 * t + y), foot + tall * t], -1
        )
        trunks.append(Solid("birch", tube(path, np.linspace(0.115, 0.055, 26) * rng.uniform(0.85, 1.15), 24), birch()))
        for _ in range(4):
            at, angle = path[rng.integers(13, 24)], rng.uniform(0, 2 * np.pi)
            out = np.array([np.cos(angle), np.sin(angle), 0.9]) / 1.35
            bough = _bough(at, out, rng.uniform(0.45, 0.8), np.array([0, 0, -0.5]))
            boughs.append(tube(bough, np.linspace(0.02, 0.006, 12), 7))
            crowns.append(bough[-1])
        crowns.append(path[-1])
    return trunks, merged(*boughs), np.array(crowns)


def _fence(rng: np.random.Generator) -> tuple[Mesh, Mesh]:
    """Posts, and the planks between them."""
    posts, planks = [], []
    for number in range(9):
        x = -3.4 + 0.85 * number
        y = 0.15 * np.sin(1.7 * number) - 0.15
        posts.append(
            box((0.09, 0.09, 0.95), 0.1).moved(
                (x, y, float(_height(np.array(x), np.array(y))) - 0.05), yaw=rng.uniform(-8, 8)
            )
        )
    for left, right in itertools.pairwise(posts):
        for share in (0.42, 0.78):
            ends = np.array(
                [
                    mesh.vertices.mean(axis=0) * (1, 1, 0) + (0, -0.06, mesh.vertices[:, 2].min() + share * 0.95)
                    for mesh in (left, right)
                ]
            )
            planks.append(tube(np.linspace(ends[0], ends[1], 9), 0.027, 10))
    return merged(*posts), merged(*planks)


def _boulders() -> list[Mesh]:
    stones = []
    for x, y, radius in (
        (-1.75, -0.75, 0.33),
        (-1.3, -1.05, 0.17),
        (1.85, -0.75, 0.25),
        (0.45, 1.2, 0.38),
        (2.15, -1.05, 0.13),
    ):
        ball = sphere(radius, 0.72, 36)
        bump = (
            1
            + 0.12 * np.sin(ball.vertices[:, :1] * 9 / radius * 0.4 + x)
            + 0.1 * np.cos(ball.vertices[:, 1:2] * 3.2 / radius + y)
        )
        stone = displaced(ball, ball.vertices * bump)
        stones.append(stone.moved((x, y, float(_height(np.array(x), np.array(y))) - 0.06)))
    return stones


def _ridges() -> list[Solid]:
    """Hills, the nearest first."""
    far = [(26.0, (0.36, 0.5, 0.34), 2.2, 0.0), (38.0, (0.42, 0.55, 0.5), 5.5, 1.3), (55.0, (0.56, 0.67, 0.72), 10.5, 2.1)]
    ridges = []
    for away, hue, tall, phase in far:
        across = np.linspace(-1.3 * away, 1.3 * away, 160)
        crest = tall * (
            0.62
            + 0.25 * np.sin(0.14 * across + phase)
            + 0.1 * np.sin(0.43 * across + 2 * phase)
            + 0.04 * np.sin(1.7 * across)
        )
        rise = np.linspace(0, 1, 7)
        points = np.stack(
            [
                np.broadcast_to(across[:, None], (160, 7)),
                np.broadcast_to(away + 4 * rise, (160, 7)),
                crest[:, None] * rise - 0.5,
            ],
            -1,
        )
        ridges.append(Solid("hills", sheet(points, np.stack([points[..., 0], points[..., 2]], -1)), plain(hue, 0.07, 9.0)))
    return ridges


def grove() -> list[Solid]:
    """Birches, poles and a fence in a meadow with boulders, before hills and sky: thin parts and much occlusion."""
    rng = np.random.default_rng(12)
    trunks, boughs, tops = _birches(rng)
    posts, planks = _fence(rng)
    house = merged(
        box((0.3, 0.26, 0.3), 0.05),
        quad((-0.2, -0.2, 0.28), (0.4, 0, 0), (0, 0.2, 0.2), 0.05),
        quad((0.2, 0.2, 0.28), (-0.4, 0, 0), (0, -0.2, 0.2), 0.05),
    )
    return [
        Solid("meadow", _ground(11.0, 0.16), meadow((0.3, 0.45, 0.16), (0.55, 0.62, 0.28), (0.97, 0.93, 0.75))),
        Solid("meadow", quad((-90, 10.9, -0.2), (180, 0, 0), (0, 60, 0.2), 4.0), plain((0.46, 0.56, 0.26), 0.06, 12.0)),
        *_ridges(),
        *trunks,
        Solid("boughs", boughs, plain((0.36, 0.28, 0.22))),
        Solid(
            "leaves", _crown(tops, np.full(len(tops), 0.42), 5200, 0.07, 8), foliage((0.42, 0.56, 0.16), (0.8, 0.74, 0.26))
        ),
        Solid("fence", posts, TIMBER),
        Solid("fence", planks, wood((0.66, 0.54, 0.4), (0.48, 0.37, 0.26), 0.3, 2.0)),
        *(Solid("boulder", stone, plain((0.6, 0.58, 0.55), 0.13, 0.8)) for stone in _boulders()),
        Solid("birdhouse", house.moved((1.1, 0.36, 1.55)), stripes([(0.8, 0.3, 0.2), (0.92, 0.86, 0.74)], 0.06)),
        Solid(
            "basket",
            lathe(curve([(0.0, 0.01), (0.15, 0.0), (0.21, 0.22), (0.19, 0.22), (0.0, 0.08)], 36)).moved(
                (-0.35, -0.95, 0.03)
            ),
            wood((0.82, 0.62, 0.36), (0.5, 0.32, 0.16), 0.02, 0.06),
        ),
        *(
            Solid(
                "apple",
                sphere(0.075, 0.92, 24).moved((-0.35 + x, -0.95 + y, z), yaw=80 * x),
                fruit((0.8, 0.18, 0.12), (0.92, 0.75, 0.25)),
            )
            for x, y, z in ((-0.07, 0.03, 0.15), (0.08, 0.04, 0.16), (0.01, -0.08, 0.17), (0.35, -0.1, 0.02))
        ),
        Solid(
            "post",
            cylinder(0.05, 1.3, 0.1, 20).moved((-0.02, -0.35, 0)),
            stripes([(0.9, 0.88, 0.82), (0.78, 0.22, 0.16)], 0.22, across=True),
        ),
    ]
