"""Poses as a unit quaternion and a translation: what pose refinement optimises."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.splat.gaussians import SplatError


def rotation_matrix(quaternions: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), w x y z, which are normalised first; differentiable."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def pose_matrix(quaternion: Tensor, translation: Tensor) -> Tensor:
    """The rigid transform (4, 4) of a quaternion (4,), w x y z, normalised first, and a translation (3,); differentiable.

    With a world-to-camera quaternion and translation this is what `rasterize` takes. Raises SplatError for wrong shapes.
    """
    for name, tensor, shape in (("quaternion", quaternion, (4,)), ("translation", translation, (3,))):
        if tuple(tensor.shape) != shape:
            raise SplatError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
    upper = torch.cat([rotation_matrix(quaternion), translation[:, None]], dim=1)
    return torch.cat([upper, torch.eye(4, dtype=upper.dtype, device=upper.device)[3:]])  # made there: no copy to a GPU


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """The unit quaternion (4,), w x y z, w >= 0, of a rotation (3, 3) or of a pose (4, 4): the inverse of `pose_matrix`.

    Not differentiable. The quaternion is the leading eigenvector of a symmetric 4 x 4 matrix (Bar-Itzhack 2000), which is
    accurate at every angle and gives the nearest rotation where the matrix is only nearly orthogonal.
    """
    if tuple(matrix.shape) not in ((3, 3), (4, 4)):
        raise SplatError(f"matrix has shape {tuple(matrix.shape)}; expected (3, 3) or (4, 4)")
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = matrix[:3, :3].detach().double().tolist()
    symmetric = torch.tensor(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ],
        dtype=torch.float64,
    )
    quaternion = torch.linalg.eigh(symmetric).eigenvectors[:, -1]
    if quaternion[0] < 0:
        quaternion = -quaternion
    return quaternion.to(matrix)
