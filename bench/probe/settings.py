"""How a scene is probed: what one cell of the probe track says, besides its data and its features."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bench.core.protocols import ProbeProtocol
from bench.probe.modes import Mode
from bench.splat.render import Backend


@dataclass(frozen=True)
class ProbeSettings:
    """What decides a probe's numbers, besides scene, point map and features.

    Attributes:
        mode: What is read out of the feature and what is optimised directly.
        protocol: Sizes, iterations, rates.
        seed: Of the readout's first values, the order of the views and the noise on first positions.
        device: Where it runs.
        holds_scales: Keep the log-scales near their first values in the rendering stage, as the official code does for IUV
            and IUVRGB. Without effect in modes that read no feature.
        backend: The rasterizer.
    """

    mode: Mode
    protocol: ProbeProtocol
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    holds_scales: bool = False
    backend: Backend = "auto"
