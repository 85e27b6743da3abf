"""The pictures of a probe: what a person looks at beside the numbers. All (h, w, 3) uint8, at the probe's grid.

A picture's name is its kind and its view, "render.<view>". Kinds of a held-out view: photo, render, depth, depth-truth,
normal, normal-truth, error, visible; of a training view: features. The truth is there where it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.scenes import Array, Camera, View
from bench.metrics.colours import coloured, finite_range
from bench.metrics.normals import normals_of_points
from bench.probe.features.map import FeatureMap, reduce, resize

_DEPTH_COLOURS, _ERROR_COLOURS = "Spectral", "inferno"
_ERROR_RANGE = 0.5  # mean absolute error of a pixel that is drawn brightest
_PERCENTILES = (1.0, 99.0)


def picture_name(kind: str, view: str) -> str:
    return f"{kind}.{view}"


def view_pictures(view: View, camera: Camera, rgb: Array, depth: Array, alpha: Array, visible: Array) -> dict[str, Array]:
    """The pictures of one held-out view.

    view: on the grid. camera: the refined one. rgb: (h, w, 3) uint8 render. depth: (h, w) expected depth in the unit of the
    view's, NaN where nothing was drawn. alpha, visible: (h, w). Depth and its truth share one range of colours.
    """
    span = finite_range(depth if view.depth is None else view.depth)
    error = np.abs(rgb.astype(np.float64) - view.image).mean(axis=-1) / 255
    pictures = {
        "photo": view.image,
        "render": rgb,
        "depth": coloured(depth, span, _DEPTH_COLOURS),
        "normal": _normal_colours(depth_normals(depth, camera) * alpha[..., None]),
        "error": coloured(error, (0.0, _ERROR_RANGE), _ERROR_COLOURS),
        "visible": np.repeat(np.where(visible, 255, 0).astype(np.uint8)[..., None], 3, axis=-1),
    }
    if view.depth is not None:
        pictures["depth-truth"] = coloured(view.depth, span, _DEPTH_COLOURS)
        true_normals = view.normal
        if true_normals is None and view.camera is not None:
            true_normals = depth_normals(view.depth, view.camera)
        if true_normals is not None:
            pictures["normal-truth"] = _normal_colours(true_normals)
    return {picture_name(kind, view.name): np.ascontiguousarray(picture) for kind, picture in pictures.items()}


def feature_pictures(features: FeatureMap, views: Sequence[View]) -> dict[str, Array]:
    """The three leading principal components of the features as red, green and blue, one range of values for all views."""
    leading = reduce(features.values.detach(), 3)
    leading = F.pad(leading, (0, 3 - leading.shape[-1]))
    low, high = torch.quantile(_subset(leading).cpu(), torch.tensor(_PERCENTILES) / 100, dim=0).to(leading.device)
    scaled = (leading - low) / (high - low).clamp(min=1e-12)
    pictures = to_bytes(resize(scaled, features.height, features.width))
    return {picture_name("features", view.name): picture for view, picture in zip(views, pictures, strict=True)}


def to_bytes(picture: Tensor) -> Array:
    """uint8 array of a tensor in [0, 1], clamped and rounded; NaN becomes 0."""
    return (picture.detach().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def depth_normals(depth: Array, camera: Camera) -> Array:
    """(h, w, 3) unit normals in the camera's axes, facing the camera, of a depth map (h, w); NaN where a neighbour is
    unknown."""
    at_origin = replace(camera, world_to_camera=np.eye(4))
    return normals_of_points(at_origin.unproject(np.where(np.isfinite(depth), depth, np.nan)))


def _subset(values: Tensor) -> Tensor:
    """(n, channels), evenly thinned: torch's quantile takes 16 million values at most."""
    flat = values.reshape(-1, values.shape[-1])
    return flat[:: max(1, len(flat) // 100_000)]


def _normal_colours(normals: Array) -> Array:
    """Right is red, up is green, towards the camera is blue; grey where there is no normal."""
    shown = np.nan_to_num(normals, nan=0.0) * (1.0, -1.0, -1.0)
    return np.rint((shown * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)
