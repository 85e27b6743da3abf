"""That no step of a probe makes the host wait for the GPU, shown without one.

The steps run on PyTorch's "meta" device, whose tensors hold no values: whatever asks for one (`item`, `tolist`, a boolean
mask as index, a branch on a tensor) raises. Copies between it and the CPU, which it would bear, are refused by `NoTransfer`.
gsplat, whose kernels need a GPU, is stood in for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.core.protocols import PROBE_PROTOCOLS, Precision
from bench.probe.features.map import FeatureMap
from bench.probe.measure.image_loss import PhotometricLoss
from bench.probe.measure.poses import refine_test_pose
from bench.probe.modes import mode_named
from bench.probe.optimise import TrainingViews, optimise
from bench.probe.parameters import Parameters, initial_values
from bench.probe.settings import ProbeSettings
from bench.splat import Gaussians, gsplat_backend, rasterize, render
from bench.types import Camera

ADAM = torch.optim.Adam
META, CPU = torch.device("meta"), torch.device("cpu")
HEIGHT, WIDTH, VIEWS = 12, 16, 2


class Transfer(Exception):
    """A tensor went from one device to the other, or its value was asked for."""


class NoTransfer(TorchDispatchMode):
    """Raises Transfer for an operation that mixes or changes devices. Numbers (tensors of no dimension) may come along: they
    are arguments of a kernel."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise Transfer(str(func))
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.device.type != "cpu" or tensor.ndim > 0}
        made_of_host_data = func is torch.ops.aten.lift_fresh.default and devices == {"meta"}  # torch.tensor, new_tensor
        if len(devices) > 1 or made_of_host_data:
            raise Transfer(f"{func}: {', '.join(str(tuple(t.shape)) + ' ' + t.device.type for t in tensors)}")
        return result


def stand_in(*arguments: Any, **options: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Shapes and gradients of gsplat.rasterization; any function of all its inputs."""
    width, height = arguments[-2:]
    total = sum((tensor.mean() for tensor in arguments[:6]), start=arguments[0].new_zeros(()))
    return total * arguments[0].new_ones(1, height, width, 4), total * arguments[0].new_ones(1, height, width, 1), {}


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gsplat = ModuleType("gsplat")
    gsplat.rasterization = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gsplat", gsplat)
    monkeypatch.setattr(gsplat_backend, "_warn_of_clamp", lambda asked: None)
    monkeypatch.setattr(render, "_choose", lambda backend, gaussians: "gsplat")
    # The fused Adam knows no meta device; it has a test of its own.
    monkeypatch.setattr(torch.optim, "Adam", lambda groups, **options: torch.optim.SGD(groups, lr=0.0))


class Problem:
    """A probe of random numbers, on one device."""

    def __init__(self, device: torch.device, mode: str, per_pixel: bool, precision: Precision) -> None:
        generator = torch.Generator().manual_seed(0)
        count = VIEWS * HEIGHT * WIDTH - 7  # some pixels are masked
        points, colours = (torch.rand(count, 3, generator=generator).double().numpy() for _ in range(2))
        size = (HEIGHT, WIDTH) if per_pixel else (3, 4)
        values = torch.randn(VIEWS, *size, 8, generator=generator).to(device)
        self.protocol = replace(PROBE_PROTOCOLS["quick-v1"], iterations=7, warm_start=3, instantsplat_iterations=4)
        self.protocol = replace(self.protocol, precision=precision)
        initial = initial_values(points, colours, 0.1, device)
        features = None if mode == "instantsplat" else FeatureMap(values, HEIGHT, WIDTH, per_pixel=per_pixel)
        pixels = torch.arange(count).to(device)
        self.parameters = Parameters(mode_named(mode), initial, features, pixels, 0, precision)
        photos = torch.rand(VIEWS, HEIGHT, WIDTH, 3, generator=generator).to(device)
        intrinsics, poses = torch.eye(3).repeat(VIEWS, 1, 1), torch.eye(7)[:1].repeat(VIEWS, 1)
        self.views = TrainingViews(photos, intrinsics.to(device), poses.to(device), 1.0)

    def optimise(self, progress: Callable[[int, int], None] | None = None) -> None:
        optimise(
            self.parameters, self.views, ProbeSettings(self.parameters.mode, self.protocol, holds_scales=True), progress
        )


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize(
    ("mode", "per_pixel"), [("A", False), ("G", False), ("T", True), ("Aft", False), ("instantsplat", False)]
)
def test_no_step_waits_for_the_gpu(mode: str, per_pixel: bool, precision: Precision) -> None:
    problem = Problem(META, mode, per_pixel, precision)
    PhotometricLoss(problem.views.photos[0])  # makes the window, once a size of photos
    done: list[int] = []
    # What waits is the look at the result, after the last step.
    with NoTransfer(), pytest.raises((Transfer, NotImplementedError, RuntimeError)):
        problem.optimise(lambda iteration, total: done.append(total - iteration))
    assert done == [0]


def test_the_refinement_of_a_test_pose_waits_at_its_end_only(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    fields = (torch.rand(5, 3), torch.rand(5, 4), torch.rand(5, 3), torch.rand(5), torch.rand(5, 16, 3))
    gaussians = Gaussians(*(field.to(META) for field in fields))
    intrinsics = torch.tensor([[20.0, 0, WIDTH / 2], [0, 20.0, HEIGHT / 2], [0, 0, 1]]).double().numpy()
    camera = Camera(intrinsics, torch.eye(4).double().numpy(), WIDTH, HEIGHT)
    photo = torch.rand(HEIGHT, WIDTH, 3, generator=generator).to(META)
    protocol = replace(PROBE_PROTOCOLS["quick-v1"], test_pose_steps=4)
    steps: list[int] = []
    monkeypatch.setattr("bench.probe.measure.poses.pose_vectors", lambda cameras, device: torch.zeros(1, 7, device=device))
    monkeypatch.setattr(
        "bench.probe.measure.poses.intrinsics_tensor", lambda camera, device: torch.zeros(3, 3, device=device)
    )
    monkeypatch.setattr("bench.probe.measure.poses.posed", lambda camera, pose: camera)
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *arguments: steps.append(1) or step(*arguments))
    with NoTransfer(), pytest.raises((Transfer, NotImplementedError)):
        refine_test_pose(gaussians, camera, photo, photo[..., 0] > 0, protocol)
    assert len(steps) == 4


def test_the_optimiser_keeps_its_numbers_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def noted(groups: Any, **options: Any) -> torch.optim.Optimizer:
        asked.update(options)
        return torch.optim.SGD(groups, lr=0.0)

    monkeypatch.setattr(torch.optim, "Adam", noted)
    Problem(CPU, "instantsplat", False, "float32").optimise()

    def two_steps(**options: Any) -> None:
        with FakeTensorMode():  # knows what runs on "cuda" without one
            parameter = torch.nn.Parameter(torch.zeros(3, device="cuda"))
            parameter.grad = torch.zeros_like(parameter)
            optimiser = ADAM([parameter], **options)
            with NoTransfer():
                for rate in (0.1, 0.2):
                    optimiser.param_groups[0]["lr"] = rate
                    optimiser.step()

    two_steps(**asked)
    with pytest.raises(Transfer):  # any other Adam counts its steps on the host
        two_steps(**(asked | {"fused": False}))


def test_transfers_are_noticed() -> None:
    """The checks above can fail."""
    on_device = torch.rand(3, device=META)
    for transfer in (
        lambda: on_device.new_tensor([1.0, 2.0]),
        lambda: torch.rand(3).to(META),
        lambda: torch.rand(3).sum().item(),
    ):
        with NoTransfer(), pytest.raises(Transfer):
            transfer()
    for look in (
        lambda: on_device + torch.rand(3),
        lambda: on_device.tolist(),
        lambda: on_device[on_device > 0],
        lambda: bool(on_device.isfinite().all()),
        lambda: on_device.cpu(),
    ):
        with NoTransfer(), pytest.raises((Transfer, NotImplementedError, RuntimeError)):
            look()
    fields = (torch.rand(5, 3), torch.rand(5, 4), torch.rand(5, 3), torch.rand(5), torch.rand(5, 16, 3))
    gaussians = Gaussians(*(field.to(META) for field in fields))
    pose, intrinsics = torch.eye(4, device=META), torch.eye(3, device=META)
    with NoTransfer():
        rasterize(gaussians, pose, intrinsics, 4, 4, check=False)
        with pytest.raises((Transfer, NotImplementedError, RuntimeError)):
            rasterize(gaussians, pose, intrinsics, 4, 4)
