"""A set of 3D Gaussians with spherical-harmonic colours, as the renderers take it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from bench.core.errors import UserError

#: Coefficients per colour channel of spherical harmonics of degree 0, 1, 2 and 3.
COEFFICIENTS = (1, 4, 9, 16)
#: The constant spherical harmonic, 1 / (2 sqrt(pi)): a colour is 0.5 + SH_0 times the first coefficient, seen from anywhere.
SH_0 = 0.28209479177387814


class SplatError(UserError, ValueError):
    """Gaussians, a camera or a PLY file that cannot be used: the message names the field and what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N anisotropic 3D Gaussians (3D Gaussian Splatting, arXiv:2308.04079), with activated values.

    means: (N, 3) world. quaternions: (N, 4), w x y z, rotating the Gaussian's axes into the world; they need not be
    normalised but must not be zero. scales: (N, 3) standard deviations along those axes, not negative. opacities: (N,) in
    [0, 1]. spherical_harmonics: (N, K, 3), K in 1, 4, 9, 16; the renderer adds 0.5 to their value and clamps it at 0.
    All on one device and of one float type. Raises SplatError for wrong shapes, types or devices; values are checked when
    the Gaussians are rendered.
    """

    means: Tensor
    quaternions: Tensor
    scales: Tensor
    opacities: Tensor
    spherical_harmonics: Tensor

    def __post_init__(self) -> None:
        count = self.means.shape[0] if self.means.ndim else 0
        for name, tail in (("means", (3,)), ("quaternions", (4,)), ("scales", (3,)), ("opacities", ())):
            _expect_shape(name, getattr(self, name), (count, *tail))
        harmonics = self.spherical_harmonics
        coefficients = harmonics.shape[1] if harmonics.ndim == 3 else 0
        if coefficients not in COEFFICIENTS:
            raise SplatError(
                f"spherical_harmonics has shape {tuple(harmonics.shape)}; expected (N, K, 3) with K in {COEFFICIENTS}"
            )
        _expect_shape("spherical_harmonics", harmonics, (count, coefficients, 3))
        for field in fields(self):
            tensor = getattr(self, field.name)
            if not tensor.is_floating_point():
                raise SplatError(f"{field.name} has type {tensor.dtype}; expected a floating-point type")
            if tensor.dtype != self.means.dtype or tensor.device != self.means.device:
                raise SplatError(
                    f"{field.name} is {tensor.dtype} on {tensor.device}, means is {self.means.dtype} on "
                    f"{self.means.device}; bring all fields to one type and device"
                )

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def degree(self) -> int:
        """The degree of the spherical harmonics, 0 to 3."""
        return COEFFICIENTS.index(self.spherical_harmonics.shape[1])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Gaussians:
        """The same Gaussians on another device or in another float type; differentiable."""
        return Gaussians(*(getattr(self, field.name).to(device=device, dtype=dtype) for field in fields(self)))

    def select(self, index: Tensor) -> Gaussians:
        """The Gaussians of an index (M,) of integers or a mask (N,) of bool; differentiable."""
        return Gaussians(*(getattr(self, field.name)[index] for field in fields(self)))

    def detach(self) -> Gaussians:
        """The same values without their history."""
        return Gaussians(*(getattr(self, field.name).detach() for field in fields(self)))


def _expect_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise SplatError(f"{name} has shape {tuple(tensor.shape)}; expected {shape}")
