"""The rasterizers, forward and backward.

Scenes: one Gaussian a pixel of three photos of a simulated room, as the probe starts ("fresh": round, opacity 0.1), and as
they look after training ("trained": stretched, turned, of mixed opacity). One view is rendered and its gradients by all
Gaussians and the pose are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from bench.core.scenes import Array
from bench.perf.timing import Compute, Result, compare
from bench.splat import Gaussians, available_backends, rasterize
from bench.splat.render import Backend

SIZES = ((128, 96), (256, 192), (512, 384))
KINDS = ("fresh", "trained")
#: The torch backend is left out above this many Gaussians: a repetition takes tens of seconds and gigabytes.
TORCH_LIMIT = 200_000


def measure(
    sizes: Sequence[tuple[int, int]] = SIZES,
    kinds: Sequence[str] = KINDS,
    threads: Sequence[int] = (1, 2),
    repeats: int = 15,
) -> Iterator[Result]:
    """The torch backend (the reference, up to TORCH_LIMIT Gaussians) and the native one on each number of threads, forward
    alone and forward and backward. sizes: (width, height); there are 3 x width x height Gaussians."""
    for size in sizes:
        for kind in kinds:
            gaussians, pose, intrinsics = scene(*size, kind)
            variants: dict[str, tuple[Backend, int]] = {}
            if len(gaussians) <= TORCH_LIMIT:
                variants["torch"] = ("torch", 1)
            if "native" in available_backends():
                variants |= {_named(count): ("native", count) for count in threads}
            for backward in (False, True):
                paths = {
                    name: _pass(gaussians, pose, intrinsics, size, backend, count, backward)
                    for name, (backend, count) in variants.items()
                }
                passes = "forward and backward" if backward else "forward"
                case = f"{kind}, {len(gaussians)} Gaussians, {size[0]} x {size[1]}, {passes}"
                if "torch" not in paths:
                    why = f"not measured: above {TORCH_LIMIT} Gaussians it takes tens of seconds and gigabytes"
                    yield Result("rasterizer", case, "torch", "torch", note=why)
                if paths:
                    yield from compare("rasterizer", case, paths, repeats, slow=("torch",))


def _named(threads: int) -> str:
    return "native" if threads == 1 else f"native, {threads} threads"


def _pass(
    gaussians: Gaussians,
    pose: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    backend: Backend,
    threads: int,
    backward: bool,
) -> Compute:
    round_ones = bool((gaussians.scales.amin(1) == gaussians.scales.amax(1)).all())
    weights = torch.linspace(-1, 1, size[0] * size[1] * 3).view(size[1], size[0], 3)

    def run() -> list[Tensor]:
        leaves = [getattr(gaussians, name).detach().requires_grad_() for name in Gaussians.__dataclass_fields__]
        leaves.append(pose.detach().requires_grad_())
        rgb = rasterize(Gaussians(*leaves[:-1]), leaves[-1], intrinsics, *size, backend=backend, threads=threads).rgb
        gradients = list(torch.autograd.grad(rgb, leaves, weights)) if backward else []
        # To turn a round Gaussian changes nothing: its quaternion's gradient is rounding, and no two backends share that.
        return [rgb.detach(), *(gradients[:1] + gradients[2:] if round_ones else gradients)]

    return run


def scene(width: int, height: int, kind: str = "fresh", seed: int = 0) -> tuple[Gaussians, Tensor, Tensor]:
    """3 x width x height Gaussians (float32), the middle camera's world-to-camera pose, and the intrinsics."""
    random = np.random.default_rng(seed)
    focal = 0.9 * width
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(columns - width / 2) / focal, (rows - height / 2) / focal, np.ones_like(rows)], -1).reshape(-1, 3)
    points = []
    for offset in (-1.0, 0.0, 1.0):
        eye, turn = np.array([offset, 0.0, 0.3 * abs(offset)]), -0.25 * offset
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        depth = _cast(eye, rays @ rotation.T)
        depth *= 1 + 0.004 * random.standard_normal(depth.shape)  # as an estimated point map would have it
        points.append(eye + depth[:, None] * (rays @ rotation.T))
    means = np.concatenate(points)
    count = len(means)
    distances, _ = KDTree(means).query(means, k=4)
    scales = np.sqrt(np.maximum(np.square(distances[:, 1:]).mean(1), 1e-7))[:, None].repeat(3, 1)
    colours = 0.5 + 0.25 * np.sin(4 * means) + 0.2 * np.sin(13 * means[:, [1, 2, 0]])
    harmonics = 0.05 * random.standard_normal((count, 16, 3))
    harmonics[:, 0] = (colours - 0.5) / 0.28209479177387814
    quaternions, opacities = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)), np.full(count, 0.1)
    if kind == "trained":
        scales = 1.5 * scales * np.exp(0.6 * random.standard_normal((count, 3)))
        quaternions, opacities = random.standard_normal((count, 4)), random.uniform(0.05, 0.99, count)
    elif kind != "fresh":
        raise ValueError(f"kind is {kind!r}; expected fresh or trained")
    fields = (means, quaternions, scales, opacities, harmonics)
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float32)
    return Gaussians(*(torch.from_numpy(field).float() for field in fields)), torch.eye(4), intrinsics


def _cast(eye: Array, rays: Array) -> Array:
    """Distances along the rays to a floor, a wall and three balls."""
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(rays[:, 1] > 0, (1.0 - eye[1]) / rays[:, 1], np.inf)
        wall = np.where(rays[:, 2] > 0, (6.0 - eye[2]) / rays[:, 2], np.inf)
        nearest = np.minimum(np.minimum(floor, wall), 20.0)
        for centre, radius in (((-0.9, 0.4, 3.5), 0.6), ((0.7, 0.2, 4.2), 0.8), ((0.1, 0.7, 2.6), 0.3)):
            towards = eye - np.asarray(centre)
            a, b, c = (rays * rays).sum(1), rays @ towards, towards @ towards - radius**2
            hit = (-b - np.sqrt(b * b - a * c)) / a
            nearest = np.where(hit > 0, np.minimum(nearest, hit), nearest)
    return nearest
