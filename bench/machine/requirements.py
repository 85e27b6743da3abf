"""What a model needs of this machine, checked before anything is loaded: packages, a checkpoint, memory.

Memory is judged by the parameters alone, in single precision: where not even they fit, the model cannot run. Activations
come on top; a model that fails on those is a failed cell with its reason.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.core.absent import INSTALL, LIBRARY, is_installed
from bench.core.cells import Weights
from bench.core.errors import Unavailable
from bench.core.interfaces import Model

_MEMINFO = Path("/proc/meminfo")


def check(name: str, model: type[Model], weights: Weights, device: str | None) -> None:
    """Raises Unavailable, with the reason and what to do, where the model cannot run on this machine.

    name: as on the command line. device: "cpu" or "cuda"; None where another machine runs it, whose memory is not known.
    """
    check_packages(name, model)
    if (weights == "random" or model.untrained) and not model.random_weights:
        raise Unavailable(f"{name} cannot be built without its checkpoint, only run with its published weights")
    if device is None:
        return
    needed, free = model.parameter_bytes(), free_bytes(device)
    if needed is not None and free is not None and needed > free:
        raise Unavailable(
            f"{name} does not fit: its parameters alone take {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB of memory are free"
        )


def check_packages(name: str, model: type[Model]) -> None:
    """Raises Unavailable for the first missing one of the packages that the model `needs`, PyTorch before all."""
    for package, remedy in {LIBRARY: INSTALL, **model.needs}.items():
        if not is_installed(package):
            raise Unavailable(f"{name} needs the package {package}: {remedy}")


def free_bytes(device: str) -> int | None:
    """The memory that a program may still take on the device ("cpu" or "cuda"); None where the system does not tell."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    if _MEMINFO.is_file():
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        if "MemAvailable" in fields:
            return int(fields["MemAvailable"].split()[0]) * 1024
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):  # macOS: all there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
