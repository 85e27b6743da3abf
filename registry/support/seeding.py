"""Networks without published weights: initialised under one seed, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.machine.seeding import SEED as SEED
from bench.machine.seeding import seeded_generators


def seeded(build: Callable[[], Any]) -> Any:
    """What `build` makes under a fixed seed; torch's global generators are left as they were, those of GPUs in use too."""
    with seeded_generators(SEED):
        return build()
