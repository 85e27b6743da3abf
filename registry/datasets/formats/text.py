"""Text files and numbers as people really have them: byte order marks, Windows line ends, Latin-1 letters."""

from __future__ import annotations

import codecs
import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.types import Array, UserError


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, UTF-16 where a byte order mark says so, else Latin-1.

    Raises:
        UserError: The file cannot be read, or holds NUL characters (it is no text, or was damaged).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    text = decoded(content)
    if "\0" in text:
        raise UserError(f"{path}: holds NUL characters; it is not a text file, or it was damaged")
    return text


def decoded(content: bytes) -> str:
    """Bytes as text, by the rule of `read_text`."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_json(path: Path, kind: str) -> Any:
    """The content of a JSON file; kind: what the file should be, for the message.

    Raises:
        UserError: The file cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a {kind} ({type(error).__name__}: {str(error)[:200]})") from error


def read_matrix(path: Path, rows: int, columns: int) -> Array:
    """The numbers (rows, columns) float64 of a text file that holds nothing else; they need not be finite.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    words = read_text(path).replace(",", " ").split()
    try:
        values = np.array(words, np.float64)
    except ValueError:
        values = np.zeros(0)
    if values.size != rows * columns:
        raise UserError(f"{path}: must hold a {rows}x{columns} matrix of numbers, found {len(words)} words")
    return values.reshape(rows, columns)


def number(field: Mapping[str, Any], name: str, default: float) -> float:
    """A number of a JSON object; the default where the field is missing.

    Raises:
        UserError: The field is no number, or not finite.
    """
    value = field.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise UserError(f"{name} must be a finite number, not {repr(value)[:80]}")
    return float(value)


def plain_path(name: str) -> str:
    """A path that a file names, made comparable: either slash, no ".", ".." taken in, composed Unicode letters (NFC)."""
    parts: list[str] = []
    for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
