"""Which cells of a results folder another machine has computed anew with the same outcome: DIR/confirmed.json.

A confirmation is bound to what the cell's file held: a cell that is edited afterwards has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.machine.files import write_text
from bench.machine.text import read_json
from bench.results.packs import cell_file
from bench.results.record import MOST_NAME, CellRecord, file_and_digest, has_control
from bench.results.schema import KEY

FILE = "confirmed.json"
#: What of a cell's provenance tells machines apart; host names are not stored.
_MACHINE = ("device_name", "platform")


@dataclass(frozen=True, order=True)
class Confirmation:
    """A cell that came out alike on another machine.

    Attributes:
        key: Of the cell.
        digest: Of what its file held.
        device_name, platform: The machine that computed it anew.
        code_version: The suite there.
        at: When, ISO 8601 in UTC.
    """

    key: str
    digest: str
    device_name: str
    platform: str
    code_version: str
    at: str


def is_other_machine(record: CellRecord, provenance: Mapping[str, Any]) -> bool:
    """Whether a cell was run on a machine of another processor, GPU or system than the one of `provenance`."""
    return any(record.provenance.get(name) != provenance.get(name) for name in _MACHINE)


def confirmation(record: CellRecord, digest: str, provenance: Mapping[str, Any], at: str) -> Confirmation:
    """That a cell came out alike on the machine of `provenance`."""
    device_name, platform, code_version = (str(provenance[name]) for name in (*_MACHINE, "code_version"))
    return Confirmation(record.key, digest, device_name, platform, code_version, at)


def read_confirmations(folder: Path) -> tuple[Confirmation, ...]:
    """All that the folder's file holds; () where there is none. Raises UserError naming a file that is malformed."""
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        return tuple(_confirmation(each) for each in read_json(path, "list of confirmations"))
    except (UserError, ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}; delete it, and confirm anew by bench verify --confirm") from error


def _confirmation(stored: Any) -> Confirmation:
    """Raises ValueError or TypeError for what `add_confirmations` does not write: the file may be a stranger's."""
    found = Confirmation(**stored)
    if not all(isinstance(text, str) and len(text) <= MOST_NAME and not has_control(text) for text in astuple(found)):
        raise ValueError("a field is no text, or too long a one")
    if not KEY.fullmatch(found.key):
        raise ValueError(f"{found.key!r} is no key")
    return found


def add_confirmations(folder: Path, found: Iterable[Confirmation]) -> None:
    """Write them beside those that are there; of one cell, machine and content the newest stays."""
    held = {(each.key, each.digest, each.device_name, each.platform): each for each in (*read_confirmations(folder), *found)}
    write_text(folder / FILE, json.dumps([asdict(each) for each in sorted(held.values())], indent=1) + "\n")


def confirmed_keys(folder: Path) -> frozenset[str]:
    """The cells that another machine confirmed and that are still what they were then."""
    found = read_confirmations(folder)
    digests = {key: _digest(folder, key) for key in {each.key for each in found}}
    return frozenset(each.key for each in found if digests[each.key] == each.digest)


def _digest(folder: Path, key: str) -> str:
    found = cell_file(folder, key)
    return file_and_digest(found)[1] if found.is_file() else ""
