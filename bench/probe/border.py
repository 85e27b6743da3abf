"""What plug-ins hand to the probe, checked where it comes in, with messages for their authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.interfaces import Card
from bench.core.scenes import Initialisation, MultiViewScene


def checked_features(part: str, values: Any, images: Tensor, card: Card, *, per_pixel: bool) -> Tensor:
    """The features that a provider gave.

    Args:
        part: The provider's name, for messages.
        values: What it gave; expected (B, h, w, C) on the device of the photos, of real numbers.
        images: (B, 3, H, W), what it was given.
        card: The provider's; channels 0 promises nothing.
        per_pixel: True where h and w must be H and W.

    Raises:
        UserError: For anything else, saying what was given and what to return instead.
    """
    count, _, height, width = images.shape
    size = f"({count}, {height}, {width}, C)" if per_pixel else f"({count}, h, w, C), h and w in tokens"
    wanted = f"extract must return a PyTorch tensor of shape {size}"
    if not isinstance(values, Tensor):
        raise UserError(f"{part}: {wanted}, not {_kind(values)}")
    if values.is_complex():
        raise UserError(f"{part}: the features are complex ({_name(values.dtype)}); return real numbers")
    if values.ndim != 4:
        raise UserError(f"{part}: {wanted}; the shape is {tuple(values.shape)}")
    views, rows, columns, channels = values.shape
    if card.channels and channels != card.channels:
        swapped = rows == card.channels
        hint = "; it looks like (B, C, h, w): return values.permute(0, 2, 3, 1)" if swapped else ""
        raise UserError(
            f"{part}: its card says {card.channels} channels, the features {tuple(values.shape)} have {channels}{hint}"
        )
    exact = (rows, columns) == (height, width)
    if views != count or not values.numel() or (per_pixel and not exact) or rows > 4 * height or columns > 4 * width:
        raise UserError(f"{part}: {wanted}; the shape is {tuple(values.shape)}")
    if values.device.type != images.device.type:
        raise UserError(f"{part}: the features are on {values.device}, the photos on {images.device}; return them there")
    if values.layout is not torch.strided or values.is_quantized:
        raise UserError(f"{part}: the features are {values.layout} {_name(values.dtype)}; return a dense tensor")
    if not values.isfinite().all():
        broken = values.numel() - int(values.isfinite().sum())
        raise UserError(f"{part}: {broken} of {values.numel()} feature values are NaN or infinite")
    return values


def checked_initialisation(name: str, given: Any, scene: MultiViewScene) -> Initialisation:
    """The point map that an initialiser gave for a scene.

    Args:
        name: The initialiser's, for messages.
        given: What it gave.
        scene: What it was given.

    Raises:
        UserError: Where it is no Initialisation, counts other views, or holds arrays of another shape or values that are not
            finite where a Gaussian is to stand.
    """
    if not isinstance(given, Initialisation):
        raise UserError(f"{name}: initialise must return an Initialisation, not {_kind(given)}")
    counts = {
        "points": (len(given.points), len(scene.train)),
        "masks": (len(given.masks), len(scene.train)),
        "cameras": (len(given.cameras), len(scene.train)),
        "test_cameras": (len(given.test_cameras), len(scene.test)),
        "test_depths": (len(given.test_depths), len(scene.test)),
    }
    for field, (found, expected) in counts.items():
        if found != expected:
            raise UserError(f"{name}: the initialisation has {found} {field}, the scene {expected} such views")
    for view, points, mask in zip(scene.train, given.points, given.masks, strict=True):
        shape = view.image.shape[:2]
        if np.shape(points) != (*shape, 3) or np.shape(mask) != shape or np.asarray(mask).dtype != bool:
            raise UserError(
                f"{name}: view {view.name}: points {np.shape(points)} and mask {np.shape(mask)} ({np.asarray(mask).dtype}) "
                f"must be {(*shape, 3)} and {shape} (bool)"
            )
        if np.asarray(points).dtype.kind != "f" or not np.isfinite(np.asarray(points)[np.asarray(mask)]).all():
            raise UserError(f"{name}: view {view.name}: points must be real and finite wherever the mask is True")
    return given


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
