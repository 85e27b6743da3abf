"""The interface of `rasterize` and its torch backend, checked against formulas worked by hand and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.special import sph_harm_y
from torch import Tensor

from bench.splat import Gaussians, SplatError, available_backends, backend_reasons, rasterize
from bench.splat.torch_backend import harmonics_basis
from bench.types import Unavailable, UserError

DC = 0.28209479177387814
IDENTITY = torch.eye(4, dtype=torch.float64)
INTRINSICS = torch.tensor([[20.0, 0, 4.5], [0, 20.0, 3.5], [0, 0, 1]], dtype=torch.float64)


def on_axis(depths: list[float], opacities: list[float], colours: list[list[float]], scale: float = 0.1) -> Gaussians:
    """Round Gaussians on the optical axis with flat colours."""
    count = len(depths)
    return Gaussians(
        means=torch.tensor([[0, 0, z] for z in depths], dtype=torch.float64),
        quaternions=torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).repeat(count, 1),
        scales=torch.full((count, 3), scale, dtype=torch.float64),
        opacities=torch.tensor(opacities, dtype=torch.float64),
        spherical_harmonics=((torch.tensor(colours, dtype=torch.float64) - 0.5) / DC)[:, None],
    )


def test_one_gaussian_by_hand() -> None:
    """On the axis the 2D covariance is (f s / z)^2 + 0.3 on the diagonal; pixel centres are at (i + 0.5, j + 0.5)."""
    rendering = rasterize(on_axis([2.0], [0.8], [[0.9, 0.5, 0.1]]), IDENTITY, INTRINSICS, 9, 7, backend="torch")
    variance = (20 * 0.1 / 2) ** 2 + 0.3
    for row in range(7):
        for column in range(9):
            squared = (column - 4) ** 2 + (row - 3) ** 2
            alpha = 0.8 * math.exp(-0.5 * squared / variance)
            alpha = alpha if alpha >= 1 / 255 else 0.0
            assert rendering.alpha[row, column].item() == pytest.approx(alpha, abs=1e-12)
            assert rendering.rgb[row, column].tolist() == pytest.approx([0.9 * alpha, 0.5 * alpha, 0.1 * alpha], abs=1e-12)
            assert rendering.depth[row, column].item() == pytest.approx(2 * alpha, abs=1e-12)
    drawn = rendering.alpha > 0
    assert 0 < drawn.sum() < 63
    assert torch.allclose(rendering.expected_depth[drawn], torch.tensor(2.0, dtype=torch.float64))
    assert rendering.expected_depth[~drawn].isnan().all()


def test_order_clamps_and_closing_by_hand() -> None:
    """Front to back whatever the order given; alpha clamped at alpha_max; closed before the transmittance falls to 1e-4."""
    gaussians = on_axis([3.0, 1.0, 2.0, 4.0], [1.0, 0.5, 1.0, 0.9], [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]])
    rendering = rasterize(gaussians, IDENTITY, INTRINSICS, 9, 7, backend="torch", alpha_max=0.99)
    # Depth 1: 0.5 of 1. Depth 2: 0.99 of 0.5. Depth 3: 0.99 of 0.005 would leave 5e-5: not drawn, nor anything behind it.
    assert rendering.rgb[3, 4].tolist() == pytest.approx([0.5, 0.495, 0.0], abs=1e-12)
    assert rendering.alpha[3, 4].item() == pytest.approx(0.995, abs=1e-12)
    assert rendering.expected_depth[3, 4].item() == pytest.approx((0.5 * 1 + 0.495 * 2) / 0.995, abs=1e-12)


def test_near_low_pass_and_faint() -> None:
    gaussians = on_axis([0.5], [0.8], [[1, 1, 1]])
    assert rasterize(gaussians, IDENTITY, INTRINSICS, 9, 7, near=0.6).alpha.max() == 0
    sharp = rasterize(gaussians, IDENTITY, INTRINSICS, 9, 7, low_pass=0.0).alpha
    assert sharp[3, 0].item() == pytest.approx(0.8 * math.exp(-0.5 * 16 / (20 * 0.1 / 0.5) ** 2), abs=1e-12)
    assert (
        rasterize(replace(gaussians, opacities=gaussians.opacities * 0.9 / 255 / 0.8), IDENTITY, INTRINSICS, 9, 7).rgb.max()
        == 0
    )


def test_colours_are_clamped_below_only() -> None:
    rendering = rasterize(on_axis([2.0], [0.5], [[-1.0, 3.0, 0.0]]), IDENTITY, INTRINSICS, 9, 7)
    assert rendering.rgb[3, 4].tolist() == pytest.approx([0.0, 1.5, 0.0], abs=1e-12)


def test_harmonics_against_scipy() -> None:
    """The real spherical harmonics of SciPy's complex ones, with the Condon-Shortley sign, orders from -degree to degree."""
    random = torch.Generator().manual_seed(1)
    directions = torch.nn.functional.normalize(torch.randn(20, 3, generator=random, dtype=torch.float64), dim=-1)
    polar, azimuth = torch.acos(directions[:, 2]).numpy(), torch.atan2(directions[:, 1], directions[:, 0]).numpy()
    basis = harmonics_basis(directions, 3)
    for degree in range(4):
        for order in range(-degree, degree + 1):
            complex_value = sph_harm_y(degree, abs(order), polar, azimuth)
            part = complex_value.imag if order < 0 else complex_value.real
            expected = torch.from_numpy(part * (math.sqrt(2) if order else 1.0))
            assert torch.allclose(basis[:, degree * degree + degree + order], expected, atol=1e-12), (degree, order)


@pytest.mark.parametrize("scene_kind", ["anisotropic", "off-image"])
def test_gradients_against_finite_differences(splat_scene: Callable[..., Any], scene_kind: str) -> None:
    scene = splat_scene(scene_kind, count=3, width=9, height=7, degree=3, seed=5)

    def render(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *fields, pose = inputs
        rendering = rasterize(Gaussians(*fields), pose, scene.intrinsics, 9, 7, backend="torch")
        return rendering.rgb, rendering.depth, rendering.alpha

    fields = [getattr(scene.gaussians, name) for name in Gaussians.__dataclass_fields__]
    inputs = [tensor.clone().requires_grad_() for tensor in (*fields, scene.world_to_camera)]
    assert render(*inputs)[2].max() > 0.05
    assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_expected_depth_is_differentiable_beside_empty_pixels() -> None:
    gaussians = on_axis([2.0, 3.0], [0.8, 0.5], [[1, 1, 1], [1, 1, 1]])
    means = gaussians.means.requires_grad_()
    depth = rasterize(gaussians, IDENTITY, INTRINSICS, 9, 7).expected_depth
    depth[depth.isfinite()].sum().backward()
    assert means.grad is not None
    assert means.grad.isfinite().all()
    assert means.grad[:, 2].abs().min() > 0


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize("size", [(1, 1), (33, 17)])
def test_nothing_to_see(backend: Any, size: tuple[int, int], splat_scene: Callable[..., Any]) -> None:
    """No Gaussians, and Gaussians behind the camera: an empty image and zero gradients."""
    if reason := backend_reasons()[backend]:
        pytest.skip(reason)
    full = splat_scene(count=10).gaussians.to(dtype=torch.float32)
    for gaussians in (
        full.select(torch.zeros(10, dtype=torch.bool)),
        replace(full, means=full.means - 50 * IDENTITY[2, :3].float()),
    ):
        leaves = [getattr(gaussians, name).clone().requires_grad_() for name in Gaussians.__dataclass_fields__]
        pose = IDENTITY.float().requires_grad_()
        rendering = rasterize(Gaussians(*leaves), pose, INTRINSICS, *size, backend=backend)
        assert rendering.rgb.shape == (size[1], size[0], 3)
        assert rendering.rgb.abs().max() == rendering.depth.abs().max() == rendering.alpha.abs().max() == 0
        (rendering.rgb.sum() + rendering.depth.sum() + rendering.alpha.sum()).backward()
        for leaf in (*leaves, pose):
            assert leaf.grad is None or leaf.grad.abs().sum() == 0


@pytest.mark.parametrize("field", [*Gaussians.__dataclass_fields__, "world_to_camera", "intrinsics"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_finite_is_an_error_that_names_the_field(field: str, value: float, splat_scene: Callable[..., Any]) -> None:
    scene = splat_scene(count=4)
    inputs = {name: getattr(scene.gaussians, name).clone() for name in Gaussians.__dataclass_fields__}
    cameras = {"world_to_camera": scene.world_to_camera.clone(), "intrinsics": scene.intrinsics.clone()}
    (inputs | cameras)[field].view(-1)[1] = value
    with pytest.raises(ValueError, match=field):
        rasterize(Gaussians(**inputs), *cameras.values(), 9, 7)


def test_wrong_arguments_are_errors_that_name_them(splat_scene: Callable[..., Any]) -> None:
    scene = splat_scene(count=4)
    good = scene.gaussians
    with pytest.raises(SplatError, match=r"opacities has shape \(4, 1\)"):
        replace(good, opacities=good.opacities[:, None])
    with pytest.raises(SplatError, match=r"spherical_harmonics has shape \(4, 5, 3\)"):
        replace(good, spherical_harmonics=good.spherical_harmonics[:, :5])
    with pytest.raises(SplatError, match="scales is torch"):
        replace(good, scales=good.scales.float())
    with pytest.raises(SplatError, match="means has type"):
        replace(good, means=good.means.long())
    camera = (scene.world_to_camera, scene.intrinsics)
    for gaussians, message in (
        (replace(good, scales=-good.scales), "scales must not be negative"),
        (replace(good, opacities=2 + good.opacities), "opacities must be in"),
        (replace(good, quaternions=0 * good.quaternions), "zero quaternion"),
    ):
        with pytest.raises(SplatError, match=message):
            rasterize(gaussians, *camera, 9, 7)
    with pytest.raises(SplatError, match="world_to_camera has shape"):
        rasterize(good, camera[0][:3], camera[1], 9, 7)
    with pytest.raises(SplatError, match="rigid"):
        rasterize(good, 3 * camera[0], camera[1], 9, 7)
    with pytest.raises(SplatError, match="focal"):
        rasterize(good, camera[0], -camera[1], 9, 7)
    with pytest.raises(SplatError, match="width is 0"):
        rasterize(good, *camera, 0, 7)
    with pytest.raises(SplatError, match="degree is 4"):
        rasterize(good, *camera, 9, 7, degree=4)
    with pytest.raises(SplatError, match="alpha_max"):
        rasterize(good, *camera, 9, 7, alpha_max=1.0)
    with pytest.raises(SplatError, match="not one of"):
        rasterize(good, *camera, 9, 7, backend="cuda")  # type: ignore[arg-type]
    assert issubclass(SplatError, UserError)


def test_huge_finite_values_do_no_harm(splat_scene: Callable[..., Any]) -> None:
    """Sums that overflow are not mistaken for infinity, and projections that overflow are culled."""
    scene = splat_scene(count=6)
    means = scene.gaussians.means.clone()
    means[:2] = 3e38
    scales = scene.gaussians.scales.clone()
    scales[2] = 3e38
    for backend in set(available_backends()) - {"gsplat"}:
        shifted = replace(scene, gaussians=replace(scene.gaussians, means=means, scales=scales))
        rendering, gradients = shifted.render_with_gradients(torch.float32, backend=backend)
        assert rendering.rgb.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_backends_are_listed_with_reasons() -> None:
    reasons = backend_reasons()
    assert set(reasons) == {"gsplat", "native", "torch"}
    assert available_backends() == tuple(name for name, reason in reasons.items() if not reason)
    assert "torch" in available_backends()


def test_a_missing_backend_is_unavailable(splat_scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error with the reason; `auto` takes what serves."""
    monkeypatch.setattr(
        "bench.splat.render.backend_reasons", lambda: {"gsplat": "no CUDA", "native": "not built", "torch": ""}
    )
    scene = splat_scene(count=4)
    for backend, reason in (("native", "not built"), ("gsplat", "no CUDA")):
        with pytest.raises(Unavailable, match=reason):
            scene.render(torch.float32, backend=backend)
    assert torch.equal(scene.render(torch.float32).rgb, scene.render(torch.float32, backend="torch").rgb)
