"""The tidy row: its columns, their types and the rules that every row keeps, defined once for store, reports and tables.

One row is one metric value. Ground floor: pandas only. `as_rows` brings a frame into the canonical form, `validate_rows`
says in words what is wrong with it, `ROW_SCHEMA` is the same set of rules as a JSON schema for one row (missing = null).
"""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pandas as pd

from bench.core.cells import NOT_APPLICABLE, Role, Start, Track, Weights
from bench.core.errors import UserError

#: Version of the row format; a file of an older one is brought up to it (bench.results.migration).
SCHEMA_VERSION = 3

#: Column -> pandas dtype, in the order in which files and frames hold them.
ROW_COLUMNS: dict[str, str] = {
    "track": "str",
    "dataset": "str",
    "scene": "str",
    "view": "str",
    "model": "str",
    "mode": "str",
    "pointmap": "str",
    "alignment": "str",
    "protocol": "str",
    "seed": "Int64",
    "metric": "str",
    "value": "float64",
    "unit": "str",
    "higher_is_better": "boolean",
    "status": "str",
    "note": "str",
    "weights": "str",
    "weights_digest": "str",
    "pointmap_digest": "str",
    "role": "str",
    "start": "str",
    "quick": "boolean",
    "device": "str",
    "seconds": "float64",
    "peak_memory_mb": "float64",
    "read_mb": "float64",
    "key": "str",
    "code_version": "str",
}
#: The columns of a published row: a measured row and where it was printed.
PUBLISHED_COLUMNS: dict[str, str] = {**ROW_COLUMNS, "source": "str"}

#: How pandas reads a CSV file of rows. Names are text, whatever they look like: 0000000005 keeps its zeros, "NA", "nan" and
#: "True" are themselves; only numbers may be missing.
CSV_OPTIONS: dict[str, Any] = {
    "dtype": {column: str for column, dtype in PUBLISHED_COLUMNS.items() if dtype == "str"},
    "keep_default_na": False,
    "na_values": {column: ["", "NA", "nan", "NaN"] for column, dtype in PUBLISHED_COLUMNS.items() if dtype != "str"},
    "encoding": "utf-8-sig",  # spreadsheets put a byte order mark before it
}

#: What makes a row the same measurement as another one.
IDENTITY = (
    "track",
    "dataset",
    "scene",
    "view",
    "model",
    "mode",
    "pointmap",
    "alignment",
    "protocol",
    "seed",
    "metric",
    "weights",
)
TRACKS = get_args(Track)
STATUSES = ("ok", "failed", "unavailable", "invalid", "collapsed")
WEIGHTS = get_args(Weights)
ROLES = get_args(Role)
STARTS = (*get_args(Start), NOT_APPLICABLE)
PUBLISHED = "published"  #: the protocol of rows copied from a paper; they have neither seed nor key
#: The columns with a closed vocabulary.
CHOICES = {"track": TRACKS, "status": STATUSES, "weights": WEIGHTS, "role": ROLES, "start": STARTS}
_REQUIRED_TEXT = ("dataset", "scene", "view", "model", "mode", "pointmap", "alignment", "protocol", "metric")
KEY = re.compile("[0-9a-f]{64}")
DIGESTS = ("weights_digest", "pointmap_digest")
DIGEST = re.compile(f"({KEY.pattern})?")  #: what one of these columns holds

_JSON_TYPES: dict[str, list[str]] = {
    "str": ["string"],
    "Int64": ["integer", "null"],
    "float64": ["number", "null"],
    "boolean": ["boolean", "null"],
}


def _property(column: str, dtype: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"type": _JSON_TYPES[dtype]}
    choices = CHOICES.get(column)
    if choices:
        rule["enum"] = list(choices)
    if column in DIGESTS:
        rule["pattern"] = f"^{DIGEST.pattern}$"
    if column in _REQUIRED_TEXT:
        rule["minLength"] = 1
    if column in ("seed", "seconds", "peak_memory_mb", "read_mb"):
        rule["minimum"] = 0
    return rule


#: JSON schema (draft 2020-12) of one row, as `frame.to_json(orient="records")` writes it.
ROW_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": f"vfm3d-bench row, version {SCHEMA_VERSION}",
    "type": "object",
    "properties": {
        **{column: _property(column, dtype) for column, dtype in ROW_COLUMNS.items()},
        "source": {"type": "string"},
    },
    "required": list(ROW_COLUMNS),
    "additionalProperties": False,
    "allOf": [
        {
            "if": {"properties": {"status": {"const": "ok"}}},
            "then": {"properties": {"value": {"type": "number"}}},
            "else": {"properties": {"value": {"type": "null"}}},
        },
        {
            "if": {"properties": {"protocol": {"const": PUBLISHED}}},
            "then": {"properties": {"seed": {"type": "null"}, "key": {"const": ""}}},
            "else": {"properties": {"seed": {"type": "integer"}, "key": {"pattern": f"^{KEY.pattern}$"}}},
        },
    ],
}


def as_rows(frame: pd.DataFrame, columns: dict[str, str] | None = None) -> pd.DataFrame:
    """The frame with exactly the row columns (or `columns`), in their order and with their types; missing text becomes "".

    Raises UserError naming the columns that lack, that are foreign or that do not convert.
    """
    wanted = ROW_COLUMNS if columns is None else columns
    missing = [column for column in wanted if column not in frame]
    foreign = [str(column) for column in frame if column not in wanted]
    faults = [
        f"{what} {', '.join(names)}" for what, names in (("missing columns", missing), ("unknown columns", foreign)) if names
    ]
    if faults:
        raise UserError(f"these are not result rows: {'; '.join(faults)}")
    typed = {}
    for column, dtype in wanted.items():
        values = frame[column]
        if dtype == "str":
            values = values.astype(object).where(values.notna(), "")
        try:
            typed[column] = values.astype(pd.api.types.pandas_dtype(dtype))
        except (TypeError, ValueError) as error:
            raise UserError(f"column {column!r} does not hold {dtype} values: {error}") from error
    return pd.DataFrame(typed, index=frame.index)


def validate_rows(frame: pd.DataFrame) -> list[str]:
    """What is wrong with a frame of measured or published rows, one sentence a problem and column; [] where nothing is.

    Checked: columns and types, closed vocabularies, empty names, a finite value exactly where the status is "ok", seeds and
    keys (absent in published rows, present in measured ones), negative costs, and repeated measurements.
    """
    columns = PUBLISHED_COLUMNS if "source" in frame else ROW_COLUMNS
    try:
        rows = as_rows(frame, columns)
    except UserError as error:
        return [str(error)]
    rows = rows.reset_index(drop=True)
    problems: list[str] = []

    def report(bad: pd.Series, text: str, column: str) -> None:
        found = np.flatnonzero(bad.fillna(True).to_numpy(bool))
        if len(found):
            first = rows[column].iloc[found[0]]
            problems.append(f"{text}: {len(found)} of {len(rows)} rows, first at row {found[0]} ({column} is {first})")

    for column, choices in CHOICES.items():
        report(~rows[column].isin(choices), f"{column} is not one of {', '.join(choices)}", column)
    for column in _REQUIRED_TEXT:
        report(rows[column] == "", f"{column} is empty", column)
    ok = rows["status"] == "ok"
    finite = pd.Series(np.isfinite(rows["value"].to_numpy(float)), index=rows.index)
    report(ok & ~finite, "status is ok but the value is not a finite number", "value")
    report(~ok & rows["value"].notna(), "the status is not ok but there is a value", "value")
    published = rows["protocol"] == PUBLISHED
    report(published & rows["seed"].notna(), "a published row has no seed", "seed")
    report(published & (rows["key"] != ""), "a published row has no key", "key")
    report(~published & rows["seed"].isna(), "a measured row needs a seed", "seed")
    well_formed = rows["key"].str.fullmatch(KEY)
    report(~published & ~well_formed, "a measured row needs a key of 64 hexadecimal digits", "key")
    for column in DIGESTS:
        report(~rows[column].str.fullmatch(DIGEST), f"{column} is neither empty nor 64 hexadecimal digits", column)
    for column in ("seed", "seconds", "peak_memory_mb", "read_mb"):
        report((rows[column] < 0).fillna(False), f"{column} is negative", column)
    identity = [*IDENTITY, "source"] if "source" in rows else list(IDENTITY)
    report(rows.duplicated(identity, keep="first"), f"the same measurement ({', '.join(identity)}) stands twice", "metric")
    return problems
