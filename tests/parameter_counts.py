"""How many parameters networks have, from their architectures alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch


def millions(*builds: Callable[[], Any]) -> float:
    """Of all the networks together; no value is allocated."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # initialising values that are not there is a warning for every tensor
        networks = [build() for build in builds]
    return sum(value.numel() for network in networks for value in network.parameters()) / 1e6
