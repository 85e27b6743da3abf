"""The Gaussians of a probe as the optimiser sees them: heads for what is read out, parameters for what is free.

Values here are *raw*: position, logarithm of the scale, quaternion, opacity logit, and the spherical harmonics' first and
other coefficients; `activated` makes Gaussians of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from bench.core.protocols import Precision
from bench.core.scenes import Array
from bench.probe.features.map import FeatureMap
from bench.probe.modes import ATTRIBUTES, Mode
from bench.probe.readout.readout import HEAD_CHANNELS, Readout
from bench.splat import SH_0, Gaussians

_SMALLEST_SQUARED_DISTANCE = 1e-7  # coincident points would have scale 0 (3D Gaussian splatting's floor)
NEIGHBOURS = 3
WITHOUT_GRADIENT = ("colour_rest",)  #: heads that do not pull at a fine-tuned feature


def initial_values(points: Array, colours: Array, opacity: float, device: torch.device) -> dict[str, Tensor]:
    """Where the free attributes start and what the warm start teaches the others: attribute -> (N, channels) float32.

    points: (N, 3), in the probe's unit. colours: (N, 3) in [0, 1]. opacity: in (0, 1). The scale is the root of the mean
    squared distance to the three nearest other points (all there are, where there are fewer).
    """
    count = len(points)
    squared = _mean_squared_distance(points)
    values = {
        "position": points,
        "log_scale": np.repeat(0.5 * np.log(np.maximum(squared, _SMALLEST_SQUARED_DISTANCE))[:, None], 3, axis=1),
        "rotation": np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
        "opacity": np.full((count, 1), np.log(opacity / (1 - opacity))),
        "colour_dc": (colours - 0.5) / SH_0,
        "colour_rest": np.zeros((count, HEAD_CHANNELS["colour_rest"])),
    }
    return {name: torch.from_numpy(np.asarray(value, np.float32)).to(device) for name, value in values.items()}


def _mean_squared_distance(points: Array) -> Array:
    neighbours = min(NEIGHBOURS, len(points) - 1)
    if neighbours == 0:
        return np.zeros(len(points))
    distances, _ = cKDTree(points).query(points, k=neighbours + 1)
    return (distances[:, 1:] ** 2).mean(axis=1)


def activated(values: Mapping[str, Tensor]) -> Gaussians:
    """The Gaussians of raw values; differentiable."""
    rest = values["colour_rest"].unflatten(1, (-1, 3))
    return Gaussians(
        means=values["position"],
        quaternions=values["rotation"],
        scales=values["log_scale"].exp(),
        opacities=values["opacity"][:, 0].sigmoid(),
        spherical_harmonics=torch.cat([values["colour_dc"][:, None], rest], dim=1),
    )


class Parameters:
    """All that a probe optimises, less the cameras.

    mode: what is read out. initial: as of `initial_values`, N rows. features, pixels: the features of the training photos
    and the ascending flat indices (N,) of the Gaussians' pixels among theirs; None where the mode needs no feature. seed:
    of the heads. precision: of their products.
    """

    def __init__(
        self,
        mode: Mode,
        initial: Mapping[str, Tensor],
        features: FeatureMap | None,
        pixels: Tensor | None,
        seed: int,
        precision: Precision = "float32",
    ) -> None:
        self.mode = mode
        self.initial = initial
        self.free = {name: nn.Parameter(initial[name].clone()) for name in mode.free}
        self.readout: Readout | None = None
        self._features, self._pixels = features, pixels
        self._pixel_features: Tensor | None = None
        if features is not None and mode.needs_feature:
            device = features.values.device
            self.readout = Readout(features.channels, mode.readout, seed=seed, precision=precision).to(device)
            if features.per_pixel or mode.fine_tuned:
                self._pixel_features = features.upsampled().flatten(0, 2)[pixels]
            if mode.fine_tuned:
                assert self._pixel_features is not None
                self._pixel_features = nn.Parameter(self._pixel_features)

    def values(self) -> dict[str, Tensor]:
        """Raw attributes of all Gaussians, attribute -> (N, channels)."""
        values: dict[str, Tensor] = dict(self.free)
        if self.readout is not None and self._pixel_features is not None:
            values |= self.readout.forward_pixels(self._pixel_features, detach_for=WITHOUT_GRADIENT)
        elif self.readout is not None:
            assert self._features is not None
            values |= self.readout(self._features, self._pixels, detach_for=WITHOUT_GRADIENT)
        return {name: values[name] for name in ATTRIBUTES}

    @property
    def fine_tuned_features(self) -> nn.Parameter | None:
        """(N, C), in the fine-tuned modes."""
        return self._pixel_features if isinstance(self._pixel_features, nn.Parameter) else None

    def freeze_features(self) -> None:
        """What ends the warm start: the fine-tuned feature is a constant from here on."""
        if self.fine_tuned_features is not None:
            self.fine_tuned_features.requires_grad_(False)
            self.fine_tuned_features.grad = None

    def groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: one an attribute under its name, and "features" in the fine-tuned modes."""
        groups: list[dict[str, Any]] = []
        for name in ATTRIBUTES:
            parameters: Iterable[nn.Parameter] = (
                self.readout.heads[name].parameters()
                if self.readout is not None and name in self.mode.readout
                else [self.free[name]]
            )
            groups.append({"name": name, "params": list(parameters)})
        if self.fine_tuned_features is not None:
            groups.append({"name": "features", "params": [self.fine_tuned_features]})
        return groups
