"""Numbers in text and JSON files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine.text import read_text
from bench.types import Array, UserError


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
