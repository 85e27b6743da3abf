"""The state of the libraries that make numbers, kept as it is while a plug-in is imported."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_SWITCHES = ("mkldnn.enabled", "cudnn.enabled", "cudnn.benchmark", "cudnn.deterministic", "cuda.matmul.allow_tf32")


@contextmanager
def state_kept() -> Iterator[None]:
    """Undo what the block does to types, devices, precision, threads, random states, error handling and the folder.

    What it patches into other modules cannot be undone.
    """
    import torch

    switches = [(_within(torch.backends, path), path.rpartition(".")[2]) for path in _SWITCHES]
    values = [getattr(place, name) for place, name in switches]
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    precision, gradients = torch.get_float32_matmul_precision(), torch.is_grad_enabled()
    deterministic, generator = torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    numpy_state, python_state, handling = np.random.get_state(), random.getstate(), np.geterr()  # noqa: NPY002
    folder = Path.cwd()
    try:
        yield
    finally:
        torch.set_default_device(None if device == torch.device("cpu") else device)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.set_grad_enabled(gradients)
        if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call imports PyTorch's compiler: seconds
            torch.use_deterministic_algorithms(deterministic)
        torch.set_rng_state(generator)
        for (place, name), value in zip(switches, values, strict=True):
            setattr(place, name, value)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        np.seterr(**handling)
        os.chdir(folder)


def seed_everything(seed: int) -> None:
    """Give the random states that libraries share a known value, so that a model that draws from them gives the same numbers
    in every process."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def _within(module: object, path: str) -> object:
    """What holds the last attribute of a dotted path."""
    return functools.reduce(getattr, path.split(".")[:-1], module)
