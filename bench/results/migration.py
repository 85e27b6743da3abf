"""Results of older versions of this suite, brought up to the present row format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

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
    return _inserted(frame, "weights", dict.fromkeys(DIGESTS, ""))


def _with_read(frame: pd.DataFrame) -> pd.DataFrame:
    if "read_mb" in frame or "peak_memory_mb" not in frame:
        return frame
    return _inserted(frame, "peak_memory_mb", {"read_mb": math.nan})


def _with_marks(frame: pd.DataFrame) -> pd.DataFrame:
    told = ["model", "pointmap", "protocol"]
    if set(_MARKS) & set(frame.columns) or not {*told, "weights"} <= set(frame.columns):
        return frame
    keys = frame[told].astype(str)
    known = {key: asdict(marks_of_version_1(*key)) for key in keys.drop_duplicates().itertuples(index=False, name=None)}
    marks = [known[key] for key in keys.itertuples(index=False, name=None)]
    return _inserted(frame, DIGESTS[-1], {name: [each[name] for each in marks] for name in _MARKS})


def _inserted(frame: pd.DataFrame, after: str, columns: Mapping[str, Any]) -> pd.DataFrame:
    """The frame with more columns behind one of its own."""
    result = frame.copy()
    place = result.columns.get_loc(after)
    assert isinstance(place, int)
    for offset, (name, values) in enumerate(columns.items(), start=1):
        result.insert(place + offset, name, values)
    return result
