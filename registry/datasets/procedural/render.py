"""Ray casting of the procedural scenes with Open3D: photo and exact depth, normals and segments.

Light: one sun or lamp that casts shadows, and ambient light from above and below, dimmed in corners (ambient occlusion, kept
at the vertices). All surfaces are Lambertian: a surface point has the same colour in every view. The display gamma is 2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.types import Array, Camera, Unavailable, View
from registry.datasets.procedural.shapes import Mesh, Vector, merged
from registry.datasets.procedural.textures import Colour, Texture

WIDTH, HEIGHT = 512, 384
#: Offsets of the samples of a pixel from its centre; the first, at the centre, also gives depth, normal and segment.
_SAMPLES = ((0.0, 0.0), (-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
_OFFSET = 1e-3  #: rays that leave a surface start this far from it, in metres, against hitting it again
_OCCLUSION_RAYS = 24
_CONTRAST = 0.045  #: difference of neighbouring pixels, of 1, above which they are sampled more finely


@dataclass(frozen=True, eq=False)
class Solid:
    """One object: a segment of its own, named `label`."""

    label: str
    mesh: Mesh
    texture: Texture


@dataclass(frozen=True, eq=False)
class Light:
    """A sun (position None; `direction` points to it) or a lamp at `position`.

    radius: of the sun's disc in radians or of the lamp in metres; it makes the edges of shadows soft. reach: the distance in
    metres at which a lamp gives its colour."""

    colour: Colour
    direction: Vector = (0, 0, 1)
    position: Vector | None = None
    radius: float = 0.02
    reach: float = 1.0


@dataclass(frozen=True, eq=False)
class Stage:
    """A procedural scene. train, test: (eye, target) of each view. sky: (azimuth in turns, elevation in quarter turns)."""

    solids: tuple[Solid, ...]
    light: Light
    ambient_above: Colour
    ambient_below: Colour
    train: tuple[tuple[Vector, Vector], ...]
    test: tuple[tuple[Vector, Vector], ...]
    fov_x: float = 58.0
    exposure: float = 1.0
    sky: Texture | None = None
    occlusion_reach: float = 0.6


def look_at(eye: Vector, target: Vector, fov_x: float, width: int = WIDTH, height: int = HEIGHT) -> Camera:
    """The camera at `eye` that looks at `target`, upright (z up)."""
    forward = np.asarray(target, float) - np.asarray(eye, float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = -pose[:3, :3] @ np.asarray(eye, float)
    focal = width / 2 / np.tan(np.radians(fov_x) / 2)
    return Camera(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]), pose, width, height)


@functools.lru_cache(maxsize=1)
def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise Unavailable(
            f"the procedural scenes are ray-cast with Open3D, which does not load here ({error}): install it with "
            "`pip install open3d`; where a system library is missing, `apt-get install libusb-1.0-0 libgl1 libgomp1`"
        ) from error
    return open3d


@dataclass(frozen=True, eq=False)
class _Hits:
    """What N rays hit. distance: (N,) in lengths of the ray's direction, inf = nothing; triangle: (N,) int; weights: (N, 2)
    barycentric of the second and third corner; facet: (N, 3) unit normals towards the ray's origin."""

    distance: Array
    triangle: Array
    weights: Array
    facet: Array


class StageRenderer:
    """A stage prepared for ray casting."""

    def __init__(self, stage: Stage) -> None:
        open3d = _open3d()
        self.stage = stage
        self._tensor: Callable[[Array], Any] = open3d.core.Tensor
        self._caster = open3d.t.geometry.RaycastingScene()
        mesh = merged(*(solid.mesh for solid in stage.solids))
        self._triangles = mesh.triangles
        self._vertices, self._normals = mesh.vertices.astype(np.float32), mesh.normals.astype(np.float32)
        self._owner = np.repeat(np.arange(len(stage.solids)), [len(solid.mesh.triangles) for solid in stage.solids])
        self._caster.add_triangles(self._tensor(self._vertices), self._tensor(self._triangles.astype(np.uint32)))
        openness = self._ambient_openness()
        # One row a vertex (normal, texture coordinates, openness), so that a hit gathers its three corners once.
        self._attributes = np.concatenate([self._normals, mesh.coordinates, openness[:, None]], axis=1).astype(np.float32)

    def view(self, name: str, camera: Camera) -> View:
        """The photo with its exact depth (inf: sky) and normals.

        Every pixel is sampled at its centre, and those that differ from a neighbour four times more.
        """
        shape = (camera.height, camera.width)
        origin, directions = camera.centre.astype(np.float32), _directions(camera)
        hits = self._cast(origin, directions)
        colour = self._shade(origin, directions, hits, 0)
        rough = np.flatnonzero(_uneven(np.sqrt(colour).reshape(*shape, 3)))
        steps = camera.world_to_camera[:2, :3] / camera.intrinsics[(0, 1), (0, 1)][:, None]
        for number in range(1, len(_SAMPLES)):
            shifted = directions[rough] + (np.array(_SAMPLES[number]) @ steps).astype(np.float32)
            colour[rough] += self._shade(origin, shifted, self._cast(origin, shifted), number)
        colour[rough] /= len(_SAMPLES)
        photo = np.round(255 * np.sqrt(np.clip(colour, 0, 1))).astype(np.uint8).reshape(*shape, 3)

        normal = hits.facet @ camera.world_to_camera[:3, :3].T
        normal[~np.isfinite(hits.distance)] = np.nan
        depth = hits.distance.astype(np.float32).reshape(shape)
        return View(name, photo, camera, depth, normal.astype(np.float32).reshape(*shape, 3))

    def segmentation(self, camera: Camera) -> Array:
        """(H, W) int32: the number of the solid from 1 on, 0 = sky."""
        hits = self._cast(camera.centre.astype(np.float32), _directions(camera))
        owner = np.where(np.isfinite(hits.distance), self._owner[hits.triangle] + 1, 0)
        return owner.astype(np.int32).reshape(camera.height, camera.width)

    def _distances(self, origins: Array, directions: Array) -> Array:
        rays = np.concatenate([origins, directions], axis=1, dtype=np.float32)
        return self._caster.cast_rays(self._tensor(rays))["t_hit"].numpy()

    def _cast(self, origin: Array, directions: Array) -> _Hits:
        rays = np.concatenate([np.broadcast_to(origin, directions.shape), directions], axis=1, dtype=np.float32)
        found = self._caster.cast_rays(self._tensor(rays))
        distance, facet = found["t_hit"].numpy(), found["primitive_normals"].numpy()
        triangle = np.where(np.isfinite(distance), found["primitive_ids"].numpy(), 0).astype(np.int64)
        facet = _towards(_unit(facet), -directions)
        return _Hits(distance, triangle, found["primitive_uvs"].numpy(), facet)

    def _shade(self, origin: Array, directions: Array, hits: _Hits, sample: int) -> Array:
        """Linear colour (N, 3) float32, in [0, 1]."""
        stage = self.stage
        colour = np.zeros_like(directions)
        seen, free = np.flatnonzero(np.isfinite(hits.distance)), np.flatnonzero(np.isinf(hits.distance))
        if stage.sky is not None and len(free):
            x, y, z = _unit(directions[free]).T
            colour[free] = stage.sky(np.arctan2(y, x) / (2 * np.pi), np.arcsin(z) / (np.pi / 2)) ** 2
        triangle, facet = hits.triangle[seen], hits.facet[seen]
        second, third = hits.weights[seen].T[..., None]
        corners = self._triangles[triangle]
        attributes = self._attributes[corners[:, 0]] * (1 - second - third)
        attributes += self._attributes[corners[:, 1]] * second + self._attributes[corners[:, 2]] * third
        normal, uv, openness = attributes[:, :3], attributes[:, 3:5], attributes[:, 5:]
        normal = _towards(_unit(normal), facet)

        albedo = np.empty((len(seen), 3), np.float32)
        owner = self._owner[triangle]
        order = np.argsort(owner, kind="stable")
        starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
        for chosen in np.split(order, starts[1:]) if len(order) else []:
            albedo[chosen] = stage.solids[owner[chosen[0]]].texture(uv[chosen, 0], uv[chosen, 1])
        points = origin + directions[seen] * hits.distance[seen, None]
        share = 0.5 + 0.5 * normal[:, 2:]
        ambient = share * np.array(stage.ambient_above, np.float32) + (1 - share) * np.array(stage.ambient_below, np.float32)
        light = ambient * openness + self._direct(points, normal, facet, sample)
        lit = np.clip(albedo, 0, 1) ** 2 * light * np.float32(stage.exposure)
        colour[seen] = 1.05 * (1 - np.exp(-1.25 * lit))  # a soft shoulder instead of clipped highlights
        return colour

    def _direct(self, points: Array, normal: Array, facet: Array, sample: int) -> Array:
        """Light (N, 3) of the sun or lamp, zero in its shadow. Each sample of a pixel aims at its own point of the light."""
        light = self.stage.light
        angle = 2 * np.pi * sample / len(_SAMPLES)
        jitter = light.radius * np.array([np.cos(angle), np.sin(angle), 0.0], np.float32) * (sample > 0)
        if light.position is None:
            towards = np.asarray(light.direction, np.float32) / np.linalg.norm(light.direction) + jitter
            towards = np.broadcast_to(towards / np.linalg.norm(towards), points.shape).astype(np.float32)
            strength, farthest = np.ones(len(points)), np.inf
        else:
            towards = np.asarray(light.position, np.float32) + jitter - points
            strength, farthest = light.reach**2 / _dot(towards, towards), 0.999
        cosine = _dot(normal, _unit(towards))
        lit = np.flatnonzero((cosine > 0) & (_dot(facet, towards) > 0))
        rays = np.concatenate([points[lit] + _OFFSET * facet[lit], towards[lit]], axis=1, dtype=np.float32)
        free = ~self._caster.test_occlusions(self._tensor(rays), 0.0, farthest).numpy()
        result = np.zeros((len(points), 3), np.float32)
        result[lit] = (cosine[lit] * strength[lit] * free)[:, None] * np.array(light.colour, np.float32)
        return result

    def _ambient_openness(self) -> Array:
        """(V,) in [0, 1]: how free the hemisphere over each vertex is, surfaces beyond `occlusion_reach` not counted."""
        number = np.arange(_OCCLUSION_RAYS) + 0.5
        height = np.sqrt(1 - number / _OCCLUSION_RAYS)  # cosine-weighted Fibonacci directions
        angle, radius = np.pi * (1 + 5**0.5) * number, np.sqrt(number / _OCCLUSION_RAYS)
        normal = self._normals
        helper = np.where(np.abs(normal[:, 2:]) > 0.9, (1.0, 0, 0), (0, 0, 1.0))
        side = np.cross(helper, normal)
        side = _unit(side)
        other = np.cross(normal, side)
        openness = np.zeros(len(normal))
        for a, r, h in zip(angle, radius, height, strict=True):
            direction = r * np.cos(a) * side + r * np.sin(a) * other + h * normal
            away = self._distances(self._vertices + 2 * _OFFSET * normal, direction)
            openness += np.clip(away / self.stage.occlusion_reach, 0, 1)
        return openness / _OCCLUSION_RAYS


def _dot(first: Array, second: Array) -> Array:
    return np.einsum("nc,nc->n", first, second)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), 1e-12)[:, None]


def _towards(vectors: Array, others: Array) -> Array:
    """The vectors (N, 3), each turned about where it points away from its other."""
    return np.where((_dot(vectors, others) < 0)[:, None], -vectors, vectors)


def _directions(camera: Camera) -> Array:
    """(H W, 3) float32 world directions of depth 1 through every pixel's centre."""
    x = (np.arange(camera.width) + 0.5 - camera.intrinsics[0, 2]) / camera.intrinsics[0, 0]
    y = (np.arange(camera.height) + 0.5 - camera.intrinsics[1, 2]) / camera.intrinsics[1, 1]
    right, down, forward = camera.world_to_camera[:3, :3].astype(np.float32)
    across = x.astype(np.float32)[:, None] * right + forward
    return (across + (y.astype(np.float32)[:, None] * down)[:, None]).reshape(-1, 3)


def _uneven(photo: Array) -> Array:
    """(H, W) bool: pixels that differ visibly from one of their four neighbours."""
    result = np.zeros(photo.shape[:2], bool)
    beside = np.abs(np.diff(photo, axis=1)).max(axis=-1) > _CONTRAST
    below = np.abs(np.diff(photo, axis=0)).max(axis=-1) > _CONTRAST
    result[:, 1:] |= beside
    result[:, :-1] |= beside
    result[1:] |= below
    result[:-1] |= below
    return result
