"""Camera poses from files: a rotation and a translation, or the reason why a matrix is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.types import Array, UserError, rigid_inverse

#: How far a matrix of a file may be from a rotation: files carry three digits or more.
TOLERANCE = 1e-3
#: No coordinate in any unit is larger (the Earth's size in millimetres is 1.3e10): a number beyond is damage.
FARTHEST = 1e12


def rigid(matrix: Any, tolerance: float = TOLERANCE) -> tuple[Array, float]:
    """The rotation and translation of a matrix that a file gives.

    Args:
        matrix: (3, 4) or (4, 4): [s R | t], with a last row (0, 0, 0, 1).
        tolerance: The greatest deviation of R from the nearest rotation.

    Returns:
        [R | t] (4, 4) float64 with R the nearest rotation, and the scale s.

    Raises:
        UserError: The matrix is of another shape, not finite, transposed, a reflection, or no rotation times a scale.
    """
    try:
        values = np.array(matrix, np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.zeros(0)
    if values.shape not in {(3, 4), (4, 4)}:
        raise UserError("is no 4x4 matrix of numbers")
    if not np.isfinite(values).all():
        raise UserError("holds numbers that are not finite")
    if np.abs(values).max() > FARTHEST:
        raise UserError(f"holds the number {values.flat[np.abs(values).argmax()]:g}, which is no length")
    if len(values) == 4 and not np.allclose(values[3], (0, 0, 0, 1), atol=TOLERANCE):
        turned = " (is the matrix transposed?)" if np.allclose(values[:, 3], (0, 0, 0, 1), atol=TOLERANCE) else ""
        raise UserError(f"has the last row {_shown(values[3])} instead of (0, 0, 0, 1){turned}")
    with np.errstate(over="ignore", invalid="ignore"):
        determinant = float(np.linalg.det(values[:3, :3]))
    if not np.isfinite(determinant) or abs(determinant) < 1e-12:
        raise UserError(f"is no rotation: its axes have the determinant {determinant:g}")
    if determinant < 0:
        raise UserError(
            f"is a reflection, no rotation (determinant {determinant:.3g}): an axis of the exporter points the other way"
        )
    scale = determinant ** (1 / 3)
    left, _, right = np.linalg.svd(values[:3, :3] / scale)
    rotation = left @ right
    away = float(np.abs(values[:3, :3] / scale - rotation).max())
    if away > tolerance:
        raise UserError(f"is not a rotation (it is {away:.2g} away from the nearest one)")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, values[:3, 3]
    return pose, scale if abs(scale - 1) > tolerance else 1.0


def from_camera_to_world(matrix: Any, tolerance: float = TOLERANCE) -> Array:
    """World-to-camera (4, 4) of a camera-to-world matrix.

    A scale of the axes is left out: it stretches the camera's own space, of which a photo tells nothing.

    Raises:
        UserError: As `rigid`.
    """
    pose, _ = rigid(matrix, tolerance)
    return rigid_inverse(pose)


def from_world_to_camera(matrix: Any, tolerance: float = TOLERANCE) -> Array:
    """World-to-camera (4, 4) of a world-to-camera matrix; a scale s of the axes scales the translation by 1 / s.

    Raises:
        UserError: As `rigid`.
    """
    pose, scale = rigid(matrix, tolerance)
    pose[:3, 3] /= scale
    return pose


def from_quaternion(values: Array) -> Array:
    """World-to-camera (4, 4) of (qw, qx, qy, qz, tx, ty, tz), as COLMAP has it.

    Raises:
        UserError: The numbers are not finite, or the quaternion is not of length one.
    """
    from scipy.spatial.transform import Rotation

    if not np.isfinite(values).all() or np.abs(values).max() > FARTHEST:
        raise UserError("holds numbers that are not finite, or no lengths")
    length = float(np.linalg.norm(values[:4]))
    if abs(length - 1) > 1e-2:
        raise UserError(f"has no rotation: its quaternion is of length {length:.3g} instead of 1")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(np.roll(values[:4], -1)).as_matrix()
    pose[:3, 3] = values[4:]
    return pose


def _shown(row: Array) -> str:
    return "(" + ", ".join(f"{value:g}" for value in row) + ")"
