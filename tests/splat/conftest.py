"""Scenes for the rasterizers' tests: random, seeded, away from ties.

Which pixels a splat touches (alpha >= 1/255), where a pixel closes (transmittance <= 1e-4) and the order of equal depths
are decided by comparisons. Where a value lies within rounding of such a threshold, float32 and float64 may decide
differently and both are right; with a few hundred Gaussians and continuous random values that does not happen for these
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from bench.splat import Gaussians, Rendering, pose_matrix, rasterize

FIELDS = tuple(Gaussians.__dataclass_fields__)


@dataclass(frozen=True, eq=False)
class SplatScene:
    """Float64 Gaussians before a camera of width x height pixels, and the gradients that reach its rendering."""

    gaussians: Gaussians
    world_to_camera: Tensor
    intrinsics: Tensor
    width: int
    height: int

    def render(self, dtype: torch.dtype = torch.float64, **options: object) -> Rendering:
        return rasterize(
            self.gaussians.to(dtype=dtype), self.world_to_camera, self.intrinsics, self.width, self.height, **options
        )

    def render_with_gradients(self, dtype: torch.dtype, **options: object) -> tuple[Rendering, dict[str, Tensor]]:
        """The rendering, and the gradients of a fixed random weighting of all its outputs by every input."""
        inputs = {name: getattr(self.gaussians, name).to(dtype).clone().requires_grad_() for name in FIELDS}
        pose = self.world_to_camera.to(dtype).clone().requires_grad_()
        rendering = rasterize(Gaussians(**inputs), pose, self.intrinsics, self.width, self.height, **options)
        random = torch.Generator().manual_seed(3)
        loss = sum(
            (output * torch.randn(output.shape, generator=random, dtype=torch.float64).to(dtype)).sum()
            for output in (rendering.rgb, rendering.depth, rendering.alpha)
        )
        torch.autograd.backward(loss)
        return rendering, {name: leaf.grad for name, leaf in (inputs | {"pose": pose}).items()}


def _camera(width: int, height: int) -> tuple[Tensor, Tensor]:
    quaternion = torch.tensor([0.98, 0.05, -0.12, 0.03], dtype=torch.float64)
    pose = pose_matrix(quaternion, torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
    focal = 0.9 * width
    principal = (0.52 * width, 0.47 * height)
    intrinsics = torch.tensor([[focal, 0, principal[0]], [0, 1.05 * focal, principal[1]], [0, 0, 1]], dtype=torch.float64)
    return pose, intrinsics


@pytest.fixture(scope="session")
def splat_scene() -> Callable[..., SplatScene]:
    """make(kind, count, width, height, degree, seed) -> SplatScene; kind as in `KINDS`."""

    def make(
        kind: str = "anisotropic", count: int = 150, width: int = 45, height: int = 37, degree: int = 3, seed: int = 0
    ) -> SplatScene:
        random = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random, dtype=torch.float64)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, generator=random, dtype=torch.float64)

        pose, intrinsics = _camera(width, height)
        depth = uniform(1.0, 6.0, count)
        columns, rows = uniform(-2, width + 2, count), uniform(-2, height + 2, count)
        rays = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1) @ torch.linalg.inv(intrinsics).T
        means = (rays * depth[:, None] - pose[:3, 3]) @ pose[:3, :3]
        scales = (0.08 * depth / 3)[:, None] * torch.exp(0.6 * normal(count, 3))
        coefficients = 0.3 * normal(count, (degree + 1) ** 2, 3)
        gaussians = Gaussians(means, normal(count, 4), scales, uniform(0.05, 0.95, count), coefficients)
        half = count // 2
        if kind == "opaque":
            gaussians = replace(gaussians, opacities=uniform(0.97, 0.9999, count), scales=2 * scales)
        elif kind == "tiny":
            gaussians = replace(gaussians, scales=1e-4 * scales, opacities=uniform(0.3, 0.9, count))
        elif kind == "huge":
            gaussians = replace(gaussians, scales=torch.cat([40 * scales[:half], scales[half:]]))
        elif kind == "needles":
            gaussians = replace(gaussians, scales=scales * torch.tensor([30.0, 0.02, 0.02], dtype=torch.float64))
        elif kind == "behind":
            camera = means @ pose[:3, :3].T + pose[:3, 3]
            camera[:half, 2] *= -1
            camera[half : half + 3, 2] = torch.tensor([0.0, 0.005, -0.005], dtype=torch.float64)
            gaussians = replace(gaussians, means=(camera - pose[:3, 3]) @ pose[:3, :3])
        elif kind == "off-image":
            # Far beyond the border, where the point of linearisation is clamped; large enough to reach into the image.
            shift = torch.cat([uniform(0.9, 1.6, half), uniform(-1.6, -0.9, count - half)]) * depth
            means = means + shift[:, None] * pose[0, :3]
            gaussians = replace(gaussians, means=means, scales=6 * scales)
        elif kind == "coincident":
            gaussians = replace(gaussians, means=means[torch.arange(count) // 5 * 5])
        elif kind != "anisotropic":
            raise ValueError(kind)
        return SplatScene(gaussians, pose, intrinsics, width, height)

    return make


@pytest.fixture(params=["anisotropic", "opaque", "tiny", "huge", "needles", "behind", "off-image", "coincident"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of scene that a rasterizer can get wrong."""
    return str(request.param)
