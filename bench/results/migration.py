"""Results of older versions of this suite, brought up to the present row format."""

from __future__ import annotations

import math
from dataclasses import asdict

import pandas as pd

from bench.core.cells import INSTANTSPLAT, NO_MODEL, NOT_APPLICABLE, Marks, Start
from bench.results.schema import DIGESTS

#: What version 1 knew by name; its rows did not say it.
_ORACLES = frozenset({"oracle", "oracle-noisy", "oracle-xyz"})
_CONTROLS = frozenset({"random-vit", "plane", "ground-plane"})
_STARTS: dict[str, Start] = {"ground-truth": "true", "noisy-ground-truth": "true", "simulated": "simulated"}
_QUICK = frozenset({"quick-v1"})
_MARKS = tuple(asdict(Marks()))


def marks_of_version_1(model: str, pointmap: str, protocol: str) -> Marks:
    """What a cell of version 1 says of itself, from the names that the suite itself registered then."""
    parts = {part.partition("@")[0] for part in model.split("+")}
    return Marks(
        role="oracle" if parts & _ORACLES else "control" if parts & _CONTROLS else "model",
        start=NOT_APPLICABLE if pointmap == NOT_APPLICABLE else _STARTS.get(pointmap, "estimated"),
        quick=protocol in _QUICK,
    )


def model_in_rows(model: str) -> str:
    """What rows call the model of a cell: InstantSplat has none and goes by its own name."""
    return INSTANTSPLAT if model == NO_MODEL else model


def migrated(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows as they are written now: with the marks of version 2, InstantSplat by its name, and the digests and bytes read
    of version 3, which older rows do not tell. What are no rows stays."""
    return _with_read(_with_marks(_with_digests(_with_baseline(frame))))


def _with_baseline(frame: pd.DataFrame) -> pd.DataFrame:
    unnamed = frame["model"] == NO_MODEL if "model" in frame else pd.Series(dtype=bool)
    return frame.assign(model=frame["model"].mask(unnamed, INSTANTSPLAT)) if unnamed.any() else frame


def _with_digests(frame: pd.DataFrame) -> pd.DataFrame:
    if set(DIGESTS) & set(frame.columns) or "weights" not in frame:
        return frame
    result = frame.copy()
    place = result.columns.get_loc("weights")
    assert isinstance(place, int)
    for offset, name in enumerate(DIGESTS, start=1):
        result.insert(place + offset, name, "")
    return result


def _with_read(frame: pd.DataFrame) -> pd.DataFrame:
    if "read_mb" in frame or "peak_memory_mb" not in frame:
        return frame
    place = frame.columns.get_loc("peak_memory_mb")
    assert isinstance(place, int)
    result = frame.copy()
    result.insert(place + 1, "read_mb", math.nan)
    return result


def _with_marks(frame: pd.DataFrame) -> pd.DataFrame:
    told = ["model", "pointmap", "protocol"]
    if set(_MARKS) & set(frame.columns) or not {*told, "weights"} <= set(frame.columns):
        return frame
    keys = frame[told].astype(str)
    known = {key: asdict(marks_of_version_1(*key)) for key in keys.drop_duplicates().itertuples(index=False, name=None)}
    marks = [known[key] for key in keys.itertuples(index=False, name=None)]
    result = frame.copy()
    place = result.columns.get_loc(DIGESTS[-1])
    assert isinstance(place, int)
    for offset, name in enumerate(_MARKS, start=1):
        result.insert(place + offset, name, [each[name] for each in marks])
    return result
