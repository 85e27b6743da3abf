"""Poses: quaternion to matrix and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.splat import SplatError, matrix_to_quaternion, pose_matrix, rotation_matrix

NUMBERS = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=60)
@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).filter(lambda q: sum(x * x for x in q) > 1e-3))
def test_agrees_with_scipy_and_inverts(values: tuple[float, float, float, float]) -> None:
    quaternion = torch.tensor(values, dtype=torch.float64)
    translation = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    pose = pose_matrix(quaternion, translation)
    w, x, y, z = values
    assert torch.allclose(pose[:3, :3], torch.from_numpy(Rotation.from_quat([x, y, z, w]).as_matrix()), atol=1e-12)
    assert pose[:3, 3].tolist() == [1.0, -2.0, 3.0]
    assert pose[3].tolist() == [0.0, 0.0, 0.0, 1.0]
    back = matrix_to_quaternion(pose)
    unit = quaternion / quaternion.norm()
    assert min((back - unit).norm(), (back + unit).norm()) < 1e-7
    assert back[0] >= 0
    assert torch.allclose(rotation_matrix(back), pose[:3, :3], atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns(axis: int) -> None:
    """w = 0, where formulas that divide by w or by the trace fail."""
    matrix = -torch.eye(3)
    matrix[axis, axis] = 1
    quaternion = matrix_to_quaternion(matrix)
    assert quaternion.dtype == torch.float32
    assert quaternion.abs().tolist() == pytest.approx([0.0, *(float(i == axis) for i in range(3))], abs=1e-6)


def test_gradient_is_tangent() -> None:
    quaternion = torch.tensor([0.9, 0.1, -0.3, 0.2], dtype=torch.float64, requires_grad=True)
    translation = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pose_matrix, (quaternion, translation))
    pose_matrix(quaternion, translation)[:3, :3].mul(torch.arange(9.0).view(3, 3)).sum().backward()
    assert quaternion.grad is not None
    assert math.isclose(float(quaternion.grad @ quaternion.detach()), 0, abs_tol=1e-12)


def test_wrong_shapes() -> None:
    with pytest.raises(SplatError, match="quaternion has shape"):
        pose_matrix(torch.zeros(3), torch.zeros(3))
    with pytest.raises(SplatError, match="translation has shape"):
        pose_matrix(torch.ones(4), torch.zeros(3, 1))
    with pytest.raises(SplatError, match="matrix has shape"):
        matrix_to_quaternion(torch.eye(2))
