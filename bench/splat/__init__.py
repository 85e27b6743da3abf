"""Gaussian splats: the nouns, three rasterizers with one interface, and PLY files."""

from bench.splat.cameras import matrix_to_quaternion, pose_matrix, rotation_matrix
from bench.splat.gaussians import SH_0, Gaussians, SplatError
from bench.splat.paths import interpolated, looked_at, orbit
from bench.splat.ply import read_ply, write_ply, write_points
from bench.splat.render import Backend, Rendering, available_backends, backend_reasons, rasterize
from bench.splat.visibility import most_visible, seen_by, visibility

__all__ = [
    "SH_0",
    "Backend",
    "Gaussians",
    "Rendering",
    "SplatError",
    "available_backends",
    "backend_reasons",
    "interpolated",
    "looked_at",
    "matrix_to_quaternion",
    "most_visible",
    "orbit",
    "pose_matrix",
    "rasterize",
    "read_ply",
    "rotation_matrix",
    "seen_by",
    "visibility",
    "write_ply",
    "write_points",
]
