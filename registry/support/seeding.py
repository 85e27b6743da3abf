"""Networks without published weights: initialised under one seed, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

SEED = 0


def seeded(build: Callable[[], Any]) -> Any:
    """What `build` makes under a fixed seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
