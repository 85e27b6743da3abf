"""Depth between sparse points against true depth: guided by the photo, and linear in inverse depth between the points.

    python tests/benchmarks/bench_guided_depth.py [--scenes courtyard,room] [--rgbd ROOT SCENE]

Procedural scenes: the points are those that structure from motion finds on the training photos, at true scale by the median
ratio; needs the extra `sfm`, and a minute a scene the first time. --rgbd: frames of a depth camera (data set `rgbd` under
ROOT). Their colour is not registered to their depth, so the points are taken from the true depth at the photo's keypoints,
with 1 % noise, and 3 % of them wrong by up to a half.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from bench.core.registry import datasets
from bench.core.scenes import Array, View
from bench.probe.views import prepare_scene
from registry.support.guided_depth import guided_depth
from registry.support.sfm.correspondences import find_correspondences
from registry.support.sfm.structure import reconstruct


class Case(NamedTuple):
    """A view with true depth, and points in it: pixels (N, 2) and depth (N,)."""

    scene: str
    view: View
    pixels: Array
    depth: Array


def linear_depth(image: Array, pixels: Array, depth: Array) -> Array:
    """Linear in inverse depth over a Delaunay triangulation; outside of it the nearest 8 points, weighted by distance."""
    height, width = image.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)
    inverse = LinearNDInterpolator(pixels, 1 / depth)(grid)
    outside = np.isnan(inverse)
    away, nearest = cKDTree(pixels).query(grid[outside], min(8, len(depth)))
    weight = 1 / np.maximum(away, 1e-6)
    inverse[outside] = (weight / depth[nearest]).sum(axis=1) / weight.sum(axis=1)
    return (1 / inverse).reshape(height, width)


def procedural(scene: str) -> Iterator[Case]:
    views = prepare_scene(datasets["procedural"]().load_scene(None, scene)).train
    height, width = views[0].image.shape[:2]
    found = find_correspondences([view.image for view in views], torch.device("cpu"))
    model = reconstruct(found, width, height)
    assert model is not None
    for photo, camera in model.cameras.items():
        pixels, depth = camera.project(model.points[model.seen[photo][:, 1]])
        yield Case(scene, views[photo], pixels, depth * np.nanmedian(true_at(views[photo], pixels) / depth))


def depth_camera(root: Path, scene: str) -> Iterator[Case]:
    views = prepare_scene(datasets["rgbd"]().load_scene(root, scene)).train
    found = find_correspondences([view.image for view in views], torch.device("cpu"))
    rng = np.random.default_rng(0)
    for photo, view in enumerate(views):
        used = np.unique(np.concatenate([pair[:, key.index(photo)] for key, pair in found.matches.items() if photo in key]))
        pixels = found.keypoints[photo][used].astype(np.float64)
        depth = true_at(view, pixels)
        pixels, depth = pixels[np.isfinite(depth)], depth[np.isfinite(depth)]
        wrong = rng.uniform(size=len(depth)) < 0.03
        depth = depth * (1 + 0.01 * rng.normal(size=len(depth))) * np.where(wrong, rng.uniform(0.5, 1.5, len(depth)), 1)
        yield Case(scene, view, pixels, depth)


def true_at(view: View, pixels: Array) -> Array:
    """(N,) the true depth at pixels, NaN where it is unknown."""
    assert view.depth is not None
    height, width = view.depth.shape
    columns, rows = (np.clip(pixels[:, axis].astype(int), 0, size - 1) for axis, size in ((0, width), (1, height)))
    depth = view.depth[rows, columns].astype(np.float64)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


def errors(case: Case, fill: Callable[[Array, Array, Array], Array]) -> tuple[float, float, float, float]:
    """Mean and median relative error and the share of pixels off by less than 5 %, all in per cent, and seconds of CPU."""
    started = time.process_time()
    found = fill(case.view.image, case.pixels, case.depth)
    spent = time.process_time() - started
    assert case.view.depth is not None
    known = np.isfinite(case.view.depth) & (case.view.depth > 0)
    relative = 100 * np.abs(found[known] / case.view.depth[known] - 1)
    return float(relative.mean()), float(np.median(relative)), float(100 * (relative < 5).mean()), spent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scenes", default="courtyard,room")
    options.add_argument("--rgbd", nargs=2, metavar=("ROOT", "SCENE"))
    asked = options.parse_args()
    cases = [case for scene in asked.scenes.split(",") if scene for case in procedural(scene)]
    if asked.rgbd:
        cases += depth_camera(Path(asked.rgbd[0]), asked.rgbd[1])
    print(f"{'scene':<12} {'way':<8} {'views':>5} {'points':>6}  mean %  median %  under 5 %  CPU s a view")
    for scene in dict.fromkeys(case.scene for case in cases):
        chosen = [case for case in cases if case.scene == scene]
        points = round(float(np.mean([len(case.depth) for case in chosen])))
        for name, fill in (("linear", linear_depth), ("guided", guided_depth)):
            mean, median, near, spent = np.mean([errors(case, fill) for case in chosen], axis=0)
            measured = f"{mean:6.2f}  {median:8.2f}  {near:9.1f}  {spent:12.2f}"
            print(f"{scene:<12} {name:<8} {len(chosen):>5} {points:>6}  {measured}")


if __name__ == "__main__":
    main()
