"""The words of results: cells, measurements, and everything that their fields may hold, each with one meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Track = Literal["probe", "geometry", "perf"]
Weights = Literal["pretrained", "random", "none"]
#: What a model is in a comparison: a contender; a control, which is there to be beaten; the control without any information,
#: below which a number is no score; an oracle, which reads the truth.
Role = Literal["model", "control", "floor", "oracle"]
#: What the Gaussians of a probe start from: an estimate made from the photos; true depth and cameras with simulated errors;
#: the truth.
Start = Literal["estimated", "simulated", "true"]

NOT_APPLICABLE: Final = "-"  #: a field that a cell or a row does not have: the mode of an estimator, a metric's alignment
NO_MODEL: Final = "-"  #: the model of an InstantSplat cell; keys are made of it, rows say INSTANTSPLAT
#: The mode without features, the baseline of the probe; in rows also its model, so that tables name it.
INSTANTSPLAT: Final = "instantsplat"
MODES: tuple[str, ...] = ("G", "T", "A", "Gft", "Tft", "Aft", INSTANTSPLAT)
WHOLE_CELL: Final = "cell"  #: the metric of the one row that a cell without numbers has
OVER_VIEWS: Final = "all"  #: the view of a measurement that is of all views together
OVER_DATASETS: Final = "all"  #: the data set of an average over data sets
PERF: Final = "perf"  #: the track of what things cost; reports of models pass over it
EXTRACTION: Final = "extraction"  #: the mode of the rows that say what making features cost


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
    def model_in_rows(self) -> str:
        """What rows call the model: InstantSplat has none and goes by its own name."""
        return INSTANTSPLAT if self.model == NO_MODEL else self.model

    @property
    def label(self) -> str:
        """How the cell is named in messages: dataset/scene · model · mode."""
        model = f" · {self.model}" if self.model != NO_MODEL else ""
        mode = f" · {self.mode}" if self.mode != NOT_APPLICABLE else ""
        return f"{self.dataset}/{self.scene}{model}{mode}"


@dataclass(frozen=True)
class Measurement:
    """One metric value: one row of the tables, less the columns that the cell fills in.

    Attributes:
        view: The photo it was measured on, or OVER_VIEWS.
        status: "ok", "unavailable" (with the reason in `note`), "invalid" (NaN, or not computable) or "collapsed" (the probe
            shows one colour, whatever stands in front of it; the note says what the value would be).
        value: NaN unless the status is "ok".
    """

    metric: str
    value: float
    view: str = OVER_VIEWS
    unit: str = ""
    higher_is_better: bool | None = None
    alignment: str = NOT_APPLICABLE
    status: Literal["ok", "unavailable", "invalid", "collapsed"] = "ok"
    note: str = ""


@dataclass(frozen=True)
class Marks:
    """What a cell must say of itself wherever its numbers are shown; written when it runs, read without its plug-ins.

    Attributes:
        role: Of the model; of joined features "oracle" where one part reads the truth, else "control" where one is, or is
            the floor.
        start: What the Gaussians start from; "-" in the geometry track.
        quick: True under a short protocol for small machines, whose numbers compare with each other alone.
    """

    role: Role = "model"
    start: Start | Literal["-"] = "-"
    quick: bool = False


_COLLAPSED = "the render is of one colour; the value would be "


def collapsed_note(value: float) -> str:
    """What a measurement of status "collapsed" says of the value that it does not have."""
    return f"{_COLLAPSED}{value:.4g}"


def shared_note(note: str) -> str:
    """The note without the value of its own, so that several of one reason read alike."""
    if not note.startswith(_COLLAPSED):
        return note
    _, semicolon, more = note.removeprefix(_COLLAPSED).partition(";")
    return _COLLAPSED.partition(";")[0] + semicolon + more


def value_in_note(note: str) -> float:
    """The value that the note of a collapsed measurement tells; NaN where it tells none."""
    return float(note.removeprefix(_COLLAPSED).partition(";")[0]) if note.startswith(_COLLAPSED) else math.nan
