"""PyTorch's global random generators under a seed for a while: the CPU's and, where they are in use, all GPUs'."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

SEED = 0  #: of networks without published weights, and of samples where nothing else names one


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """All global generators start from a seed; afterwards they are as they were.

    A GPU's generator that nothing has used in this process yet is not read, which would start CUDA: it begins from the seed
    where something uses it later.
    """
    # PyTorch's own default is every GPU, with a warning where there are several, and starts CUDA.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield
