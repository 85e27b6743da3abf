"""What a track is to the runner: cells in, outcomes out; and what all cells of a run share."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.core.cells import Cell, Measurement, Weights
from bench.core.names import ModelName, Part
from bench.core.registry import features
from bench.core.scenes import Array

if TYPE_CHECKING:
    import torch

    from bench.core.residents import Residents


@dataclass(frozen=True)
class Settings:
    """What every cell of a run shares, besides its name: where data and caches lie, the device, which weights.

    Attributes:
        data_root: Where the data sets lie; None where only embedded ones are read.
        cache: The folder of what is computed once: features, for one.
        device: "cpu" or "cuda".
        weights: Which weights models are built with.
        checkpoints: (model name, local file of weights) pairs that stand in for the publisher's.
        cells_per_gpu: How many cells share a GPU; above 1, what a cell takes there says nothing of its cost.
    """

    data_root: Path | None
    cache: Path
    device: str
    weights: Weights
    checkpoints: tuple[tuple[str, Path], ...] = ()
    cells_per_gpu: int = 1

    def checkpoint(self, model: str) -> Path | None:
        """The local weights of a model, where there are some: those under its name, or under its name less its settings."""
        given, part = dict(self.checkpoints), features.current(ModelName.parse(model).parts[0])
        return given.get(str(part), given.get(str(Part(part.base, part.size))))

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device(self.device)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a cell gives: its measurements, and its pictures, (H, W, 3) uint8 by name."""

    measurements: tuple[Measurement, ...]
    pictures: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a preparation cost when it was made, which may be long ago.

    Attributes:
        key: Identifies what was made.
        measurements: Its cost, as rows.
        seconds: Wall time.
        peak_memory_mb: Of the process that made it (on a GPU: of its allocations).
        device: That it was made on.
        provenance: Of the machine and the code that made it.
    """

    key: str
    measurements: tuple[Measurement, ...]
    seconds: float
    peak_memory_mb: float
    device: str
    provenance: Mapping[str, Any]


class CellTrack(Protocol):
    """One track. A new one is a module that holds such an object and a line in `bench.run.tracks`.

    weights: Where that comes from which measuring needs besides the models, by its name: fetched once, before the cells.
    """

    weights: Mapping[str, str]

    def group(self, cell: Cell) -> tuple[Hashable, ...]:
        """Cells of one group run one after the other in one process, which no other group shares."""
        ...

    def preparations(self, cell: Cell) -> Iterable[Cell]:
        """What must be made before the cell runs, each as a cell of the track "perf"; a process serves one model."""
        ...

    def prepare(self, preparation: Cell, settings: Settings, residents: Residents) -> Prepared:
        """Make one preparation, or find it made."""
        ...

    def revisions(self, cell: Cell) -> Mapping[str, str]:
        """What pins code that the cell runs besides the suite's, its models' and installed packages, by its name: a part of
        the cell's key. Empty where there is none."""
        ...

    def run(self, cell: Cell, settings: Settings, residents: Residents) -> Outcome:
        """Run a cell. Raises whatever goes wrong; the runner records it."""
        ...
