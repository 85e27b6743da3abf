"""How long the rasterizers take, forward and backward, and how much memory: `python tests/benchmarks/bench_raster.py`.

Scenes: one Gaussian a pixel of three photos of a simulated room, as the probe starts ("fresh": round, opacity 0.1), and as
they look after training ("trained": stretched, turned, of mixed opacity). One view is rendered and its gradients by all
Gaussians and the pose are taken. Times are CPU time of all threads beside wall time, the median of the repetitions and
their spread (from the 10th to the 90th percentile); the backends take turns within one process, so that they share its
disturbances.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from bench.splat import Gaussians, available_backends, rasterize

SIZES = ((128, 96), (256, 192), (512, 384))
#: The torch backend is left out above this: a repetition takes tens of seconds and gigabytes.
TORCH_LIMIT = 200_000


def scene(width: int, height: int, kind: str = "fresh", seed: int = 0) -> tuple[Gaussians, torch.Tensor, torch.Tensor]:
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


def _cast(eye: np.ndarray[Any, Any], rays: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
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


def step(
    gaussians: Gaussians, pose: torch.Tensor, intrinsics: torch.Tensor, size: tuple[int, int], **options: Any
) -> list[float]:
    """CPU and wall seconds of one forward pass, then of forward and backward together."""
    leaves = [getattr(gaussians, name).clone().requires_grad_() for name in Gaussians.__dataclass_fields__]
    pose = pose.clone().requires_grad_()
    weights = torch.linspace(-1, 1, size[0] * size[1] * 3).view(size[1], size[0], 3)
    cpu, wall = time.process_time(), time.perf_counter()
    rendering = rasterize(Gaussians(*leaves), pose, intrinsics, *size, **options)
    forward = time.process_time() - cpu
    torch.autograd.backward(rendering.rgb, weights)
    return forward, time.process_time() - cpu, time.perf_counter() - wall


def measure(
    sizes: Sequence[tuple[int, int]] = SIZES,
    kinds: Sequence[str] = ("fresh", "trained"),
    backends: Sequence[str] = ("native", "torch"),
    threads: Sequence[int] = (1, 2),
    repetitions: int = 15,
    memory: bool = True,
) -> list[dict[str, Any]]:
    """One row per case, backend and number of threads.

    Keys: case, backend, threads, gaussians, width, height, forward_cpu_ms, median_cpu_ms and spread (forward and backward),
    median_wall_ms, ratio (CPU time of the torch backend over this one; NaN where torch was not run), peak_memory_mb (what a
    step adds to the peak of a process of its own; NaN where it was not asked for or the system cannot tell).
    """
    usable = [name for name in backends if name in available_backends()]
    rows = []
    for size in sizes:
        for kind in kinds:
            gaussians, pose, intrinsics = scene(*size, kind)
            variants = [("native", count) for count in threads if "native" in usable]
            if "torch" in usable and len(gaussians) <= TORCH_LIMIT:
                variants.append(("torch", 1))
            samples: dict[tuple[str, int], list[tuple[float, float, float]]] = {variant: [] for variant in variants}
            for repetition in range(repetitions + 1):
                for variant in variants:
                    if variant[0] == "torch" and repetition > max(2, repetitions // 5):
                        continue  # slow and steady: fewer repetitions do
                    took = step(gaussians, pose, intrinsics, size, backend=variant[0], threads=variant[1])
                    if repetition:
                        samples[variant].append(took)
            cpu = {variant: 1e3 * np.asarray(values)[:, 1] for variant, values in samples.items()}
            reference = float(np.median(cpu[("torch", 1)])) if ("torch", 1) in cpu else float("nan")
            for variant, values in samples.items():
                low, high = np.percentile(cpu[variant], [10, 90])
                rows.append(
                    {
                        "case": kind,
                        "backend": variant[0],
                        "threads": variant[1],
                        "gaussians": len(gaussians),
                        "width": size[0],
                        "height": size[1],
                        "forward_cpu_ms": 1e3 * float(np.median(np.asarray(values)[:, 0])),
                        "median_cpu_ms": float(np.median(cpu[variant])),
                        "spread": float(high - low),
                        "median_wall_ms": 1e3 * float(np.median(np.asarray(values)[:, 2])),
                        "ratio": reference / float(np.median(cpu[variant])),
                        "peak_memory_mb": peak_memory(size, kind, *variant) if memory else float("nan"),
                    }
                )
    return rows


def peak_memory(size: tuple[int, int], kind: str, backend: str, threads: int) -> float:
    """Megabytes that one step needs beside the scene, measured in a process of its own; NaN where that is not on Linux."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    arguments = [str(size[0]), str(size[1]), kind, backend, str(threads)]
    done = subprocess.run([sys.executable, __file__, "--peak", *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _print_peak(width: int, height: int, kind: str, backend: str, threads: int) -> None:
    gaussians, pose, intrinsics = scene(width, height, kind)
    step(gaussians.select(torch.arange(64)), pose, intrinsics, (8, 8), backend=backend)  # what is loaded once does not count
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _peak()
    step(gaussians, pose, intrinsics, (width, height), backend=backend, threads=threads)
    print(_peak() - before)


def _peak() -> float:
    """Megabytes: the largest resident set of this process since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many of the sizes, smallest first")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--peak", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        width, height, kind, backend, threads = options.peak
        _print_peak(int(width), int(height), kind, backend, int(threads))
        return
    columns = ("case", "backend", "threads", "gaussians", "width", "height")
    numbers = ("forward_cpu_ms", "median_cpu_ms", "spread", "median_wall_ms", "ratio", "peak_memory_mb")
    print(*columns, *numbers, sep="\t")
    for row in measure(SIZES[: options.sizes], repetitions=options.repetitions):
        print(*(row[name] for name in columns), *(f"{row[name]:.1f}" for name in numbers), sep="\t")


if __name__ == "__main__":
    main()
