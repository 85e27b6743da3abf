"""The C++ rasterizer against the torch backend in float64, in every build that this processor runs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from bench import native
from bench.splat import Gaussians, native_backend, pose_matrix, rasterize

pytestmark = pytest.mark.skipif(native.load("raster") is None, reason=native.missing("raster"))


@pytest.fixture(params=native._BEST_FIRST)
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the builds; those that were not made, or that this processor cannot run, are skipped."""
    runs_here = native._allowed()
    if request.param not in runs_here:
        pytest.skip(f"{request.param}: not for this processor")
    monkeypatch.setenv("BENCH_NATIVE", request.param)
    if native.load("raster") is None:
        pytest.skip(f"{request.param}: not built")
    return str(request.param)


def relative(found: torch.Tensor, true: torch.Tensor) -> float:
    """Distance in the L2 norm over the norm of the truth."""
    return float(((found.double() - true).norm() / true.norm().clamp(min=1e-30)).detach())


def test_image_and_gradients(kind: str, build: str, splat_scene: Callable[..., Any]) -> None:
    """Images within 1e-5 and gradients by every input within 1e-4 (relative L2) of the oracle, on every kind of Gaussian."""
    scene = splat_scene(kind)
    true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch")
    found, gradients = scene.render_with_gradients(torch.float32, backend="native")
    assert true.alpha.max() > 0.3
    for output in ("rgb", "depth", "alpha"):
        assert relative(getattr(found, output), getattr(true, output)) < 1e-5, output
    for name, gradient in true_gradients.items():
        assert gradient.norm() > 0, name
        assert relative(gradients[name], gradient) < 1e-4, name


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_degrees(stored: int, splat_scene: Callable[..., Any]) -> None:
    """Every number of stored coefficients with every degree that they allow; coefficients beyond it get no gradient."""
    scene = splat_scene(degree=stored, count=60)
    for degree in range(stored + 1):
        true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch", degree=degree)
        found, gradients = scene.render_with_gradients(torch.float32, backend="native", degree=degree)
        assert relative(found.rgb, true.rgb) < 1e-5
        harmonics = gradients["spherical_harmonics"]
        assert relative(harmonics, true_gradients["spherical_harmonics"]) < 1e-4
        assert harmonics[:, (degree + 1) ** 2 :].abs().sum() == 0
        assert relative(gradients["means"], true_gradients["means"]) < 1e-4


@pytest.mark.parametrize("options", [{"alpha_max": 0.9}, {"low_pass": 0.0}, {"low_pass": 2.0}, {"near": 3.0}], ids=str)
def test_options(options: dict[str, float], splat_scene: Callable[..., Any]) -> None:
    scene = splat_scene("opaque")
    true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch", **options)
    found, gradients = scene.render_with_gradients(torch.float32, backend="native", **options)
    assert relative(found.rgb, true.rgb) < 1e-5
    for name, gradient in true_gradients.items():
        assert relative(gradients[name], gradient) < 1e-4, name


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (1, 40), (32, 16), (33, 17), (65, 5)])
def test_sizes(size: tuple[int, int], build: str, splat_scene: Callable[..., Any]) -> None:
    """Images smaller than a tile, exactly one, and one pixel more."""
    scene = replace(splat_scene(count=80), width=size[0], height=size[1])
    true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch")
    found, gradients = scene.render_with_gradients(torch.float32, backend="native")
    assert relative(found.rgb, true.rgb) < 1e-5
    for name, gradient in true_gradients.items():
        assert relative(gradients[name], gradient) < 1e-4, name


@pytest.mark.parametrize("size", [(70_000, 3), (3, 70_000)])
def test_images_larger_than_16_bits(size: tuple[int, int]) -> None:
    """One Gaussian near the far end of a very long image."""
    width, height = size
    centre = (width - 1.5 if width > height else 1.5, height - 1.5 if height > width else 1.5)
    intrinsics = torch.tensor([[100.0, 0, centre[0]], [0, 100.0, centre[1]], [0, 0, 1]])
    gaussians = Gaussians(
        means=torch.tensor([[0.0, 0.0, 2.0]]),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.full((1, 3), 0.02),
        opacities=torch.tensor([0.7]),
        spherical_harmonics=torch.ones(1, 1, 3),
    )
    found = rasterize(gaussians, torch.eye(4), intrinsics, width, height, backend="native")
    true = rasterize(gaussians, torch.eye(4), intrinsics, width, height, backend="torch")
    assert found.alpha[int(centre[1]), int(centre[0])].item() == pytest.approx(0.7, abs=1e-5)
    assert torch.allclose(found.rgb, true.rgb, atol=1e-5)


def test_threads_change_no_bit(splat_scene: Callable[..., Any]) -> None:
    """More Gaussians than a unit of work holds, many tiles: the same bits from run to run and for 1, 2, 3 and 8 threads."""
    scene = splat_scene(count=5000, width=150, height=90)
    first, first_gradients = scene.render_with_gradients(torch.float32, backend="native")
    for threads in (1, 2, 3, 8):
        again, gradients = scene.render_with_gradients(torch.float32, backend="native", threads=threads)
        assert torch.equal(first.rgb, again.rgb)
        assert torch.equal(first.depth, again.depth)
        assert torch.equal(first.alpha, again.alpha)
        for name, gradient in first_gradients.items():
            assert torch.equal(gradient, gradients[name]), (threads, name)


@pytest.mark.parametrize("kind", ["needles", "huge", "off-image"])
@pytest.mark.parametrize("size", [(150, 90), (20, 130)])
def test_splats_wider_than_a_tile(kind: str, size: tuple[int, int], build: str, splat_scene: Callable[..., Any]) -> None:
    """Splats that reach over several tiles, at every slant and from beyond the border, end where the oracle's do."""
    scene = splat_scene(kind, count=60, width=size[0], height=size[1])
    true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch")
    found, gradients = scene.render_with_gradients(torch.float32, backend="native")
    for output in ("rgb", "depth", "alpha"):
        assert relative(getattr(found, output), getattr(true, output)) < 1e-5, output
    for name in ("means", "opacities", "spherical_harmonics"):
        assert relative(gradients[name], true_gradients[name]) < 1e-4, name


def test_a_large_scene(splat_scene: Callable[..., Any]) -> None:
    """Thousands of splats per tile, closed pixels included: the image, and the gradients away from the thresholds."""
    scene = splat_scene(count=5000, width=150, height=90)
    true, true_gradients = scene.render_with_gradients(torch.float64, backend="torch")
    found, gradients = scene.render_with_gradients(torch.float32, backend="native")
    assert relative(found.rgb, true.rgb) < 1e-4
    for name, gradient in true_gradients.items():
        # Of a million pairs a few lie within rounding of a threshold, so the bulk is compared, not the sum of squares.
        error = (gradients[name].double() - gradient).abs().flatten()
        assert torch.quantile(error[:: max(1, len(error) // 100_000)], 0.99) < 1e-4 * gradient.square().mean().sqrt(), name


def test_several_renders_alive_before_backward(splat_scene: Callable[..., Any]) -> None:
    """Each call keeps its own state: gradients of a sum over views are the sum of the views' gradients."""
    scene = splat_scene()
    gaussians = scene.gaussians.to(dtype=torch.float32)
    turns = [pose_matrix(torch.tensor([1.0, 0.0, 0.05 * i, 0.0]), torch.zeros(3)) for i in range(3)]
    poses = [scene.world_to_camera.float() @ turn for turn in turns]

    def loss(means: torch.Tensor, pose: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        rendering = rasterize(replace(gaussians, means=means), pose, scene.intrinsics, *size, backend="native")
        return (rendering.rgb * torch.linspace(0, 1, rendering.rgb.numel()).view_as(rendering.rgb)).sum()

    sizes = [(45, 37), (20, 30), (64, 16)]
    together = gaussians.means.clone().requires_grad_()
    losses = [loss(together, pose, size) for pose, size in zip(poses, sizes, strict=True)]
    sum(losses[1:], losses[0]).backward()
    apart = torch.zeros_like(together)
    for pose, size in zip(poses, sizes, strict=True):
        means = gaussians.means.clone().requires_grad_()
        loss(means, pose, size).backward()
        apart += means.grad
    assert together.grad is not None
    assert torch.allclose(together.grad, apart, rtol=1e-5, atol=1e-5 * float(apart.abs().max()))


def test_only_some_outputs_used(splat_scene: Callable[..., Any]) -> None:
    """Outputs that no loss reads give no gradient of their own."""
    scene = splat_scene()
    for output in ("rgb", "depth", "alpha"):
        found = {}
        for backend, dtype in (("native", torch.float32), ("torch", torch.float64)):
            means = scene.gaussians.means.to(dtype).clone().requires_grad_()
            gaussians = replace(scene.gaussians.to(dtype=dtype), means=means)
            rendering = rasterize(
                gaussians, scene.world_to_camera, scene.intrinsics, scene.width, scene.height, backend=backend
            )
            getattr(rendering, output).square().sum().backward()
            found[backend] = means.grad
        assert relative(found["native"], found["torch"]) < 1e-4, output


def test_strided_inputs_and_nan_gradients(splat_scene: Callable[..., Any]) -> None:
    """Inputs that are not contiguous are read as they should be; NaN that flows back stays NaN and does no harm."""
    scene = splat_scene()
    gaussians = scene.gaussians.to(dtype=torch.float32)
    fields = [getattr(gaussians, name) for name in Gaussians.__dataclass_fields__]
    strided = Gaussians(*(torch.stack([field, field], dim=-1)[..., 1].requires_grad_() for field in fields))
    assert not strided.means.is_contiguous()
    camera = (scene.world_to_camera, scene.intrinsics, scene.width, scene.height)
    rendering = rasterize(strided, *camera, backend="native")
    assert torch.equal(rendering.rgb, rasterize(gaussians, *camera, backend="native").rgb)
    means = gaussians.means.clone().requires_grad_()
    (rasterize(replace(gaussians, means=means), *camera, backend="native").rgb * torch.nan).sum().backward()
    assert means.grad is not None
    assert means.grad.isnan().any()


def test_order_given_does_not_matter(splat_scene: Callable[..., Any]) -> None:
    scene = splat_scene()
    order = torch.randperm(len(scene.gaussians), generator=torch.Generator().manual_seed(0))
    shuffled = replace(scene, gaussians=scene.gaussians.select(order))
    images = [each.render(torch.float32, backend="native").rgb for each in (scene, shuffled)]
    assert torch.equal(*images)


def test_nothing_is_left_behind(splat_scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forward pass keeps is freed with its graph, whether or not there was a backward pass."""
    freed = []
    library = native_backend._library()
    original = native_backend._Pass.__init__

    def spied(self: Any, handle: int) -> None:
        original(self, handle)
        self._free = lambda address: (freed.append(address), library.raster_free(address))

    monkeypatch.setattr(native_backend._Pass, "__init__", spied)
    scene = splat_scene(count=20)
    scene.render_with_gradients(torch.float32, backend="native")
    with torch.no_grad():
        scene.render(torch.float32, backend="native")
    gc.collect()
    assert len(freed) == 2
