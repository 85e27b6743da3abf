"""Which pixels of a held-out photo show a surface that some training photo shows too: where a probe can be judged.

Source: Feat2GS (arXiv:2412.09606), supplement, after Splatt3R. Lengths are in the probe's unit (`bench.probe.frame`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from bench.core.scenes import Array, Camera, Initialisation, nearest
from bench.probe.frame import usable_masks

PROJECTED = "visibility from the projected training points: the initialiser knows no depth of this view"


@dataclass(frozen=True, eq=False)
class Visibility:
    """mask: (h, w) bool. note: how it was found, "" where as in the paper."""

    mask: Array
    note: str = ""


def visibility(
    initialisation: Initialisation, height: int, width: int, threshold: float, *, masked: bool = False
) -> tuple[Visibility, ...]:
    """For each held-out view its visible pixels on the grid (height, width).

    A pixel is visible where its surface point, from the view's own depth, projects into some training view and has, within
    `threshold`, the depth that this view's point map has there (bilinear; without a finite point there is no depth). The
    point maps are used at the resolution of `initialisation`, which may be finer than the grid. masked: a pixel that the
    point map's mask leaves out has no depth either (in the official code the mask only decides where Gaussians stand).

    Where the initialiser gives no depth of a held-out view, a pixel is visible where a training point falls into it or into
    one of its eight neighbours, and the note says so.
    """
    usable = usable_masks(initialisation)
    depths = [
        _depth_map(points, kept if masked else np.ones_like(kept), camera)
        for points, kept, camera in zip(initialisation.points, usable, initialisation.cameras, strict=True)
    ]
    found = []
    for camera, depth in zip(initialisation.test_cameras, initialisation.test_depths, strict=True):
        if depth is None:
            found.append(Visibility(_covered(initialisation, camera.resized(width, height)), PROJECTED))
            continue
        points = nearest(camera.unproject(np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)), height, width)
        agree = [_agrees(points, *view, threshold) for view in zip(initialisation.cameras, depths, strict=True)]
        found.append(Visibility(np.any(agree, axis=0)))
    return tuple(found)


def _depth_map(points: Array, usable: Array, camera: Camera) -> Array:
    """(H, W) depth of a view's own point map, NaN where it keeps no point."""
    return camera.project(np.where(usable[..., None], points, np.nan))[1]


def _agrees(points: Array, camera: Camera, depth_map: Array, threshold: float) -> Array:
    """(h, w) bool: whether the point (h, w, 3) lies in the image and on the surface that this view sees. NaN never does."""
    pixels, depth = camera.project(points)
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (pixels > 0).all(axis=-1) & (pixels < (camera.width, camera.height)).all(axis=-1)
    # Pixel centres are at halves: x / width runs over [-1, 1] from border to border, as `align_corners=False` takes it.
    sampled = F.grid_sample(
        torch.from_numpy(depth_map)[None, None],
        torch.from_numpy(np.where(inside[..., None], 2 * pixels / (camera.width, camera.height) - 1, 0.0))[None],
        padding_mode="border",
        align_corners=False,
    )[0, 0].numpy()
    with np.errstate(invalid="ignore"):
        return inside & (np.abs(sampled - depth) <= threshold)


def _covered(initialisation: Initialisation, camera: Camera) -> Array:
    covered = np.zeros((camera.height, camera.width), bool)
    for points, usable in zip(initialisation.points, usable_masks(initialisation), strict=True):
        pixels, depth = camera.project(points[usable])
        columns, rows = np.floor(pixels[depth > 0]).T
        inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
        covered[rows[inside].astype(int), columns[inside].astype(int)] = True
    grown = F.max_pool2d(torch.from_numpy(covered).float()[None, None], 3, stride=1, padding=1)
    return grown[0, 0].numpy() > 0
