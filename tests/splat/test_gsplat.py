"""What can be checked of gsplat: its own PyTorch reference on the CPU, its calling convention, and its kernels where there
is a CUDA device."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import gsplat
import pytest
import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _spherical_harmonics

from bench.splat import Gaussians, gsplat_backend, rasterize
from bench.splat.settings import Settings
from bench.splat.torch_backend import _colours, _project


def test_projection_is_that_of_gsplat(kind: str, splat_scene: Callable[..., Any]) -> None:
    """Centres, 2D covariances and depths of gsplat's PyTorch reference, for every Gaussian that it does not cull."""
    scene = splat_scene(kind)
    gaussians = scene.gaussians
    ours = _project(
        gaussians, scene.world_to_camera, scene.intrinsics, Settings(scene.width, scene.height, 3, 0.999, 0.01, 0.3)
    )
    covariances, _ = _quat_scale_to_covar_preci(gaussians.quaternions, gaussians.scales, True, False, False)
    radii, centres, depths, conics, _ = _fully_fused_projection(
        gaussians.means, covariances, scene.world_to_camera[None], scene.intrinsics[None], scene.width, scene.height
    )
    kept = (radii[0] > 0).all(-1)
    assert kept.sum() > 20
    assert torch.allclose(torch.stack([ours.x, ours.y], -1)[kept], centres[0][kept], atol=1e-9)
    assert torch.allclose(ours.depth[kept], depths[0][kept])
    conic = torch.stack([ours.yy, -ours.xy, ours.xx], -1) / ours.determinant[:, None]
    assert torch.allclose(conic[kept], conics[0][kept], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_colours_are_those_of_gsplat(degree: int, splat_scene: Callable[..., Any]) -> None:
    scene = splat_scene()
    centre = torch.linalg.inv(scene.world_to_camera)[:3, 3]
    values = _spherical_harmonics(degree, scene.gaussians.means - centre, scene.gaussians.spherical_harmonics)
    expected = (values + 0.5).clamp(min=0)
    assert torch.allclose(_colours(scene.gaussians, scene.world_to_camera, degree), expected, atol=1e-9)


def test_alpha_clamp_is_read_and_a_difference_is_told() -> None:
    """The clamp in the installed source is the default of `rasterize`; another one is warned of, once."""
    installed = gsplat_backend.alpha_clamp()
    assert installed in (0.99, 0.999)
    gsplat_backend._warn_of_clamp.cache_clear()
    with pytest.warns(UserWarning, match=r"clamps alpha at 0\.99.*alpha_max = 0\.5"):
        gsplat_backend._warn_of_clamp(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gsplat_backend._warn_of_clamp(0.5)
        gsplat_backend._warn_of_clamp(installed)


def test_calling_convention(splat_scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fits the signature of the installed gsplat, and its outputs are taken apart as it gives them."""
    scene = splat_scene(degree=3, count=30)
    signature = inspect.signature(gsplat.rasterization)
    seen: dict[str, Any] = {}

    def rasterization(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        seen.update(signature.bind(*args, **kwargs).arguments)
        image = torch.arange(1 * 7 * 9 * 4.0).view(1, 7, 9, 4)
        return image, torch.full((1, 7, 9, 1), 0.5), {}

    monkeypatch.setattr(gsplat, "rasterization", rasterization)
    settings = Settings(9, 7, 2, 0.999, 0.05, 0.4)
    rgb, depth, alpha = gsplat_backend.render(scene.gaussians, scene.world_to_camera, scene.intrinsics, settings)
    assert (rgb.shape, depth.shape, alpha.shape) == ((7, 9, 3), (7, 9), (7, 9))
    assert rgb[0, 0].tolist() == [0, 1, 2]
    assert depth[0, 1].item() == 7
    assert seen["quats"] is scene.gaussians.quaternions
    assert seen["colors"].shape == (30, 9, 3)
    assert (seen["width"], seen["height"], seen["sh_degree"]) == (9, 7, 2)
    assert (seen["near_plane"], seen["eps2d"], seen["packed"], seen["render_mode"]) == (0.05, 0.4, False, "RGB+D")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_image_and_gradients_on_cuda(kind: str, splat_scene: Callable[..., Any]) -> None:
    """gsplat's kernels against the oracle: looser, as they use a fast exponential and subtract to get the determinant."""
    scene = splat_scene(kind)
    gaussians = scene.gaussians.to("cuda", torch.float32)
    means = gaussians.means.clone().requires_grad_()
    pose = scene.world_to_camera.to("cuda", torch.float32).requires_grad_()
    fields = (gaussians.quaternions, gaussians.scales, gaussians.opacities, gaussians.spherical_harmonics)
    camera = (scene.intrinsics, scene.width, scene.height)
    rendering = rasterize(Gaussians(means, *fields), pose, *camera, backend="gsplat")
    random = torch.Generator().manual_seed(3)
    weights = torch.randn(rendering.rgb.shape, generator=random)
    (rendering.rgb * weights.cuda()).sum().backward()
    true_means = scene.gaussians.means.clone().requires_grad_()
    true_pose = scene.world_to_camera.clone().requires_grad_()
    true_fields = [getattr(scene.gaussians, name) for name in ("quaternions", "scales", "opacities", "spherical_harmonics")]
    true = rasterize(Gaussians(true_means, *true_fields), true_pose, *camera, backend="torch")
    (true.rgb * weights.double()).sum().backward()
    assert (rendering.rgb.cpu().double() - true.rgb).norm() < 1e-3 * true.rgb.norm()
    for found, expected in ((means.grad, true_means.grad), (pose.grad, true_pose.grad)):
        assert found is not None
        assert expected is not None
        assert (found.cpu().double()[:3] - expected[:3]).norm() < 1e-2 * expected[:3].norm()
