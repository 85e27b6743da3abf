"""Networks without published weights: initialised under one seed, or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

SEED = 0


def seeded(build: Callable[[], Any]) -> Any:
    """What `build` makes under a fixed seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()


def bytes_of(*builds: Callable[[], Any]) -> int:
    """What the parameters of networks take in memory, from their architecture alone: no value is allocated."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # initialising values that are not there is a warning for every tensor
        networks = [build() for build in builds]
    return sum(value.numel() * value.element_size() for network in networks for value in network.parameters())
