"""Meshes of the procedural scenes: quads, boxes, surfaces of revolution, tubes; z is up, lengths are in metres.

Surfaces are cut into small facets, because ambient light is stored at the vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.types import Array

Vector = Sequence[float] | Array


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices (V, 3), triangles (T, 3) int, normals (V, 3) unit, coordinates (V, 2): texture coordinates."""

    vertices: Array
    triangles: Array
    normals: Array
    coordinates: Array

    def moved(self, translation: Vector = (0, 0, 0), yaw: float = 0.0, tilt: float = 0.0, scale: float = 1.0) -> Mesh:
        """Scaled, tilted about x, turned about z (degrees), then shifted."""
        turn, lean = np.radians(yaw), np.radians(tilt)
        about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        about_x = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
        rotation = about_z @ about_x
        vertices = scale * self.vertices @ rotation.T + np.asarray(translation, float)
        return Mesh(vertices, self.triangles, self.normals @ rotation.T, self.coordinates)


def merged(*meshes: Mesh) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.coordinates for mesh in meshes]),
    )


def sheet(points: Array, coordinates: Array) -> Mesh:
    """The mesh of a grid of points (M, N, 3) with texture coordinates (M, N, 2); normals d(point)/dm x d(point)/dn."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return Mesh(points.reshape(-1, 3), triangles, normals.reshape(-1, 3), coordinates.reshape(-1, 2))


def displaced(mesh: Mesh, vertices: Array) -> Mesh:
    """The mesh with its vertices moved, its normals the means of its facets' normals."""
    corners = vertices[mesh.triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, mesh.triangles[:, corner], facets)
    normals *= np.sign((normals * mesh.normals).sum(axis=1, keepdims=True))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Mesh(vertices, mesh.triangles, normals, mesh.coordinates)


def quad(origin: Vector, edge_u: Vector, edge_v: Vector, spacing: float = 0.1, unit: bool = False) -> Mesh:
    """A parallelogram facing edge_u x edge_v. Texture coordinates in metres along its edges, or in [0, 1] where `unit`."""
    origin, edge_u, edge_v = (np.asarray(vector, float) for vector in (origin, edge_u, edge_v))
    lengths = np.linalg.norm(edge_u), np.linalg.norm(edge_v)
    u, v = (np.linspace(0, 1, max(2, int(np.ceil(length / spacing)) + 1)) for length in lengths)
    u, v = np.meshgrid(u, v, indexing="ij")
    points = origin + u[..., None] * edge_u + v[..., None] * edge_v
    return sheet(points, np.stack([u, v], -1) * (1 if unit else np.array(lengths)))


def box(size: Vector, spacing: float = 0.1) -> Mesh:
    """A box standing on z = 0, centred on the z axis; each side has texture coordinates in metres, v upwards."""
    x, y, z = (float(side) for side in size)
    sides = [
        quad((-x / 2, -y / 2, 0), (x, 0, 0), (0, 0, z), spacing),
        quad((x / 2, -y / 2, 0), (0, y, 0), (0, 0, z), spacing),
        quad((x / 2, y / 2, 0), (-x, 0, 0), (0, 0, z), spacing),
        quad((-x / 2, y / 2, 0), (0, -y, 0), (0, 0, z), spacing),
        quad((-x / 2, -y / 2, z), (x, 0, 0), (0, y, 0), spacing),
        quad((-x / 2, y / 2, 0), (x, 0, 0), (0, -y, 0), spacing),
    ]
    return merged(*sides)


def lathe(profile: Sequence[tuple[float, float]], segments: int = 64) -> Mesh:
    """A surface of revolution about z; the profile lists (radius, height) with the outside on its right-hand side going up.

    Texture coordinates: u in [0, 1] around, v the length along the profile in metres.
    """
    radius, height = np.array(profile, float).T
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    points = np.stack(
        [
            np.cos(angle)[:, None] * radius,
            np.sin(angle)[:, None] * radius,
            np.broadcast_to(height, (segments + 1, len(radius))),
        ],
        -1,
    )
    slope = np.gradient(np.stack([radius, height], -1), axis=0)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-12)
    normals = np.stack(
        [
            np.cos(angle)[:, None] * slope[:, 1],
            np.sin(angle)[:, None] * slope[:, 1],
            np.broadcast_to(-slope[:, 0], (segments + 1, len(radius))),
        ],
        -1,
    )
    u, v = np.meshgrid(angle / (2 * np.pi), along, indexing="ij")
    mesh = sheet(points, np.stack([u, v], -1))
    return Mesh(mesh.vertices, mesh.triangles, normals.reshape(-1, 3), mesh.coordinates)


def curve(knots: Sequence[tuple[float, float]], count: int = 40) -> list[tuple[float, float]]:
    """A smooth profile through knots (radius, height), for `lathe`."""
    from scipy.interpolate import PchipInterpolator

    radius, height = np.array(knots, float).T
    at = np.linspace(0, len(knots) - 1, count)
    where = np.arange(len(knots))
    return list(zip(PchipInterpolator(where, radius)(at), PchipInterpolator(where, height)(at), strict=True))


def sphere(radius: float, squash: float = 1.0, segments: int = 48) -> Mesh:
    """A ball standing on z = 0, its height scaled by `squash`."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe([(radius * np.cos(a), radius * squash * (1 + np.sin(a))) for a in angle], segments)


def cylinder(radius: float, height: float, spacing: float = 0.1, segments: int = 48) -> Mesh:
    """A closed cylinder standing on z = 0."""
    steps = np.linspace(0, height, max(2, int(np.ceil(height / spacing)) + 1))
    return merged(
        lathe([(radius, z) for z in steps], segments),
        lathe([(radius, height), (radius / 2, height), (0, height)], segments),
        lathe([(0, 0), (radius, 0)], segments),
    )


def tube(path: Array, radius: float | Array, sides: int = 12) -> Mesh:
    """A tube about a path (N, 3); radius: one or one a point. Texture coordinates: u around in [0, 1], v along in metres."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radius, float), len(path))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # A fixed reference direction keeps neighbouring rings aligned; it is the world axis least along the path.
    reference = np.eye(3)[np.argmin(np.abs(tangent).max(axis=0))]
    side = np.cross(tangent, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[:, None, None]
    normals = np.cos(angle) * side + np.sin(angle) * other
    points = path + radius[:, None] * normals
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    u, v = np.meshgrid(np.linspace(0, 1, sides + 1), along, indexing="ij")
    mesh = sheet(points, np.stack([u, v], -1))
    return Mesh(mesh.vertices, mesh.triangles, normals.reshape(-1, 3), mesh.coordinates)
