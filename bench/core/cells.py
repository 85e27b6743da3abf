"""The words of results: cells, measurements, and what they may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Track = Literal["probe", "geometry", "perf"]
Weights = Literal["pretrained", "random", "none"]

NO_MODEL = "-"  #: the model of an InstantSplat cell


@dataclass(frozen=True, order=True)
class Cell:
    """One unit of work: it is run, stored, resumed and shown as a whole."""

    track: Track
    dataset: str
    scene: str
    model: str
    mode: str
    pointmap: str
    protocol: str
    seed: int

    @property
    def label(self) -> str:
        """How the cell is named in messages: dataset/scene · model · mode."""
        mode = f" · {self.mode}" if self.mode != "-" else ""
        return f"{self.dataset}/{self.scene} · {self.model}{mode}"


@dataclass(frozen=True)
class Measurement:
    """One metric value: one row of the tables, less the columns that the cell fills in.

    view: the photo it was measured on, or "all". status: "ok", "unavailable" (with the reason in note), "invalid" (NaN
    or not computable). `value` is NaN unless the status is "ok".
    """

    metric: str
    value: float
    view: str = "all"
    unit: str = ""
    higher_is_better: bool | None = None
    alignment: str = "-"
    status: Literal["ok", "unavailable", "invalid"] = "ok"
    note: str = ""
