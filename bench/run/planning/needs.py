"""What cells need of the machine that runs them, from what like cells took and from the cards of their models."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.cells import Cell
from bench.core.interfaces import Model
from bench.core.lookup import model_classes
from bench.run.planning.planfile import Estimate, grouped

_BASE_MB = 2048.0  #: of a process with the libraries loaded and a scene, where no like cell was measured
_OVER_PARAMETERS = 3.0  #: memory of a network at work over that of its parameters, where no like cell was measured
_MARGIN = 1.5  #: memory that is asked for over the largest peak of like cells
_SMALLEST_GB = 4
_CPUS = {"cpu": 1, "cuda": 4}  #: one worker's; on a GPU the rest read and decode photos


@dataclass(frozen=True, order=True)
class Need:
    """What a task asks for.

    Attributes:
        gpus: Whole GPUs.
        cpus: Processors.
        memory_gb: Of the machine, a power of two, so that there are few distinct needs.
        gpu_memory_gb: Of the GPU, a power of two; 0 where none is asked for or nothing is known.
    """

    gpus: int
    cpus: int
    memory_gb: int
    gpu_memory_gb: int = 0

    def __str__(self) -> str:
        gpu = f"{self.gpus} GPU" + (f" of {self.gpu_memory_gb} GB, " if self.gpu_memory_gb else ", ") if self.gpus else ""
        return f"{gpu}{self.cpus} CPU{'s' if self.cpus > 1 else ''}, {self.memory_gb} GB"


def by_need(cells: Sequence[tuple[Cell, Estimate]], device: str) -> dict[Need, list[tuple[Cell, Estimate]]]:
    """The cells by what they need. Those that a process runs together have one need, the largest of theirs.

    Args:
        cells: Of a plan.
        device: "cpu" or "cuda".
    """
    found: dict[Need, list[tuple[Cell, Estimate]]] = {}
    for members in grouped(cells):
        need = max(need_of(cell, estimate, device) for cell, estimate in members)
        found.setdefault(need, []).extend(members)
    return dict(sorted(found.items()))


def need_of(cell: Cell, estimate: Estimate, device: str) -> Need:
    """What one cell needs on a device, "cpu" or "cuda" (whose `estimate.memory_mb` is the GPU's)."""
    parameters = sum(_parameter_mb(cls) for _, cls in model_classes(cell))
    guessed, measured = _BASE_MB + _OVER_PARAMETERS * parameters, _MARGIN * estimate.memory_mb
    if device == "cuda":
        gpu = 0 if math.isnan(measured) else _rounded_gb(measured)
        return Need(1, _CPUS[device], _rounded_gb(guessed), gpu)
    return Need(0, _CPUS[device], _rounded_gb(guessed if math.isnan(measured) else measured))


@functools.cache
def _parameter_mb(model: type[Model]) -> float:
    """What a model's parameters take, as far as is known; its network may be built, without values, to tell."""
    return (model.parameter_bytes() or 0) / 2**20


def _rounded_gb(megabytes: float) -> int:
    """The next power of two in GB."""
    return max(_SMALLEST_GB, 2 ** math.ceil(math.log2(max(megabytes, 1.0) / 1024)))
