"""One finished cell as it is stored: its format, its bounds, and what older versions wrote.

A file is one JSON object. Its first line holds what a scan of many cells needs (key, status, cell, weights, time), so that a
scan reads no further. A file may come from a stranger: everything in it is checked against a type and a bound.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bench.core.cells import EXTRACTION, NO_MODEL, PERF, Cell, Marks, Measurement
from bench.core.errors import UserError
from bench.core.names import ModelName
from bench.machine.digests import joint_digest, json_digest
from bench.machine.files import unreadable
from bench.results.migration import marks_of_version_1
from bench.results.packs import CellFile, Packed, bytes_of, first_line_of, remedy
from bench.results.schema import KEY, ROLES, SCHEMA_VERSION, STARTS, STATUSES, TRACKS, WEIGHTS

Status = Literal["ok", "failed", "unavailable"]

MOST_ITEMS = 200_000  #: measurements or pictures of a cell
MOST_TEXT = 10_000  #: letters of an error or a note
MOST_NAME = 300  #: letters of a name
MOST_SEED = 2**63
_MOST_READ = 2.0**50  #: MB; more is none
_NOT_LOADED = ("none", "random")  #: how the identity of weights begins that are read from no file
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_HEAD = ("schema", "key", "status", "weights", "finished", "cell")


@dataclass(frozen=True)
class CellRecord:
    """A finished cell.

    Attributes:
        key: sha256 of what determined its numbers; the name of its file.
        cell: What was run.
        status: "ok" where there are measurements.
        weights: Which weights it was run with.
        error: Why it failed.
        measurements: Its rows.
        pictures: Names of its pictures.
        seconds: Wall time; NaN where unknown.
        peak_memory_mb: NaN where unknown.
        device: "cpu" or "cuda".
        provenance: Of the code and the machine.
        finished: When, ISO 8601 in UTC.
        marks: What must be said wherever its numbers are shown.
        picture_digests: sha256 of each picture's file; cells of older versions have none.
        schema: The version of the format that its file was written in.
        digest: Of everything else in its file; "" where the file states none.
    """

    key: str
    cell: Cell
    status: Status
    weights: str
    error: str = ""
    measurements: tuple[Measurement, ...] = ()
    pictures: tuple[str, ...] = ()
    seconds: float = math.nan
    peak_memory_mb: float = math.nan
    device: str = "cpu"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    marks: Marks = field(default_factory=Marks)
    picture_digests: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    digest: str = ""

    @property
    def weights_digest(self) -> str:
        """sha256 of the pretrained weights that were loaded; of several networks the joint digest of theirs by name, "" for
        one that has none or random ones.

        "" where nothing pretrained was loaded, and where what one of them has loaded is not known: a digest of the others
        would be the same whatever that was.
        """
        told = self.provenance.get("weights")
        parts = {str(name): str(identity) for name, identity in told.items()} if isinstance(told, Mapping) else {}
        found = {name: _sha256(identity) for name, identity in parts.items()}
        unknown = any(not found[name] and parts[name].partition(":")[0] not in _NOT_LOADED for name in parts)
        if unknown or not any(found.values()):
            return ""
        return joint_digest(found) if len(found) > 1 else next(iter(found.values()))

    @property
    def read_mb(self) -> float:
        """What the cell's process asked to read (bench.machine.provenance.Cost); NaN where that is not known."""
        told = self.provenance.get("read_mb")
        known = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < _MOST_READ
        return float(told) if known else math.nan  # type: ignore[arg-type]

    @property
    def pointmap_digest(self) -> str:
        """sha256 of the weights that the initialiser loaded; "" where it has none, or where that is not known."""
        return _sha256(self.provenance.get("pointmap_weights"))


@dataclass(frozen=True)
class Head:
    """What the first line of a cell's file says."""

    key: str
    cell: Cell
    status: Status
    weights: str
    finished: str

    @property
    def identity(self) -> tuple[Cell, str]:
        """What a folder has one set of rows for."""
        return self.cell, self.weights


def content_digest(stored: Mapping[str, Any]) -> str:
    """The digest that a cell's file carries of everything else in it."""
    return json_digest({name: value for name, value in stored.items() if name != "digest"})


def to_text(record: CellRecord) -> str:
    """What the file of a record holds."""
    stored = _without_nan({**asdict(record), "schema": SCHEMA_VERSION})
    stored["digest"] = content_digest(stored)
    head = json.dumps({name: stored.pop(name) for name in _HEAD})
    rest = json.dumps(stored, indent=1, sort_keys=True)
    return f"{head[:-1]},\n{rest[2:]}\n"


def from_file(path: CellFile) -> CellRecord:
    """The record in a file, of this version or an older one. Raises as `file_and_digest`."""
    return file_and_digest(path, with_digest=False)[0]


def file_and_digest(path: CellFile, *, with_digest: bool = True) -> tuple[CellRecord, str]:
    """The record in a file, of this version or an older one, and the digest of what the file holds.

    Raises:
        UserError: Naming the file and what in it is not as it must be.
    """
    try:
        if isinstance(path, Path) and path.is_symlink():
            raise ValueError("it is a link; a results folder holds its own files")
        stored = _object(bytes_of(path).decode())
        return parsed(stored), content_digest(stored) if with_digest else ""
    except OSError as error:
        raise unreadable(path.pack if isinstance(path, Packed) else path, error) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} is not a stored cell ({type(error).__name__}: {said}); {remedy(path)}") from error


def head_of(path: CellFile) -> Head:
    """What the first line of a cell's file says; of a file that has no such line, what the whole of it says.

    Raises:
        UserError: Naming a file that is no cell.
    """
    try:
        line = first_line_of(path, 16 * 1024)
        stored = json.loads(line.rstrip().removesuffix(b",") + b"}")
        return Head(
            _key(stored["key"]),
            _cell(stored["cell"]),
            _choice("status", stored["status"], get_args(Status)),
            _choice("weights", stored["weights"], WEIGHTS),
            _text("finished", stored["finished"], MOST_NAME),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        record = from_file(path)
        return Head(record.key, record.cell, record.status, record.weights, record.finished)


def parsed(stored: dict[str, Any]) -> CellRecord:
    """The record that a JSON object holds. Raises ValueError, KeyError or TypeError, naming the field at fault."""
    version = stored.get("schema", 1)
    if version not in range(1, SCHEMA_VERSION + 1) or isinstance(version, bool):
        raise ValueError(f"its row format is version {version!r}, this suite reads versions up to {SCHEMA_VERSION}")
    known = {*CellRecord.__dataclass_fields__}
    if foreign := sorted(set(stored) - known):
        raise ValueError(f"it has unknown fields: {', '.join(foreign[:5])}")
    cell = _cell(stored["cell"])
    pictures = tuple(_text("a picture's name", name, MOST_NAME) for name in _list("pictures", stored["pictures"]))
    digests = _mapping("picture_digests", stored.get("picture_digests", {}))
    for name, sha in digests.items():
        if name not in pictures or not isinstance(sha, str) or not KEY.fullmatch(sha):
            raise ValueError(
                f"picture_digests: {name[:MOST_NAME]!r} has no digest of 64 hexadecimal digits, or is no picture"
            )
    return CellRecord(
        key=_key(stored["key"]),
        cell=cell,
        status=_choice("status", stored["status"], get_args(Status)),
        weights=_choice("weights", stored["weights"], WEIGHTS),
        marks=_marks(stored["marks"]) if version > 1 else marks_of_version_1(cell.model, cell.pointmap, cell.protocol),
        error=_text("error", stored["error"], MOST_TEXT),
        measurements=tuple(_measurement(each) for each in _list("measurements", stored["measurements"])),
        pictures=pictures,
        picture_digests=digests,
        seconds=_cost("seconds", stored["seconds"]),
        peak_memory_mb=_cost("peak_memory_mb", stored["peak_memory_mb"]),
        device=_text("device", stored["device"], MOST_NAME),
        provenance=_mapping("provenance", stored["provenance"]),
        finished=_text("finished", stored["finished"], MOST_NAME),
        schema=version,
        digest=_text("digest", stored.get("digest", ""), MOST_NAME),
    )


def has_control(text: str) -> bool:
    """True where a text holds a control character, which no field of a cell may."""
    return _CONTROL.search(text) is not None


def _sha256(identity: Any) -> str:
    """The digest in what identifies weights (bench.machine.weights.identity), "" where it is none of a content."""
    digest = str(identity).rpartition("sha256:")[2]
    return digest if KEY.fullmatch(digest) else ""


# -------------------------------------------------------------------------------------------------- types and bounds


def _object(text: str) -> dict[str, Any]:
    stored = json.loads(text, parse_constant=_no_constant)
    if not isinstance(stored, dict):
        raise ValueError("it holds no object")
    return stored


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _key(value: Any) -> str:
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise ValueError("key is not made of 64 hexadecimal digits")
    return value


def _text(name: str, value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {type(value).__name__}, not text")
    if len(value) > most:
        raise ValueError(f"{name} has {len(value):,} letters; at most {most:,} are read")
    if found := _CONTROL.search(value):
        raise ValueError(f"{name} holds the control character {found[0]!r}")
    return value


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} is {_shown(value)}, not one of {', '.join(allowed)}")
    return value


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {type(value).__name__}, not an object")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is {type(value).__name__}, not a list")
    if len(value) > MOST_ITEMS:
        raise ValueError(f"{name} has {len(value):,} items; at most {MOST_ITEMS:,} are read")
    return value


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {_shown(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is too large to be a number")
    return number


def _cost(name: str, value: Any) -> float:
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name} is {number}; it cannot be negative")
    return number


def _cell(value: Any) -> Cell:
    fields = _mapping("cell", value)
    names = ("dataset", "scene", "model", "mode", "pointmap", "protocol")
    if set(fields) != {*names, "track", "seed"}:
        raise ValueError(f"cell has not the fields {', '.join(Cell.__dataclass_fields__)}")
    seed = fields["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < MOST_SEED:
        raise ValueError(f"seed is {_shown(seed)}, not a number from 0 to {MOST_SEED - 1}")
    texts = {name: _text(name, fields[name], MOST_NAME) for name in names}
    if empty := [name for name, text in texts.items() if not text.strip()]:
        raise ValueError(f"{empty[0]} is empty")
    if fields["track"] != PERF or texts["mode"] == EXTRACTION:  # what `bench perf` times are ways to compute, not models
        _check_model(texts["model"])
    return Cell(track=_choice("track", fields["track"], TRACKS), seed=seed, **texts)


@functools.lru_cache(maxsize=10_000)
def _check_model(name: str) -> None:
    """Raises ValueError for a name that no model can have: reports take names apart."""
    if name != NO_MODEL:
        try:
            ModelName.parse(name)
        except UserError as error:
            raise ValueError(str(error)) from error


def _marks(value: Any) -> Marks:
    fields = _mapping("marks", value)
    if set(fields) != {*Marks.__dataclass_fields__}:
        raise ValueError(f"marks has not the fields {', '.join(Marks.__dataclass_fields__)}")
    if not isinstance(fields["quick"], bool):
        raise ValueError(f"quick is {_shown(fields['quick'])}, not true or false")
    return Marks(_choice("role", fields["role"], ROLES), _choice("start", fields["start"], STARTS), fields["quick"])


def _measurement(value: Any) -> Measurement:
    fields = _mapping("a measurement", value)
    if foreign := set(fields) ^ {*Measurement.__dataclass_fields__}:
        raise ValueError(f"a measurement lacks or does not know {', '.join(sorted(foreign)[:5])}")
    metric = _text("metric", fields["metric"], MOST_NAME)
    better = fields["higher_is_better"]
    if better is not None and not isinstance(better, bool):
        raise ValueError(f"higher_is_better is {_shown(better)}, not true, false or null")
    texts = {name: _text(name, fields[name], MOST_NAME) for name in ("view", "unit", "alignment")}
    return Measurement(
        metric=metric,
        value=_number(metric, fields["value"]),
        higher_is_better=better,
        status=_choice("status of a measurement", fields["status"], STATUSES),
        note=_text("note", fields["note"], MOST_TEXT),
        **texts,
    )


def _shown(value: Any) -> str:
    """A value as a message shows it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:60]}…"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: it is stored as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
